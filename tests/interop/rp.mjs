// A relying party: express-openid-connect with its back-channel logout, registered at the provider by dynamic client
// registration. It verifies logout tokens by itself, with the keys that the provider publishes.
//
// argv[2]: {"issuer"}. Prints {"url", "client_id"} when it is ready.
// GET /login?user=… logs in as that user, GET /profile tells who is logged in, POST /backchannel-logout ends sessions.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import express from 'express';
import openid from 'express-openid-connect';
import session from 'express-session';

const { issuer } = JSON.parse(process.argv[2]);

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}`;

const registration = await fetch(`${issuer}/reg`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({
    redirect_uris: [`${url}/callback`],
    backchannel_logout_uri: `${url}/backchannel-logout`,
    backchannel_logout_session_required: true, // for a `sid` in its ID tokens
  }),
});
if (!registration.ok) throw new Error(`registration refused: ${await registration.text()}`);
const client = await registration.json();

const app = express();
app.use(
  openid.auth({
    issuerBaseURL: issuer,
    baseURL: url,
    clientID: client.client_id,
    clientSecret: client.client_secret,
    secret: randomBytes(32).toString('base64url'),
    // By redirects alone: the default, a form post, needs https and a browser that runs scripts.
    authorizationParams: { response_type: 'code', scope: 'openid' },
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
  return res.json({ sub, sid });
});

server.on('request', app);
process.stdin.on('end', () => process.exit()).resume(); // ends with whoever started it, however that one ended
console.log(JSON.stringify({ url, client_id: client.client_id }));
