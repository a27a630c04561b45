/** How ours fares as more and more is stored: a new database for each size, filled by SQL. */
import assert from 'node:assert/strict';
import { join } from 'node:path';

import { MESSAGES } from '../../../tests/harness/user.mjs';
import { measure } from './load.mjs';
import { ORG, startOurs } from './servers.mjs';

export const SMALLEST = 10_000;
export const PEER = 'ours, growth';

const READER = ['--reader', 'reader@load.test'];
/** What is measured at each size, and whether its rate or its p99 counts. */
export const TESTS = {
  '50 of 10 000 threads': ['p99', ['read', '--what', 'threads', '--clients', '4', ...READER]],
  'history of a long thread': [
    'p99',
    ['read', '--what', 'history', '--clients', '4', '--reader', 'p1@load.test', '--peer', 'p5001@load.test'],
  ],
  'unread count': ['p99', ['read', '--what', 'unread', '--clients', '4', ...READER]],
  'REST sends, 64 clients': ['rate', ['rest-send', '--clients', '64']],
};

export const sizes = (most) => {
  const sizes = [];
  for (let size = SMALLEST; size <= most; size *= 10) sizes.push(size);
  return sizes;
};

export const testOf = (size, test) => `${size} messages: ${test}`;

export async function measureGrowth(run) {
  for (const size of sizes(run.growth)) {
    const server = await startOurs(run, [ORG]);
    const began = performance.now();
    await fill(run, size);
    run.say(`  ${size} messages stored in ${Math.round((performance.now() - began) / 1000)} s`);
    await check(server.orgs[ORG], size);
    for (const [test, [, load]] of Object.entries(TESTS)) {
      await run.inRounds((round) => measure(run, server, testOf(size, test), load, { as: PEER, round }));
    }
    await server.stop();
  }
}

async function fill(run, size) {
  const org = await run.sql('ours', `select org_id from orgs where slug = '${ORG}'`);
  const variables = ['ON_ERROR_STOP=1', `messages=${size}`, `org=${org.trim()}`].flatMap((set) => [
    '-v',
    set,
  ]);
  const script = join(import.meta.dirname, 'growth.sql');
  await run.postgres.program('psql', '-q', '-X', ...variables, '-d', 'ours', '-f', script);
}

/** Whether the server serves what is stored as if it had stored it itself. */
async function check(org, size) {
  // The load's tokens name the same subjects.
  const user = (email) => org.user(email, { sub: email });
  const [reader, one, other] = ['reader', 'p1', 'p5001'].map((name) => user(`${name}@load.test`));

  assert.equal(await reader.unreadCount(), Math.min(size, 100_000));
  const { body: threads } = await reader.get(`${MESSAGES}/threads?limit=50`);
  assert.equal(threads.filter((thread) => thread.lastMessage && thread.unreadCount > 0).length, 50);
  const before = await one.history(other, '?limit=50');
  const sent = await one.send(other, 'one more');
  assert.equal(before.length, 50);
  assert.equal(before.at(-1).seq, size / 10);
  assert.equal(sent.seq, size / 10 + 1);
}
