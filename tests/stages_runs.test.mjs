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
    assert.deepEqual([trial.agreeing, trial.differing, trial.dropped], [0, 0, 0]);
    assert.deepEqual([trial.unasked, trial.differences], [{ pass: 1, reject: 1 }, []]);
    assert.ok(trial.p50Micros > 0 && trial.mostMemoryBytes > 0);
    assert.deepEqual(found.map(({ id }) => id).sort(), [fine.id, bad.id].sort());
    assert.deepEqual(
      differing.map(({ subject, id, verdict, activeVerdict, agrees }) => [subject, id, verdict, activeVerdict, agrees]),
      [['message', bad.id, 'reject', null, null]],
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

  test('counts messages from before the active version by themselves, and labels by messages', async () => {
    const { admin, alice, bob, filter } = await undecided({ words: 'darn', mode: 'label' });
    await alice.send(bob, 'darn');
    await alice.send(bob, 'fine');
    await filter.activate();
    for (const content of ['darn', 'darn', 'fine']) await alice.send(bob, content);

    const { id } = await bodyOf(admin.post(`${filter.path}/backtests`));
    const run = await ended(admin, `${filter.path}/backtests/${id}`);

    const sum = (words) => Object.values(words).reduce((all, count) => all + count, 0);
    assert.deepEqual([run.agreeing, run.differing, run.unasked], [3, 0, { pass: 2 }]);
    assert.equal(sum(run.verdicts), run.agreeing + run.differing + sum(run.unasked));
    assert.equal(sum(run.activeVerdicts), run.agreeing + run.differing);
    const [[label, messages], ...others] = Object.entries(run.labels);
    assert.deepEqual([label.length > 0, messages, others], [true, 3, []]);
    assert.deepEqual(run.notCompared, []);
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

describe('A canary', () => {
  const canaryOf = (filter) => `${filter.path}/canary`;
  const CONFIG = { words: 'darn', mode: 'mask' };

  /** An active filter, and a second version of it that is to be the canary. */
  async function two() {
    const scene = await moderated(server, CONFIG);
    await scene.filter.upload(versionOf(WORD_FILTER, `candidate-${scene.org.id}`));
    const { activeVersion, version } = await bodyOf(scene.admin.get(scene.filter.path));
    return { ...scene, active: activeVersion, candidate: version };
  }

  /** Which version decided about a new message of each thread. */
  async function deciders({ admin, alice }, peers) {
    const found = [];
    for (const peer of peers) {
      const sent = await alice.send(peer, 'hello');
      const decision = await bodyOf(admin.get(`/admin/messages/${sent.id}/decision`));
      found.push(decision.steps[0].version);
    }
    return found;
  }

  test('decides in a share of the threads, which only grows', async () => {
    const scene = await two();
    const { admin, filter, org, active, candidate } = scene;
    const peers = await org.people(...Array.from({ length: 40 }, (_, n) => `peer-${n}`));
    assert.deepEqual(new Set(await deciders(scene, peers)), new Set([active]));

    let before = new Set();
    for (const percent of [30, 30, 70, 100]) {
      const shown = await bodyOf(admin.post(canaryOf(filter), { version: candidate, percent }));
      assert.deepEqual([shown.canary.version, shown.canary.percent], [candidate, percent]);
      const versions = await deciders(scene, peers);
      const held = new Set(peers.filter((_, n) => versions[n] === candidate).map(({ email }) => email));
      assert.ok([...before].every((email) => held.has(email)), `${percent} %`);
      if (percent === 30 && before.size) assert.deepEqual(held, before);
      assert.ok(Math.abs(held.size - (40 * percent) / 100) <= 12, `${held.size} at ${percent} %`);
      before = held;
    }
    const { canary, live, activeVersion } = await bodyOf(admin.get(filter.path));
    assert.equal(activeVersion, active);
    assert.ok(canary.live[0].calls >= 40 && live[0].calls >= 40);
  });

  test('is promoted to all threads, or ended', async () => {
    const scene = await two();
    const { admin, alice, bob, filter, active, candidate } = scene;
    await succeed(admin.post(canaryOf(filter), { percent: 100 }));
    assert.deepEqual(await deciders(scene, [bob]), [candidate]);

    const ended = await bodyOf(admin.del(canaryOf(filter)));
    assert.deepEqual([ended.canary, ended.activeVersion], [null, active]);
    assert.deepEqual(await deciders(scene, [bob]), [active]);

    await succeed(admin.post(canaryOf(filter), { version: candidate, percent: 1 }));
    const promoted = await bodyOf(admin.post(`${canaryOf(filter)}/promote`));
    assert.deepEqual([promoted.canary, promoted.activeVersion], [null, candidate]);
    assert.equal(promoted.previousVersion, active);
    assert.deepEqual(await deciders(scene, [bob]), [candidate]);
    assert.equal((await alice.send(bob, 'darn')).content, '****');
    const actions = (await bodyOf(admin.get('/admin/audit'))).map(({ action }) => action);
    for (const action of ['plugin.canary', 'plugin.canary.end', 'plugin.canary.promote']) {
      assert.ok(actions.includes(action), action);
    }
  });

  test('ends with its plugin, and refuses what makes no sense', async () => {
    const { admin, alice, filter, active, candidate } = await two();
    const set = (body) => admin.post(canaryOf(filter), body);

    assertProblem(await alice.post(canaryOf(filter), { percent: 10 }), 403, 'forbidden');
    for (const percent of [0, 101, 'all']) assertProblem(await set({ percent }), 422, 'invalid');
    assertProblem(await set({ percent: 10, version: 'ab' }), 422, 'invalid');
    assertProblem(await admin.del(canaryOf(filter)), 404, 'not_found');
    assertProblem(await set({ percent: 10, version: active }), 409, 'conflict');
    await succeed(set({ percent: 10, version: candidate }));
    assertProblem(await set({ percent: 20, version: active }), 409, 'conflict');
    assert.equal((await filter.disable()).body.canary, null);
    await succeed(set({ percent: 10, version: candidate }));
    await filter.remove();
  });
});
