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

const LINK_GUARD = { plugin: 'link-guard', config: { allow: 'example.com' } };

/** One org of one server for each; as in any org, decisions leave receipts, but where it says that they do not. */
const ORGS = {
  none: null,
  'link-guard': LINK_GUARD,
  'no-receipts': { ...LINK_GUARD, settings: { receiptDays: 0 } },
  'word-filter': { plugin: 'word-filter', config: { words: 'darn, heck' } },
};

const NAMES = { none: 'no plugin', 'no-receipts': 'link guard, no receipts' };

export const title = (org) => NAMES[org] ?? org.replace('-', ' ');

export const ours = (org) => `ours, ${title(org)}`;

export async function measureHooks(run) {
  const peer = await startPeer(run, { hook: true });
  const server = await startOurs(run, Object.keys(ORGS));
  for (const [name, installed] of Object.entries(ORGS)) {
    if (installed) await install(run, server.orgs[name], name, installed);
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
  for (const org of Object.keys(ORGS)) await measure(run, server, test, load, { as: ours(org), org, round });
}

async function install(run, org, name, { plugin, config, settings }) {
  const bytes = inRust(plugin);
  const admin = await org.admin();
  if (settings) assert.equal((await admin.patch('/admin/settings', settings)).status, 200);
  const began = performance.now();
  const installed = await uploaded(admin, bytes);
  await installed.configure(config);
  await installed.activate();
  run.add(ours(name), UPLOAD, { ms: performance.now() - began, bytes: bytes.length });
  const bad = { to: 'bob@load.test', content: 'darn: https://evil.test', contentType: 'text' };
  const answer = await admin.post(MESSAGES, bad);
  assert.ok(!answer.text.includes(bad.content), `${plugin} let pass what it is there for`);
}
