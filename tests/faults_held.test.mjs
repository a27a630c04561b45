// What plugins that gave no answer held, once they give one.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { ids } from './harness/assertions.mjs';
import { startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';
import { WORD_FILTER, bodyOf, moderated, versionOf } from './harness/word_filter.mjs';

// Asked again soon, so that the tests need not wait.
const directory = mkdtempSync(join(tmpdir(), 'duologue-held-'));
const config = join(directory, 'config.toml');
writeFileSync(config, '[review]\ninterval_ms = 100\nask_again_ms = 200\nask_again_most_ms = 400\n');
const server = await startServer({ args: ['--config', config] });
after(async () => {
  await server.stop();
  rmSync(directory, { recursive: true });
});

/** A configuration that the filter cannot read: it gives no answer. */
const BROKEN = { mode: 'shrug' };
const mode = (name) => ({ words: 'darn', mode: name });

const talking = () => moderated(server, BROKEN);

const queue = (admin) => bodyOf(admin.get('/admin/held'));

/** Nothing of the org waits for a plugin's answer any more. */
const settled = (admin) =>
  until('plugins have answered', async () => (await queue(admin)).every(({ cause }) => cause === 'verdict'), 20_000);

describe('A message that was held for want of an answer', () => {
  test('keeps its place among others of its thread', async () => {
    const { alice, bob, admin, filter } = await talking();
    const his = await bob.connect();
    const held = [];
    for (let index = 0; index < 6; index++) held.push(await alice.send(bob, `clean ${index}`));

    await filter.configure(mode('reject'));
    await settled(admin);

    assert.deepEqual(ids(await his.collect('newMessage', 6)), ids(held));
    assert.deepEqual((await bob.history(alice)).map(({ id, seq }) => [id, seq]), ids(held).map((id, i) => [id, i + 1]));
  });

  test('is masked, labelled, shadowed, refused or held, as the plugin says', async () => {
    const outcomes = {};
    for (const verdict of ['mask', 'label', 'shadow', 'reject', 'hold']) {
      const { alice, bob, admin, filter } = await talking();
      const { id } = await alice.send(bob, 'oh darn');
      await filter.configure(mode(verdict));
      await settled(admin);
      const mine = await alice.message(id);
      const [theirs] = await bob.history(alice);
      outcomes[verdict] = [mine.state, mine.seq, mine.content, theirs?.content];
      assert.equal(mine.editedAt, null);
      assert.equal(await bob.unreadCount(), theirs ? 1 : 0);
      assert.equal((await bob.threads()).length, theirs ? 1 : 0);
      const held = (await queue(admin)).map(({ revision, cause }) => [revision, cause]);
      assert.deepEqual(held, verdict === 'hold' ? [[1, 'verdict']] : []);
    }

    assert.deepEqual(outcomes, {
      mask: ['sent', 1, 'oh ****', 'oh ****'],
      label: ['sent', 1, 'oh darn', 'oh darn'],
      shadow: ['sent', 1, 'oh darn', undefined],
      reject: ['refused', null, 'oh darn', undefined],
      hold: ['held', null, 'oh darn', undefined],
    });
  });

  test('leaves a line in the log of its plugin, and says when it is asked about again', async () => {
    const { alice, bob, admin, filter } = await talking();
    const { id } = await alice.send(bob, 'top secret');

    const [{ nextAttemptAt, cause }] = await queue(admin);
    assert.equal(cause, 'fault');
    assert.ok(Math.abs(Date.parse(nextAttemptAt) - Date.now()) < 120_000, nextAttemptAt);
    const { lines } = await bodyOf(admin.get(`${filter.path}/log`));
    const [{ level, text }] = lines.filter((line) => line.text.startsWith('no answer'));
    assert.deepEqual([level, text], ['error', `no answer: declined at before-send, message ${id}`]);
    assert.ok(!JSON.stringify(lines).includes('secret'));

    await filter.configure(mode('hold'));
    await alice.send(bob, 'darn');
    const held = await queue(admin);
    assert.equal(held.find((entry) => entry.cause === 'verdict').nextAttemptAt, null);
  });

  test('leaves a line also where another version or none decides by then', async () => {
    const { alice, bob, admin, filter } = await talking();
    await filter.upload(versionOf(WORD_FILTER, 'another'));

    const sends = Array.from({ length: 40 }, (_, number) => alice.send(bob, `no. ${number}`));
    await filter.activate();
    await filter.disable();
    const held = (await Promise.all(sends)).filter(({ state }) => state === 'held');

    assert.ok(held.length > 0);
    const { lines } = await bodyOf(admin.get(`${filter.path}/log`));
    const told = lines.map(({ text }) => text);
    for (const { id } of held) {
      assert.ok(told.includes(`no answer: declined at before-send, message ${id}`), told.join());
    }
  });

  test('is readable for admins as what was held, where it is refused then', async () => {
    const { alice, bob, admin, filter } = await talking();
    const { id } = await alice.send(bob, 'oh darn');
    await filter.configure(mode('reject'));
    await settled(admin);

    const { receipts } = await bodyOf(admin.get(`/admin/messages/${id}/receipt`));
    const [refused] = await bodyOf(admin.get('/admin/held?state=refused'));

    assert.deepEqual(receipts.map(({ notReplayable }) => notReplayable), receipts.map(() => null));
    assert.equal(receipts.at(-1).calls[0].input.body.content, 'oh darn');
    assert.equal(refused.message.content, 'oh darn');
    const audit = await bodyOf(admin.get('/admin/audit'));
    assert.ok(audit.some(({ action, subject }) => action === 'content.read' && subject === id));
  });

  test('passes as it was edited meanwhile', async () => {
    const { alice, bob, admin, filter } = await talking();
    const { id } = await alice.send(bob, 'darn');
    await bodyOf(alice.patch(`${MESSAGES}/${id}`, { content: 'clean' }));

    await filter.configure(mode('reject'));
    await settled(admin);

    assert.deepEqual((await bob.history(alice)).map(({ content }) => content), ['clean']);
  });

  test('passes when its plugin is removed', async () => {
    const { alice, bob, admin, filter } = await talking();
    const { id } = await alice.send(bob, 'clean');

    await filter.remove();
    await settled(admin);

    assert.deepEqual(ids(await bob.history(alice)), [id]);
  });

  test('can be decided by an admin before', async () => {
    const { alice, bob, admin, filter } = await talking();
    const [one, two] = [await alice.send(bob, 'one'), await alice.send(bob, 'two')];

    await bodyOf(admin.post(`/admin/held/${two.id}/release`, { revision: 0 }));
    await bodyOf(admin.post(`/admin/held/${one.id}/refuse`, { revision: 0 }));
    await filter.configure(mode('reject'));
    await settled(admin);

    assert.deepEqual(ids(await bob.history(alice)), [two.id]);
    assert.equal((await alice.message(one.id)).state, 'refused');
  });
});

test('A sender is told when what they edited waits as another revision', async () => {
  const { alice, bob, admin, filter } = await talking();
  await filter.configure(mode('hold'));
  const { id } = await alice.send(bob, 'clean');
  await filter.configure(BROKEN);
  await bodyOf(alice.patch(`${MESSAGES}/${id}`, { content: 'darn' }));
  const hers = await alice.connect();
  const { cursor } = await alice.sync(null);

  await filter.configure(mode('hold'));
  await settled(admin);

  assert.equal((await hers.next('messageUpdated')).pendingRevision, 2);
  const { changes } = await alice.sync(cursor);
  assert.deepEqual(changes.map(({ type, message }) => [type, message.pendingRevision]), [['updated', 2]]);
});

test('An edit that was held for want of an answer is applied, refused or held, as the plugin says', async () => {
  const outcomes = {};
  for (const verdict of ['mask', 'label', 'shadow', 'reject', 'hold']) {
    const { alice, bob, admin, filter } = await talking();
    await filter.configure(mode('mask'));
    const { id } = await alice.send(bob, 'clean');
    await filter.configure(BROKEN);
    const waiting = await bodyOf(alice.patch(`${MESSAGES}/${id}`, { content: 'oh darn' }));
    assert.deepEqual([waiting.content, waiting.pendingRevision], ['clean', 1]);
    await filter.configure(mode(verdict));
    await settled(admin);
    const mine = await alice.message(id);
    const [theirs] = await bob.history(alice);
    outcomes[verdict] = [mine.content, mine.pendingRevision, theirs.content];
    assert.ok(!('pendingRevision' in theirs));
  }

  assert.deepEqual(outcomes, {
    mask: ['oh ****', undefined, 'oh ****'],
    label: ['oh darn', undefined, 'oh darn'],
    shadow: ['clean', 2, 'clean'],
    reject: ['clean', undefined, 'clean'],
    hold: ['clean', 2, 'clean'],
  });
});
