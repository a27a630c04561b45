// How recipients are told of messages, as plugins decide.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { ids } from './harness/assertions.mjs';
import { notified } from './harness/notifier.mjs';
import { startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';
import { Filter, bodyOf, succeed } from './harness/word_filter.mjs';

// Looks often, so that the tests need not wait; and a busy machine fails none.
const directory = mkdtempSync(join(tmpdir(), 'duologue-notify-'));
const config = join(directory, 'config.toml');
writeFileSync(
  config,
  '[notifications]\ninterval_ms = 100\nlease_ms = 500\n[plugins]\ncall_cpu_ms = 1000\nnotify_ms = 4000\n',
);
const args = ['--config', config];
const server = await startServer({ args });
after(async () => {
  await server.stop();
  rmSync(directory, { recursive: true });
});

/** Waits until a person's list holds so many. */
const listed = (user, count) =>
  until(`${count} notifications are listed`, async () => {
    const list = await user.notifications();
    return list.length === count && list;
  });

describe('A notification about which a plugin decides', () => {
  test('is rewritten live and in the list, behind its message', async () => {
    const { alice, bob } = await notified(server);
    const his = await bob.connect();

    const sent = await alice.send(bob, 'rewrite Hello');
    const told = await his.next('notification');

    assert.equal(his.all('newMessage').length, 1);
    const { title, body, data, priority, messageId, from, suppressedReason, readAt } = told;
    assert.deepEqual(
      { title, body, data, priority, messageId, from, suppressedReason, readAt },
      {
        title: 'Hello',
        body: 'rewritten',
        data: { a: 1 },
        priority: 'high',
        messageId: sent.id,
        from: alice.email,
        suppressedReason: null,
        readAt: null,
      },
    );
    assert.deepEqual(await bob.notifications(), [told]);
    assert.equal((await bob.history(alice))[0].content, 'rewrite Hello');
  });

  test('is left as it is, and told live only where the org asks for all', async () => {
    const { org, alice, bob } = await notified(server);
    const his = await bob.connect();
    for (const [notificationEvents, count] of [['changed', 0], ['all', 1]]) {
      await org.set({ notificationEvents });

      const sent = await alice.send(bob, 'plain');
      const [entry] = await until('it is listed', async () => {
        const list = await bob.notifications();
        return list[0]?.id === sent.id && list;
      });
      await alice.send(bob, 'rewrite Done');
      await his.next('notification', ({ title }) => title === 'Done');

      assert.deepEqual([entry.body, 'priority' in entry], ['plain', false]);
      assert.deepEqual(his.all('notification').filter(({ id }) => id === sent.id).length, count);
    }
  });

  test('keeps its record when it is suppressed, with the reason, and nobody is told', async () => {
    const { alice, bob } = await notified(server, { settings: { notificationEvents: 'all' } });
    const his = await bob.connect();

    await alice.send(bob, 'suppress a bot wrote it');
    const [entry] = await listed(bob, 1);
    await alice.send(bob, 'rewrite Done');
    await his.next('notification');

    assert.equal(entry.suppressedReason, 'a bot wrote it');
    assert.equal(his.all('notification').length, 1);
    assert.equal(await bob.unreadCount(), 2);
  });

  test('goes out by the ways that were chosen, and no other', async () => {
    const { alice, bob } = await notified(server, { settings: { notificationEvents: 'all' } });
    const his = await bob.connect();
    const sent = {};
    for (const ways of ['socket', 'list', '', 'list,socket']) sent[ways] = await alice.send(bob, `ways ${ways}`);

    await his.next('notification', ({ id }) => id === sent['list,socket'].id);
    await his.next('notification', ({ id }) => id === sent.socket.id);
    const list = await listed(bob, 2);
    await alice.send(bob, 'rewrite Done');
    await his.next('notification', ({ title }) => title === 'Done');

    assert.deepEqual(ids(list), ids([sent['list,socket'], sent.list]));
    assert.equal(his.all('notification').length, 3);
    // What is not in the list cannot be marked there.
    const marked = await bodyOf(bob.post('/community/notifications/read', { ids: [sent.socket.id] }));
    assert.deepEqual(marked, { updated: 0 });
  });

  test('is decided by several plugins in their order', async () => {
    const { alice, bob } = await notified(server, { deeds: ['mark a', 'ways socket', 'mark b'] });
    const his = await bob.connect();

    await alice.send(bob, 'hello');

    const { title, body } = await his.next('notification');
    assert.deepEqual([title, body], ['ab', 'hello']);
    assert.deepEqual(await bob.notifications(), []);
  });

  test('goes out as it is where the plugin fails, and the failure is counted', async () => {
    const { alice, bob, admin, plugins } = await notified(server);

    await alice.send(bob, 'crash');
    await alice.send(bob, 'ways list,push');
    const list = await listed(bob, 2);

    assert.deepEqual(list.map(({ body }) => body), ['ways list,push', 'crash']);
    const { live } = await bodyOf(admin.get(plugins[0].path));
    const [{ hook, faults }] = live;
    assert.deepEqual([hook, faults], ['on-notify', { invalid_answer: 1, trapped: 1 }]);
  });

  test('is decided with the recipient’s time, presence and badge in sight', async () => {
    const { alice, bob } = await notified(server, { claims: { zoneinfo: 'Asia/Kathmandu' } });
    const shown = async () => {
      const { id } = await alice.send(bob, 'show');
      const { data } = await until('it is listed', async () =>
        (await bob.notifications()).find((entry) => entry.id === id),
      );
      return data;
    };

    const away = await shown();
    const his = await bob.connect();
    const here = await shown();

    assert.deepEqual([away.recipient.online, away.recipient.unread], [false, 1]);
    assert.deepEqual([here.recipient.online, here.recipient.unread], [true, 2]);
    assert.equal(here.recipient.zoneinfo, 'Asia/Kathmandu');
    assert.equal(here.recipient.local.offsetMinutes, 345);
    const there = new Date(here.call.nowMs + 345 * 60_000);
    const { year, month, day, hour, minute } = here.recipient.local;
    assert.equal(Date.UTC(year, month - 1, day, hour, minute), Math.floor(there / 60_000) * 60_000);
    his.close();
  });

  test('of a held message is decided when that is released', async () => {
    const { alice, bob, admin } = await notified(server);
    await Filter.install(admin, 'guard', { words: 'darn', mode: 'hold' });
    const his = await bob.connect();
    const held = await alice.send(bob, 'rewrite darn');
    assert.equal(held.state, 'held');
    await alice.send(bob, 'rewrite first');
    await his.next('notification');
    assert.deepEqual((await bob.notifications()).map(({ title }) => title), ['first']);

    await succeed(admin.post(`/admin/held/${held.id}/release`, { revision: 0 }));

    assert.equal((await his.next('notification')).title, 'darn');
    assert.equal(his.all('newMessage').length, 2);
  });

  test('of a slow plugin holds up no other org', async () => {
    const slow = await notified(server, { deeds: ['spin'] });
    const quick = await notified(server);
    const his = await quick.bob.connect();
    for (let index = 0; index < 12; index++) await slow.alice.send(slow.bob, 'hello');

    await quick.alice.send(quick.bob, 'rewrite Quick');
    await his.next('notification');

    assert.ok((await slow.bob.notifications()).length < 12);
    await until('all are told', async () => (await slow.bob.notifications()).length === 12, 60_000);
  });
});

describe('A notification that a plugin puts off', () => {
  test('is neither listed nor told before its time, then both, and nobody is asked again', async () => {
    const { alice, bob, admin, plugins } = await notified(server);
    const his = await bob.connect();
    const began = Date.now();
    const sent = await alice.send(bob, 'delay 1500');
    await his.next('newMessage');
    assert.deepEqual(await bob.notifications(), []);

    const told = await his.next('notification');

    assert.ok(Date.now() - began >= 1500);
    assert.deepEqual([told.id, told.body], [sent.id, 'delay 1500']);
    assert.deepEqual(await bob.notifications(), [told]);
    const { live } = await bodyOf(admin.get(plugins[0].path));
    assert.equal(live[0].calls, 1);
  });

  test('is dropped once its message is read, deleted or hidden', async () => {
    const { alice, bob } = await notified(server);
    const his = await bob.connect();
    const sent = [];
    for (let index = 0; index < 4; index++) sent.push(await alice.send(bob, `delay ${1500 + index}`));
    await succeed(bob.post(`${MESSAGES}/read`, { ids: [sent[0].id] }));
    await succeed(alice.del(`${MESSAGES}/${sent[1].id}`));
    await succeed(bob.del(`${MESSAGES}/${sent[2].id}?scope=me`));

    assert.equal((await his.next('notification')).id, sent[3].id);
    await alice.send(bob, 'rewrite Done');
    await his.next('notification', ({ title }) => title === 'Done');

    assert.deepEqual((await bob.notifications()).map(({ title, id }) => [id === sent[3].id, title === 'Done']), [
      [false, true],
      [true, false],
    ]);
    assert.equal(his.all('notification').length, 2);
  });

  test('goes out although its plugin is gone by then', async () => {
    const { alice, bob, plugins } = await notified(server);
    const his = await bob.connect();
    await alice.send(bob, 'delay 1000');
    await his.next('newMessage');

    await plugins[0].remove();

    assert.equal((await his.next('notification')).body, 'delay 1000');
  });
});

describe('A server that is killed', () => {
  test('forgets neither what was put off nor what was being decided', async () => {
    const killed = await startServer({ args });
    try {
      const { alice, bob, admin, plugins } = await notified(killed);
      const spinning = await notified(killed, { deeds: ['spin'] });
      const sent = await alice.send(bob, 'delay 2000');
      await until('it was asked', async () => (await bodyOf(admin.get(plugins[0].path))).live[0].calls === 1);
      await spinning.alice.send(spinning.bob, 'hello');
      assert.deepEqual(await bob.notifications(), []);
      assert.deepEqual(await spinning.bob.notifications(), []);

      await killed.kill9();
      await killed.restart();

      assert.deepEqual(ids(await listed(bob, 1)), [sent.id]);
      const told = () => spinning.bob.notifications();
      await until('it is asked again', async () => (await told()).length === 1, 60_000);
      const { live } = await bodyOf(spinning.admin.get(spinning.plugins[0].path));
      assert.deepEqual(live[0].faults, { timed_out: 1 });
    } finally {
      await killed.stop();
    }
  });
});
