// Relying parties that take encrypted logout tokens: each has an alg, an enc and a key of its own, which npm jose makes, and
// decrypts and verifies what it is sent, with the keys that the service publishes.
//
// argv[2]: {"issuer", "jwks_url"}. Prints {"url", "clients": [{"client_id", "alg", "enc", "jwks"}]} when it is ready.
// POST /<client_id> takes a token, GET /<client_id>/jwks.json has the client's public keys, GET /received tells what came:
// [{"client_id", "header", "signed_header", "claims"} or {"client_id", "error"}].

import { once } from 'node:events';
import { createServer } from 'node:http';

import * as jose from 'jose';

const { issuer, jwks_url } = JSON.parse(process.argv[2]);

const keyTypes = {
  'RSA-OAEP': [{ modulusLength: 2048 }],
  'RSA-OAEP-256': [{ modulusLength: 2048 }],
  'ECDH-ES': [{ crv: 'P-256' }, { crv: 'X25519' }],
  'ECDH-ES+A128KW': [{ crv: 'P-256' }],
  'ECDH-ES+A192KW': [{ crv: 'P-384' }],
  'ECDH-ES+A256KW': [{ crv: 'P-521' }],
};
const encs = ['A128CBC-HS256', 'A192CBC-HS384', 'A256CBC-HS512', 'A128GCM', 'A192GCM', 'A256GCM'];

const clients = new Map();
for (const [alg, types] of Object.entries(keyTypes)) {
  for (const type of types) {
    const { publicKey, privateKey } = await jose.generateKeyPair(alg, { ...type, extractable: true });
    const signing = await jose.generateKeyPair('RS256', { extractable: true }); // not for encryption: must not be chosen
    const jwks = {
      keys: [
        { ...(await jose.exportJWK(signing.publicKey)), kid: 'signing', use: 'sig' },
        { ...(await jose.exportJWK(publicKey)), kid: `${alg} ${JSON.stringify(type)}`, use: 'enc', alg },
      ],
    };
    for (const enc of encs) {
      const client_id = `jose-${clients.size}`;
      clients.set(client_id, { client_id, alg, enc, jwks, privateKey });
    }
  }
}

const serviceKeys = jose.createRemoteJWKSet(new URL(jwks_url));
const received = [];

async function read(client, token) {
  const { plaintext, protectedHeader } = await jose.compactDecrypt(token, client.privateKey, {
    keyManagementAlgorithms: [client.alg],
    contentEncryptionAlgorithms: [client.enc],
  });
  const signed = new TextDecoder().decode(plaintext);
  const verified = await jose.jwtVerify(signed, serviceKeys, { issuer, audience: client.client_id, typ: 'logout+jwt' });
  return { header: protectedHeader, signed_header: verified.protectedHeader, claims: verified.payload };
}

async function take(client, request) {
  const body = (await request.toArray()).join('');
  try {
    received.push({ client_id: client.client_id, ...(await read(client, new URLSearchParams(body).get('logout_token'))) });
    return 204;
  } catch (error) {
    received.push({ client_id: client.client_id, error: `${error.code}: ${error.message}` });
    return 400;
  }
}

const server = createServer(async (request, response) => {
  const [, client_id, document] = request.url.split('/');
  const client = clients.get(client_id);
  response.setHeader('content-type', 'application/json');
  if (client_id === 'received') return response.end(JSON.stringify(received));
  if (!client) return response.writeHead(404).end();
  if (document === 'jwks.json') return response.end(JSON.stringify(client.jwks));
  return response.writeHead(await take(client, request)).end();
}).listen(0, '127.0.0.1');
await once(server, 'listening');

process.stdin.on('end', () => process.exit()).resume(); // ends with whoever started it, however that one ended
const shown = [...clients.values()].map(({ privateKey, ...client }) => client);
console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}`, clients: shown }));
