// What a plugin keeps about a message, where the message is judged more than once.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { assertProblem } from './harness/assertions.mjs';
import { draft } from './harness/drafts.mjs';
import { startPatient } from './harness/samples.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';
import { bodyOf, Filter, moderated, succeed } from './harness/word_filter.mjs';

const server = await startPatient('[review]\ninterval_ms = 100\nask_again_ms = 200\nask_again_most_ms = 400\n');
after(() => server.stop());

/** Refuses repeats, by what it keeps; `make guests` builds it. */
const KEEPER = readFileSync(join(import.meta.dirname, '../target/guests/keeper.wasm'));

/** A configuration that the word filter cannot read: it gives no answer. */
const BROKEN = { mode: 'shrug' };
const WORKING = { words: 'darn', mode: 'reject' };

// One org for all, because compiling the guest takes its time; each test has words of its own, and
// leaves the word filter working.
const { alice, bob, admin } = await moderated(server);
const keeper = new Filter(admin, 'keeper');
await keeper.upload(KEEPER);
await succeed(admin.request('PUT', `${keeper.path}/grants`, { body: { kv: {} } }));
await keeper.activate();
const filter = await Filter.install(admin, 'guard', WORKING);

/** What Bob has of these words. */
const received = async (...words) =>
  (await bob.history(alice)).map(({ content }) => content).filter((content) => words.includes(content));

const refusedAsRepeat = async (content) => {
  const again = await alice.post(MESSAGES, draft(bob, { content }));
  assertProblem(again, 422, 'rejected');
  assert.equal(again.body.reason, 'repeat');
};

const settled = () =>
  until('nothing waits for an answer', async () => (await bodyOf(admin.get('/admin/held'))).length === 0, 20_000);

/** The server has asked about what waits, and more than once. */
const askedAgain = () =>
  until('plugins were asked again', async () => (await bodyOf(admin.get('/admin/held')))[0].attempts >= 2, 20_000);

describe('A plugin that refuses repeats, beside one that gave no answer,', () => {
  test('takes a message that waits for none of itself', async () => {
    await filter.configure(BROKEN);
    const { state } = await alice.send(bob, 'only once');
    assert.equal(state, 'held');
    await askedAgain();

    await filter.configure(WORKING);
    await settled();

    assert.deepEqual(await received('only once'), ['only once']);
    await refusedAsRepeat('only once');
  });

  test('takes an edit that waits for none of itself', async () => {
    const { id } = await alice.send(bob, 'first');
    await filter.configure(BROKEN);
    const edited = await bodyOf(alice.patch(`${MESSAGES}/${id}`, { content: 'second' }));
    assert.deepEqual([edited.content, edited.pendingRevision], ['first', 1]);
    await askedAgain();

    await filter.configure(WORKING);
    await settled();

    assert.deepEqual(await received('first', 'second'), ['second']);
    await refusedAsRepeat('second');
  });

  test('takes an edit of a message that waits', async () => {
    await filter.configure(BROKEN);
    const { id } = await alice.send(bob, 'before');
    await bodyOf(alice.patch(`${MESSAGES}/${id}`, { content: 'after' }));

    await filter.configure(WORKING);
    await settled();

    assert.deepEqual(await received('before', 'after'), ['after']);
    await refusedAsRepeat('after');
  });
});

test('A backtest says that a plugin which remembers finds what was written about the same message', async () => {
  await alice.send(bob, 'remembered');

  const { id } = await bodyOf(admin.post(`${keeper.path}/backtests`, { messages: 1 }));
  const run = await until('the backtest has ended', async () => {
    const report = await bodyOf(admin.get(`${keeper.path}/backtests/${id}`));
    return report.state !== 'running' && report;
  });

  assert.deepEqual([run.verdicts, run.differing], [{ reject: 1 }, 1]);
  assert.match(run.notCompared.join(), /finds what the active version wrote for this very message/);
});

describe('A plugin in JavaScript compares and sets', () => {
  test('within a call, and from one message to the next', async () => {
    for (let count = 0; count < 3; count++) await alice.send(bob, 'compare k');

    assert.equal((await received('compare k')).length, 3);
  });

  test('where it only rehearses', async () => {
    for (const kv of [{}, { k: 'laid out' }]) {
      const draft = { content: 'compare k' };
      const tried = await bodyOf(admin.post(`${keeper.path}/test`, { draft, laidOut: { kv } }));
      assert.equal(tried.verdict, 'pass', JSON.stringify(tried));
    }
  });
});
