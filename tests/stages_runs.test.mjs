import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { assertProblem, assertRefused } from './harness/assertions.mjs';
import { startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';
import { bodyOf, Filter, moderated, succeed, versionOf, WORD_FILTER } from './harness/word_filter.mjs';

const server = await startServer();
after(() => server.stop());

const REJECT = { words: 'darn', mode: 'reject' };
const MASK = { words: 'darn', mode: 'mask' };

const trialOf = (filter) => `${filter.path}/trial`;
const results = async (admin, path) => bodyOf(admin.get(`${path}/results?all=true`));

/** Waits until a trial has been asked about so many messages, and answers its report. */
const asked = (admin, filter, messages) =>
  until(`the trial has seen ${messages} messages`, async () => {
    const trial = await bodyOf(admin.get(trialOf(filter)));
    return trial.messages === messages && trial;
  });

/** Waits for the end of a backtest, and answers its report. */
const ended = (admin, path) =>
  until('the backtest has ended', async () => {
    const run = await bodyOf(admin.get(path));
    return run.state !== 'running' && run;
  });

/** An installed word filter of which no version decides. */
async function undecided(config) {
  const { admin, ...others } = await moderated(server);
  const filter = new Filter(admin, 'guard');
  await filter.upload();
  await filter.configure(config);
  return { ...others, admin, filter };
}

describe('A trial', () => {
  test('asks about live messages and changes none, where no version decides', async () => {
    const { admin, alice, bob, filter } = await undecided(REJECT);
    const started = await bodyOf(admin.post(trialOf(filter)));
    const fine = await alice.send(bob, 'fine');
    const bad = await alice.send(bob, 'darn');

    const trial = await asked(admin, filter, 2);
    const found = await results(admin, trialOf(filter));
    const differing = await bodyOf(admin.get(`${trialOf(filter)}/results`));

    assert.deepEqual([started.state, started.messages, started.stage], ['running', 0, 'trial']);
    assert.deepEqual(trial.verdicts, { pass: 1, reject: 1 });
    assert.deepEqual([trial.agreeing, trial.differing, trial.dropped], [1, 1, 0]);
    assert.deepEqual(trial.differences, [{ active: 'none', candidate: 'reject', messages: 1 }]);
    assert.ok(trial.p50Micros > 0 && trial.mostMemoryBytes > 0);
    assert.deepEqual(found.map(({ id }) => id).sort(), [fine.id, bad.id].sort());
    assert.deepEqual(
      differing.map(({ subject, id, verdict, activeVerdict }) => [subject, id, verdict, activeVerdict]),
      [['message', bad.id, 'reject', null]],
    );
    assert.deepEqual((await bob.history(alice)).map(({ content }) => content), ['fine', 'darn']);
    assert.ok(!JSON.stringify([trial, found]).includes('darn'));
  });

  test('is held against what the active version did: to messages, edits and refusals', async () => {
    const { admin, alice, bob, filter } = await moderated(server, REJECT);
    await filter.upload(versionOf(WORD_FILTER, 'candidate'));
    const { version } = await bodyOf(admin.post(trialOf(filter)));
    const fine = await alice.send(bob, 'fine');
    await succeed(alice.patch(`${MESSAGES}/${fine.id}`, { content: 'better' }));
    const refused = await alice.post(MESSAGES, { to: bob.email, content: 'darn', contentType: 'text' });
    assertRefused(refused);

    const trial = await asked(admin, filter, 3);
    const found = await results(admin, trialOf(filter));

    assert.notEqual(version, (await bodyOf(admin.get(filter.path))).activeVersion);
    assert.deepEqual([trial.agreeing, trial.differing], [3, 0]);
    assert.deepEqual(trial.verdicts, trial.activeVerdicts);
    assert.deepEqual(
      new Set(found.map(({ subject, id, verdict }) => `${subject} ${id} ${verdict}`)),
      new Set([
        `message ${fine.id} pass`,
        `edit ${fine.id} pass`,
        `refusal ${refused.body.requestId} reject`,
      ]),
    );
  });

  test('sees what the plugins before it left', async () => {
    const { admin, alice, bob, filter } = await undecided(REJECT);
    await Filter.install(admin, 'before', MASK);
    await succeed(admin.request('PUT', `${filter.path}/order`, { body: { phase: 'guard' } }));
    await succeed(admin.post(trialOf(filter)));
    await alice.send(bob, 'darn');

    assert.deepEqual((await asked(admin, filter, 1)).verdicts, { pass: 1 });
  });

  test('ends, and is then asked nothing more; what it found stays until the next one', async () => {
    const { admin, alice, bob, filter } = await undecided(REJECT);
    await succeed(admin.post(trialOf(filter)));
    await alice.send(bob, 'darn');
    await asked(admin, filter, 1);

    const over = await bodyOf(admin.del(trialOf(filter)));
    await alice.send(bob, 'darn');
    await alice.send(bob, 'darn');

    assert.deepEqual([over.state, over.messages], ['ended', 1]);
    assertProblem(await admin.del(trialOf(filter)), 404, 'not_found');
    assert.equal((await bodyOf(admin.get(trialOf(filter)))).messages, 1);
    const next = await bodyOf(admin.post(trialOf(filter)));
    assert.deepEqual([next.state, next.messages], ['running', 0]);
  });

  test('is for admins, and is not there before it is started', async () => {
    const { admin, alice, filter } = await undecided(REJECT);

    assertProblem(await alice.post(trialOf(filter)), 403, 'forbidden');
    assertProblem(await admin.get(trialOf(filter)), 404, 'not_found');
    assertProblem(await admin.post(trialOf(filter), { version: 'ab' }), 422, 'invalid');
  });
});

describe('A backtest', () => {
  test('says what a version would have made of the stored messages', async () => {
    const { admin, alice, bob, filter } = await undecided(REJECT);
    const sent = [];
    for (const content of ['fine', 'darn', 'fine again']) sent.push(await alice.send(bob, content));
    const gone = await alice.send(bob, 'darn');
    await succeed(alice.del(`${MESSAGES}/${gone.id}?scope=everyone`));

    const started = await bodyOf(admin.post(`${filter.path}/backtests`));
    const path = `${filter.path}/backtests/${started.id}`;
    const run = await ended(admin, path);
    const differing = await bodyOf(admin.get(`${path}/results`));

    assert.deepEqual([run.state, run.messages, run.stage], ['finished', 3, 'backtest']);
    assert.deepEqual(run.verdicts, { pass: 2, reject: 1 });
    assert.deepEqual(differing.map(({ id, verdict }) => [id, verdict]), [[sent[1].id, 'reject']]);
    assert.ok(run.notRebuilt.length > 0);
    assert.ok(!JSON.stringify([run, differing]).includes('darn'));
    assert.equal((await bob.history(alice)).length, 4);
  });

  test('goes newest first, no further than asked, and by a configuration of its own', async () => {
    const { admin, alice, bob, filter } = await undecided(REJECT);
    await alice.send(bob, 'heck');
    const [second, third] = [await alice.send(bob, 'heck'), await alice.send(bob, 'darn')];

    const request = { messages: 2, config: { words: 'heck', mode: 'reject' } };
    const { id } = await bodyOf(admin.post(`${filter.path}/backtests`, request));
    const path = `${filter.path}/backtests/${id}`;
    const run = await ended(admin, path);

    assert.deepEqual([run.messages, run.ownConfig], [2, true]);
    assert.deepEqual(
      (await results(admin, path)).map(({ id, verdict }) => [id, verdict]),
      [[third.id, 'pass'], [second.id, 'reject']],
    );
  });

  test('is held against what the active version decided', async () => {
    const { admin, alice, bob, filter } = await moderated(server, MASK);
    const masked = await alice.send(bob, 'darn');
    await alice.send(bob, 'fine');

    const { id } = await bodyOf(admin.post(`${filter.path}/backtests`));
    const path = `${filter.path}/backtests/${id}`;
    const run = await ended(admin, path);

    // What is stored has been masked already.
    assert.deepEqual(run.differences, [{ active: 'modify', candidate: 'pass', messages: 1 }]);
    assert.deepEqual((await bodyOf(admin.get(`${path}/results`))).map(({ id }) => id), [masked.id]);
  });

  test('refuses what makes no sense, and ends once', async () => {
    const { admin, alice, bob, filter } = await undecided(REJECT);
    await alice.send(bob, 'fine');
    const start = (body) => admin.post(`${filter.path}/backtests`, body);

    assertProblem(await start({ messages: 0 }), 422, 'invalid');
    assertProblem(await start({ messages: 100_001 }), 422, 'invalid');
    assertProblem(await start({ version: 'ab' }), 422, 'invalid');
    assertProblem(await alice.post(`${filter.path}/backtests`), 403, 'forbidden');
    assertProblem(await admin.get(`${filter.path}/backtests/none`), 404, 'not_found');
    const { id } = await bodyOf(start({}));
    await ended(admin, `${filter.path}/backtests/${id}`);
    assertProblem(await admin.del(`${filter.path}/backtests/${id}`), 409, 'conflict');
  });
});
