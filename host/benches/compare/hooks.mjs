/** What a hook in the path of each message costs: a webhook beside the peer, plugins in ours. */
import assert from 'node:assert/strict';

import { inRust, uploaded } from '../../../tests/harness/samples.mjs';
import { MESSAGES } from '../../../tests/harness/user.mjs';
import { measure } from './load.mjs';
import { RATE, RATE_LOAD, sends } from './peers.mjs';
import { startOurs, startPeer } from './servers.mjs';

/** Bytes of a message that hooks look at. */
export const SIZE = 233;

export const UPLOAD = 'from upload to active';

/** One org of one server for each. */
const PLUGINS = {
  none: null,
  'link-guard': { allow: 'example.com' },
  'word-filter': { words: 'darn, heck' },
};

export const ours = (plugin) => `ours, ${plugin === 'none' ? 'no plugin' : plugin.replace('-', ' ')}`;

export async function measureHooks(run) {
  const peer = await startPeer(run, { hook: true });
  const server = await startOurs(run, Object.keys(PLUGINS));
  for (const [plugin, config] of Object.entries(PLUGINS)) {
    if (config) await install(run, server.orgs[plugin], plugin, config);
  }
  for (const clients of [16, 64, 256]) {
    const load = ['rest-send', '--clients', `${clients}`, '--size', `${SIZE}`];
    await run.inRounds(async (round) => {
      if (clients <= 64) await measure(run, peer, sends(clients), load, { round });
      await measureOurs(run, server, sends(clients), load, round);
    });
  }
  const load = [...RATE_LOAD, '--size', `${SIZE}`];
  await run.inRounds((round) => measureOurs(run, server, RATE, load, round));
  await peer.stop();
  await server.stop();
}

async function measureOurs(run, server, test, load, round) {
  for (const org of Object.keys(PLUGINS)) await measure(run, server, test, load, { as: ours(org), org, round });
}

async function install(run, org, name, config) {
  const bytes = inRust(name);
  const admin = await org.admin();
  const began = performance.now();
  const plugin = await uploaded(admin, bytes);
  await plugin.configure(config);
  await plugin.activate();
  run.add(ours(name), UPLOAD, { ms: performance.now() - began, bytes: bytes.length });
  const bad = { to: 'bob@load.test', content: 'darn: https://evil.test', contentType: 'text' };
  const answer = await admin.post(MESSAGES, bad);
  assert.ok(!answer.text.includes(bad.content), `${name} let pass what it is there for`);
}
