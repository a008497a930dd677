// oidc-provider sending logout tokens of its own, for tests/load/delivery.py to compare ours with.
//
// argv[2]: where to. Reads a slice of work per line, {"alg", "concurrency", "seconds"}, and answers with what came of it:
// {"tokens", "cpu_seconds"}.

import { generateKeyPairSync } from 'node:crypto';
import { createInterface } from 'node:readline';

import { Provider } from 'oidc-provider';

const ALGORITHMS = { ES256: ['ec', { namedCurve: 'P-256' }], RS256: ['rsa', { modulusLength: 2048 }] };
const SUB = '248289761001';
const SID = '08a5019c-17e1-4977-8f42-65a12843ea02';

console.warn = () => {}; // what it advises for production

const provider = new Provider('https://op.example', {
  jwks: {
    keys: Object.entries(ALGORITHMS).map(([alg, type]) => ({
      ...generateKeyPairSync(...type).privateKey.export({ format: 'jwk' }),
      use: 'sig',
      alg,
    })),
  },
  clients: Object.keys(ALGORITHMS).map((alg) => ({
    client_id: alg,
    client_secret: 'secret',
    redirect_uris: ['https://rp.example/callback'],
    id_token_signed_response_alg: alg,
    backchannel_logout_uri: process.argv[2],
    backchannel_logout_session_required: true,
  })),
  features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true } },
  // Its own dispatcher refuses loopback. Node's global one keeps connections open, too.
  fetch: (url, { dispatcher, ...options }) => fetch(url, options),
});

async function work({ alg, concurrency, seconds }) {
  const client = await provider.Client.find(alg);
  const end = performance.now() + seconds * 1000;
  let tokens = 0;
  const sendOn = async () => {
    while (performance.now() < end) {
      await client.backchannelLogout(SUB, SID); // throws unless the answer is 200 or 204
      tokens += 1;
    }
  };
  const began = process.cpuUsage();
  await Promise.all(Array.from({ length: concurrency }, sendOn));
  const { user, system } = process.cpuUsage(began);
  return { tokens, cpu_seconds: (user + system) / 1e6 };
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await work(JSON.parse(line))));
}
