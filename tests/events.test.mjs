// Plugins that are told of what happened, and what they send, through a server's own doors.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { lines, listen } from './harness/listener.mjs';
import { startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';
import { bodyOf, moderated } from './harness/word_filter.mjs';

// Told again soon, so that the tests need not wait.
const directory = mkdtempSync(join(tmpdir(), 'duologue-events-'));
const config = join(directory, 'config.toml');
writeFileSync(config, '[plugins]\nevent_ms = 1000\n[events]\npoll_ms = 200\nlease_ms = 2000\nretry_ms = 1000\n');
const server = await startServer({ args: ['--config', config] });
after(async () => {
  await server.stop();
  rmSync(directory, { recursive: true });
});

const BOT = 'bot@duologue.invalid';

const count = (all, wanted) => all.filter((line) => line.startsWith(wanted)).length;

/** Waits until a plugin's log has such a line, and answers it. */
const line = (admin, wanted) =>
  until(`the log says ${wanted}`, async () => (await lines(admin, 'listener')).find((text) => text.startsWith(wanted)));

describe('A plugin that listens', () => {
  test('says at its upload what it hears, and is told of each kind', async () => {
    const { alice, bob, admin, filter } = await moderated(server, { words: 'darn', mode: 'hold' });
    const uploaded = await listen(admin, 'listener');
    assert.deepEqual(uploaded.versions[0].report.events, [
      'sent',
      'edited',
      'deleted',
      'read',
      'held',
      'released',
      'rejected',
      'user-online',
    ]);

    await alice.connect();
    const { id } = await alice.send(bob, 'hello');
    await bodyOf(alice.patch(`${MESSAGES}/${id}`, { content: 'hello again' }));
    await bodyOf(bob.post(`${MESSAGES}/read`, { ids: [id] }));
    const held = await alice.send(bob, 'darn');
    await line(admin, `held ${held.id} ${alice.email} ${bob.email} - [darn] 0 guard`);
    await bodyOf(admin.post(`/admin/held/${held.id}/release`, { revision: 0 }));
    await filter.configure({ words: 'darn', mode: 'reject' });
    assert.equal((await alice.post(MESSAGES, { to: bob.email, content: 'darn', contentType: 'text' })).status, 422);
    await line(admin, `edited ${id} ${alice.email} ${bob.email} 1 [hello again]`);
    await alice.del(`${MESSAGES}/${id}`);

    await line(admin, `user-online ${alice.email}`);
    await line(admin, `sent ${id} ${alice.email} ${bob.email} 1 [hello`);
    await line(admin, `released ${held.id} ${alice.email} ${bob.email} 2 [darn]`);
    await line(admin, `rejected ${alice.email} ${bob.email} words`);
    await line(admin, `read ${bob.email} ${alice.email} ${id}`);
    await line(admin, `deleted ${id} ${alice.email} true`);
  });

  test('hears of nothing that happens in another org', async () => {
    const { alice, bob, admin } = await moderated(server);
    await listen(admin, 'listener');
    const [carol, dave] = await server.people('carol', 'dave');

    const theirs = await carol.send(dave, 'elsewhere');
    const ours = await alice.send(bob, 'here');

    await line(admin, `sent ${ours.id}`);
    assert.equal(count(await lines(admin, 'listener'), `sent ${theirs.id}`), 0);
  });

  test('is told again after it failed, and answers once', async () => {
    const { alice, bob, admin } = await moderated(server);
    const hers = await alice.connect();
    await listen(admin, 'listener', { reply: 'thank you', 'fail-until': '2' });

    const { id } = await alice.send(bob, 'hello');

    const answer = await hers.next('newMessage');
    assert.deepEqual([answer.from, answer.content], [BOT, 'thank you']);
    const told = async () => (await lines(admin, 'listener')).filter((text) => text.startsWith(`sent ${id}`));
    await until('it was told twice', async () => (await told()).length === 2);
    const [first, second] = await told();
    assert.equal(second, first.replace(/1$/, '2'));
    await until('nothing waits', async () => count(await lines(admin, 'listener'), `answered ${answer.id}`) === 2);
    assert.equal((await alice.history(BOT)).length, 1);
  });

  test('can be answered, and its bot is in no list of who is online', async () => {
    const { alice, bob, admin } = await moderated(server);
    const hers = await alice.connect();
    await listen(admin, 'listener', { reply: 'thank you' });
    await alice.send(bob, 'hello');
    await hers.next('newMessage');

    const mine = await alice.send(BOT, 'you are welcome');

    const next = await hers.next('newMessage');
    assert.equal(next.from, BOT);
    assert.deepEqual(
      (await alice.history(BOT)).map(({ content }) => content),
      ['thank you', 'you are welcome', 'thank you'],
    );
    await line(admin, `sent ${mine.id} ${alice.email} ${BOT}`);
    const online = await hers.ask('getOnlineUsers', null);
    assert.ok(!JSON.stringify(online).includes(BOT));
    const { peerInfo } = (await alice.threads()).find(({ peer }) => peer === BOT);
    assert.deepEqual([peerInfo.name, peerInfo.online], ['Bot', false]);
  });

  test('does not set itself off, nor another one without end', async () => {
    const { alice, bob, admin } = await moderated(server);
    const his = await bob.connect();
    for (const name of ['ping', 'pong']) await listen(admin, name, { reply: name, to: bob.email });

    await alice.send(bob, 'hello');

    // The person's, one answer of each, and then two of each to the other.
    await his.collect('newMessage', 7);
    const denied = async (name) => (await lines(admin, name)).some((text) => text.includes('Error::Denied'));
    await until('both were denied', async () => (await denied('ping')) && denied('pong'));
    assert.equal(his.all('newMessage').length, 7);
  });
});

describe('The address of the bot', () => {
  test('is claimed by no token, at no door', async () => {
    const org = await server.org();
    for (const email of [BOT, 'Bot@Duologue.INVALID']) {
      const impostor = org.user(email);

      const refused = await impostor.get(`${MESSAGES}/unread-count`);
      assert.deepEqual([refused.status, refused.body.code], [401, 'unauthorized']);
      const client = await impostor.get(`/client${MESSAGES}/unread-count`);
      assert.equal(client.status, 401);
      assert.equal(await impostor.connectRefusal(), 'unauthorized');
      const [alice] = await org.people('alice');
      const ack = await (await alice.connect()).ask('authenticate', { token: impostor.token });
      assert.equal(ack.ok, false);
    }
  });

  test('is given to nobody by an admin', async () => {
    const { alice, bob, admin, org } = await moderated(server);
    const hers = await alice.connect();
    await listen(admin, 'listener', { reply: 'thank you' });
    await alice.send(bob, 'hello');
    await hers.next('newMessage');

    const rebound = await admin.post('/admin/users/rebind', { email: BOT, issuer: '', subject: 'mallory' });

    assert.equal(rebound.status, 422);
    const byCommand = await server.cli('user', 'rebind', org.id, BOT, '--subject', 'mallory');
    assert.notEqual(byCommand.code, 0);
  });
});

// The last, because it takes the server away.
test('What was acknowledged is told at least once, also where the server is killed', async () => {
  const { alice, bob, admin } = await moderated(server);
  await listen(admin, 'listener', { 'fail-until': '2' });
  const ids = [];
  for (let index = 0; index < 20; index++) ids.push((await alice.send(bob, `message ${index}`)).id);

  await server.kill9();
  await server.start();

  await until(
    'all are told',
    async () => {
      const told = await lines(admin, 'listener');
      return ids.every((id) => told.some((text) => text.startsWith(`sent ${id}`) && !text.endsWith('/1')));
    },
    30_000,
  );
});
