// An OpenID Provider: oidc-provider, which tells our service of its sessions by Standard Webhooks and leaves all
// back-channel logout sending to it. Users log in without a form, as whoever `login_hint` names.
//
// argv[2]: {"webhook_url", "webhook_secret"} of our service. With its "jwks_url", too, the provider adds our keys to its own.
// With {"sends_logout_tokens"} alone, it knows nothing of our service, and sends its own logout tokens wherever clients say.
// Clients register themselves. Prints {"url"}, which is the issuer, when it is ready.

import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import { decodeJwt } from 'jose';
import { Provider } from 'oidc-provider';
import { Webhook } from 'standardwebhooks';

const config = JSON.parse(process.argv[2]);
const TIMEOUT_MS = 20_000; // the first request to a local Lambda function starts it, which takes seconds

const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const provider = new Provider(issuer, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' }] },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    // Has to be on: without it clients have no backchannel_logout_session_required, hence ID tokens no `sid`.
    backchannelLogout: { enabled: true },
  },
  // All that the provider itself would send goes through here. Where our service sends the logout tokens, nothing may.
  fetch: async (url, { dispatcher, ...options }) => {
    if (config.sends_logout_tokens) return fetch(url, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS) });
    throw new Error(`this provider sends nothing itself, not even to ${url}`);
  },
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  loadExistingGrant: async (ctx) => {
    const { client, session } = ctx.oidc;
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid');
    await grant.save();
    return grant;
  },
});

const webhook = config.webhook_url && new Webhook(config.webhook_secret);

async function tell(type, data) {
  if (!webhook) return;
  const now = new Date();
  const id = `msg_${randomUUID()}`;
  const body = JSON.stringify({ type, timestamp: now.toISOString(), data });
  try {
    const answer = await fetch(config.webhook_url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(now / 1000)),
        'webhook-signature': webhook.sign(id, now, body),
      },
      body,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  } catch (error) {
    console.error(`webhook ${type} failed: ${error}`);
  }
}

// The events are synchronous; the first middleware below waits for what they started.
provider.on('grant.success', (ctx) => {
  if (ctx.oidc.params.grant_type !== 'authorization_code') return;
  const { iss, sub, sid, aud } = decodeJwt(ctx.body.id_token);
  ctx.state.told = tell('rp_session.started', { iss, sub, sid, client_id: aud });
});

provider.on('end_session.success', (ctx) => {
  const { session } = ctx.oidc;
  if (!session.destroyed) return;
  // One session here has a `sid` for each client of it.
  const sids = Object.values(session.authorizations ?? {}).map(({ sid }) => sid);
  ctx.state.told = Promise.all(
    sids.map((sid) => tell('session.ended', { iss: issuer, sub: session.accountId, sid })),
  );
});

provider.use(async (ctx, next) => {
  await next();
  await ctx.state.told;
});

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) return next();
  const { params } = await provider.interactionDetails(ctx.req, ctx.res);
  const result = { login: { accountId: params.login_hint }, consent: {} }; // native clients have to ask for consent
  ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission: false }));
});

provider.use(async (ctx, next) => {
  await next();
  if (ctx.oidc?.route !== 'jwks' || !config.jwks_url) return;
  const answer = await fetch(config.jwks_url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw new Error(`service JWKS not read: ${answer.status} ${await answer.text()}`);
  const { keys } = await answer.json();
  ctx.body = { keys: [...ctx.body.keys, ...keys] };
});

server.on('request', provider.callback());
process.stdin.on('end', () => process.exit()).resume(); // ends with whoever started it, however that one ended
console.log(JSON.stringify({ url: issuer }));
