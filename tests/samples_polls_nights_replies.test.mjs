// The samples `poll`, `quiet-hours` and `auto-reply`, as an org has them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { assertProblem } from './harness/assertions.mjs';
import { startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';
import { Filter, bodyOf, succeed } from './harness/word_filter.mjs';

const BUILT = join(import.meta.dirname, '../plugins/target/wasm32-unknown-unknown/release');
const BOT = 'bot@duologue.invalid';

const server = await startServer();
after(() => server.stop());

/** Two people and an admin of a new org that has a sample. */
async function having(sample, config = {}, { grants = {}, claims = {} } = {}) {
  const org = await server.org();
  const [alice, bob] = [org.user('alice@example.com'), org.user('bob@example.com', claims)];
  for (const user of [alice, bob]) await user.signIn();
  const admin = await org.admin();
  const plugin = new Filter(admin, sample);
  await plugin.upload(readFileSync(join(BUILT, `${sample}.wasm`)));
  await succeed(admin.request('PUT', `${plugin.path}/grants`, { body: grants }));
  await plugin.configure(config);
  return { org, alice, bob, admin, plugin };
}

/** A time of day in UTC, so many minutes from now. */
const clock = (minutes) => new Date(Date.now() + minutes * 60_000).toISOString().slice(11, 16);

describe('The sample poll', () => {
  const draft = (bob, content) => ({ to: bob.email, contentType: 'duologue.poll', content: JSON.stringify(content) });

  test('stores tidy polls, shows their question in lists, and says what is wrong', async () => {
    const { alice, bob, plugin } = await having('poll');
    const poll = { question: ' Where do we meet? ', options: ['Pier ', 'Kiosk'] };
    assertProblem(await alice.post(MESSAGES, draft(bob, poll)), 422, 'invalid');
    await plugin.activate();
    const his = await bob.connect();

    const sent = await bodyOf(alice.post(MESSAGES, draft(bob, poll)));
    const tidy = { question: 'Where do we meet?', options: ['Pier', 'Kiosk'], multiple: false };
    assert.deepEqual(JSON.parse(sent.content), tidy);
    assert.deepEqual(JSON.parse((await his.next('newMessage')).content), tidy);
    const [thread] = await bob.threads();
    assert.equal(thread.lastMessage.content, 'Poll: Where do we meet?');

    for (const [wrong, path] of [
      [{ ...poll, options: ['One'] }, '/options'],
      [{ ...poll, options: ['One', 'one '] }, '/options/1'],
      [{ ...poll, question: ' ' }, '/question'],
    ]) {
      const refused = await alice.post(MESSAGES, draft(bob, wrong));
      assertProblem(refused, 422, 'rejected');
      assert.equal(refused.body.reason, 'invalid_content');
      assert.equal(refused.body.details.violations[0].path, path);
    }
  });
});

describe('The sample quiet-hours', () => {
  const night = { from: clock(-60), to: clock(60) };
  const claims = { zoneinfo: 'Etc/UTC' };

  test('keeps notifications back in the recipient’s night, but not what is urgent', async () => {
    const { alice, bob, plugin } = await having('quiet-hours', night, { claims });
    await plugin.activate();

    const quiet = await alice.send(bob, 'are you awake?');
    const urgent = await bodyOf(
      alice.post(MESSAGES, { to: bob.email, content: 'fire', contentType: 'text', metadata: { urgent: 'yes' } }),
    );

    await until('the urgent one is listed', async () => (await bob.notifications()).length === 1);
    assert.equal((await bob.notifications())[0].messageId, urgent.id);
    assert.deepEqual((await bob.history(alice)).map(({ id }) => id).sort(), [quiet.id, urgent.id].sort());
  });

  test('goes by the zone of each recipient and by its configuration', async () => {
    const { org, alice, bob, plugin } = await having('quiet-hours', { ...night, mode: 'suppress' }, { claims });
    await plugin.activate();
    const carol = org.user('carol@example.com', { zoneinfo: 'Pacific/Kiritimati' });
    await carol.signIn();

    await alice.send(bob, 'hi');
    await alice.send(carol, 'hi');

    await until('both are decided', async () => {
      const lists = [await bob.notifications(), await carol.notifications()];
      return lists.every((list) => list.length === 1);
    });
    assert.equal((await bob.notifications())[0].suppressedReason, 'quiet hours');
    assert.equal((await carol.notifications())[0].suppressedReason, null);
  });

  test('refuses a configuration that cannot be meant', async () => {
    const { admin, plugin } = await having('quiet-hours', { from: '9 pm' });

    const refused = await admin.post(`${plugin.path}/activate`);

    assertProblem(refused, 422, 'invalid');
    assert.match(refused.body.errors[0].message, /`from` must be a time such as 22:00/);
  });
});

describe('The sample auto-reply', () => {
  test('answers once for whoever is away, and nobody else', async () => {
    const grants = { messages: {}, kv: {} };
    const { org, alice, bob, plugin } = await having('auto-reply', { for: 'BOB@example.com' }, { grants });
    await plugin.activate();
    const carol = org.user('carol@example.com');
    await carol.signIn();
    const hers = await alice.connect();

    await alice.send(bob, 'are you there?');
    const answer = await hers.next('newMessage');
    assert.deepEqual([answer.from, answer.to], [BOT, alice.email]);
    assert.match(answer.content, /is away and will answer later/);

    await alice.send(bob, 'hello?');
    await alice.send(carol, 'is Bob there?');
    await carol.send(bob, 'are you?');
    await until('Carol has her answer', async () => (await carol.history({ email: BOT })).length === 1);
    assert.equal((await alice.history({ email: BOT })).length, 1);
  });

  test('is not activated before it is granted what it imports', async () => {
    const { admin, plugin } = await having('auto-reply', { for: 'bob@example.com' });

    const refused = await admin.post(`${plugin.path}/activate`);

    assertProblem(refused, 422, 'invalid');
    assert.match(refused.body.errors[0].message, /kv, messages|messages, kv/);
  });
});
