// Verifies logout tokens with npm jose, by the keys that the service publishes.
//
// argv[2]: {"issuer", "jwks_url", "tokens": {alg: token}}, where each token's audience is named after its alg.
// Prints {alg: {"header", "claims"}}; ends without that if one of the tokens does not verify.

import * as jose from 'jose';

const { issuer, jwks_url, tokens } = JSON.parse(process.argv[2]);
const serviceKeys = jose.createRemoteJWKSet(new URL(jwks_url), { timeoutDuration: 20_000 });

const verified = {};
for (const [alg, token] of Object.entries(tokens)) {
  const options = { algorithms: [alg], issuer, audience: alg, typ: 'logout+jwt' };
  const { protectedHeader, payload } = await jose.jwtVerify(token, serviceKeys, options);
  verified[alg] = { header: protectedHeader, claims: payload };
}
console.log(JSON.stringify(verified));
