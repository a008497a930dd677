// A relying party: express-openid-connect with its back-channel logout, registered at the provider by dynamic client
// registration. It verifies ID tokens and logout tokens by itself, with the keys at the `jwks_uri` of its discovery document.
//
// argv[2]: {"issuer"}, {"discovery"} to read that document at another URL than the issuer's own, and {"backchannel_logout_uri"}
// to have the provider send logout tokens elsewhere than here. With {"client_id"} it is registered
// already, and logs in by {"response_type"}.
// Prints {"url", "client_id"} when it is ready.
// GET /login?user=… logs in as that user, GET /profile tells who is logged in and by which key's ID token,
// POST /backchannel-logout ends sessions.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import express from 'express';
import openid from 'express-openid-connect';
import session from 'express-session';
import { decodeProtectedHeader } from 'jose';

const { issuer, discovery, backchannel_logout_uri, client_id, response_type } = JSON.parse(process.argv[2]);

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}`;

async function registered() {
  const registration = await fetch(`${issuer}/reg`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      redirect_uris: [`${url}/callback`],
      response_types: ['code id_token'],
      grant_types: ['authorization_code', 'implicit'],
      application_type: 'native', // may have ID tokens sent to plain http, on loopback
      backchannel_logout_uri: backchannel_logout_uri ?? `${url}/backchannel-logout`,
      backchannel_logout_session_required: true, // for a `sid` in its ID tokens
    }),
  });
  if (!registration.ok) throw new Error(`registration refused: ${await registration.text()}`);
  return registration.json();
}

const client = client_id ? { client_id, client_secret: 'not looked at' } : await registered();

const app = express();
app.use(
  openid.auth({
    issuerBaseURL: discovery ?? issuer,
    baseURL: url,
    clientID: client.client_id,
    clientSecret: client.client_secret,
    secret: randomBytes(32).toString('base64url'),
    // With `code` alone it would not verify the signature of ID tokens: they come from the provider itself then.
    authorizationParams: { response_type: response_type ?? 'code id_token', scope: 'openid' },
    authRequired: false,
    backchannelLogout: { store: new session.MemoryStore() },
    enableTelemetry: false,
    httpTimeout: 30_000, // the provider answers after our service took its webhook
    idpLogout: false,
    routes: { login: false },
    // Cookies do not know ports: all relying parties on 127.0.0.1 share one jar.
    session: { name: `session_${client.client_id}` },
    transactionCookie: { name: `login_${client.client_id}` },
  }),
);

app.get('/login', (req, res) =>
  res.oidc.login({ returnTo: '/profile', authorizationParams: { login_hint: req.query.user } }),
);

app.get('/profile', (req, res) => {
  if (!req.oidc.isAuthenticated()) return res.sendStatus(401);
  const { sub, sid } = req.oidc.idTokenClaims;
  const { kid } = decodeProtectedHeader(req.oidc.idToken);
  return res.json({ sub, sid, kid });
});

server.on('request', app);
process.stdin.on('end', () => process.exit()).resume(); // ends with whoever started it, however that one ended
console.log(JSON.stringify({ url, client_id: client.client_id }));
