import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, test } from 'node:test';

import { assertAckError, assertError, assertMessage, assertTime, ids } from './harness/assertions.mjs';
import { startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES, threadPath } from './harness/user.mjs';

const server = await startServer();
after(() => server.stop());

const text = (to, content = 'hello', fields = {}) => ({
  to: to.email,
  content,
  contentType: 'text',
  ...fields,
});

/** A message as an event carries it, without what only the event has. */
function withoutPrevSeq({ prevSeq, ...message }) {
  assert.notEqual(prevSeq, undefined, 'prevSeq');
  return message;
}

const online = (email) => (event) => event.email === email;

for (const transport of ['websocket', 'polling']) {
  const by = { transports: [transport] };

  /** Alice and Bob of a new org, with a socket each. */
  const pair = async (settings) => {
    const org = await server.org(settings);
    const [alice, bob] = await org.people('alice', 'bob');
    return { org, alice, bob, hers: await alice.connect(by), his: await bob.connect(by) };
  };

  describe(`Over ${transport}, sendMessage`, () => {
    test('is stored, acknowledged and pushed', async () => {
      const { alice, bob, hers, his } = await pair();

      const ack = await hers.ask('sendMessage', text(bob, 'quick one', { metadata: { a: 'b' } }));
      const pushed = await his.next('newMessage');

      assert.deepEqual(Object.keys(ack).sort(), ['message', 'ok']);
      assert.equal(ack.ok, true);
      assertMessage(ack.message);
      assert.deepEqual(ack.message, await alice.message(ack.message.id));
      assert.deepEqual(withoutPrevSeq(pushed), await bob.message(ack.message.id));
    });

    test('works without an ack, as the source shows it', async () => {
      const { alice, bob, hers, his } = await pair();

      hers.tell('sendMessage', { to: bob.email, content: 'Quick one', contentType: 'text' });

      const pushed = await his.next('newMessage');
      assert.deepEqual([pushed.from, pushed.content], [alice.email, 'Quick one']);
    });

    test('tells the sender’s other sockets and every socket of the recipient', async () => {
      const { alice, bob, hers, his } = await pair();
      const [hersToo, hisToo] = [await alice.connect(by), await bob.connect(by)];

      const { message } = await hers.ask('sendMessage', text(bob));

      for (const socket of [his, hisToo]) {
        assert.deepEqual(withoutPrevSeq(await socket.next('newMessage')), message);
      }
      assert.deepEqual(withoutPrevSeq(await hersToo.next('messageSent')), message);
      await bob.send(alice, 'barrier');
      for (const socket of [hers, hersToo]) await socket.next('newMessage');
      assert.equal(hers.all('messageSent').length, 0);
      for (const socket of [hers, hersToo]) assert.equal(socket.all('newMessage').length, 1);
    });

    test('says in an ack what is wrong', async () => {
      const { alice, bob, hers } = await pair();
      const refusals = [
        [text(alice), 422, 'invalid'],
        [text(bob, ''), 422, 'invalid'],
        [text(bob, 'a\u0000b'), 422, 'invalid'],
        [text(bob, 'x', { contentType: 'video' }), 422, 'invalid'],
        [text(bob, 'x', { from: bob.email }), 422, 'invalid'],
        [text(bob, 'x', { replyTo: randomUUID() }), 422, 'invalid'],
      ];

      for (const [request, status, code] of refusals) {
        assertAckError(await hers.ask('sendMessage', request), status, code);
      }

      assert.deepEqual(await bob.history(alice), []);
    });

    test('says what is wrong by an event where no ack was asked for', async () => {
      const { bob, hers } = await pair();

      hers.tell('sendMessage', text(bob, ''));

      const { event, error } = await hers.next('exception');
      assert.equal(event, 'sendMessage');
      assertError(error, 422, 'invalid');
    });

    test('whose ack was lost with the socket is safe to repeat', async () => {
      const { alice, bob, hers, his } = await pair();
      const request = text(bob, 'did you get it?', { clientId: 'k' });
      hers.tell('sendMessage', request);
      await his.next('newMessage');
      hers.close();

      const again = await alice.connect(by);
      const ack = await again.ask('sendMessage', request);

      assert.deepEqual(ids(await bob.history(alice)), [ack.message.id]);
      await alice.send(bob, 'barrier');
      await his.next('newMessage', (message) => message.content === 'barrier');
      assert.equal(his.all('newMessage').length, 2);
    });

    test('knows a repeat, at either door', async () => {
      const { alice, bob, hers, his } = await pair();
      const request = text(bob, 'once', { clientId: 'k' });

      const first = await hers.ask('sendMessage', request);
      const again = await hers.ask('sendMessage', request);
      const byRest = await alice.post(MESSAGES, request);
      const other = await hers.ask('sendMessage', { ...request, content: 'other' });

      assert.deepEqual(again, first);
      assert.deepEqual([byRest.status, byRest.body.id], [200, first.message.id]);
      assertAckError(other, 409, 'conflict');
      await alice.send(bob, 'barrier');
      assert.equal((await his.collect('newMessage', 2)).length, 2);
    });
  });

  describe(`Over ${transport}, a message`, () => {
    test('sent by REST reaches all sockets of both', async () => {
      const { alice, bob, hers, his } = await pair();
      const hersToo = await alice.connect(by);

      const sent = await alice.send(bob, 'by REST');

      assert.deepEqual(withoutPrevSeq(await his.next('newMessage')), sent);
      for (const socket of [hers, hersToo]) {
        assert.deepEqual(withoutPrevSeq(await socket.next('messageSent')), sent);
        assert.equal(socket.all('newMessage').length, 0);
      }
    });

    test('names the seq before it, which hiding and deleting never lower', async () => {
      const { alice, bob, hers, his } = await pair();
      const first = await alice.send(bob, 'one');
      const second = await bob.send(alice, 'two');
      await alice.del(`${MESSAGES}/${first.id}`);
      await alice.del(`${MESSAGES}/${second.id}?scope=me`);

      const third = await alice.send(bob, 'three');

      for (const [socket, event] of [
        [his, 'newMessage'],
        [hers, 'messageSent'],
      ]) {
        const pushed = await socket.next(event, (message) => message.id === third.id);
        assert.equal(pushed.prevSeq, second.seq);
      }
      assert.equal((await his.next('messageSent')).prevSeq, first.seq);
    });

    test('that is edited is sent again to both', async () => {
      const { alice, bob, hers, his } = await pair();
      const sent = await alice.send(bob, 'one');

      const edited = await alice.patch(`${MESSAGES}/${sent.id}`, { content: 'two' });

      for (const socket of [hers, his]) {
        assert.deepEqual(await socket.next('messageUpdated'), edited.body);
      }
    });

    test('that is deleted for everyone is announced to both', async () => {
      const { alice, bob, hers, his } = await pair();
      const read = await alice.send(bob, 'read');
      const unread = await alice.send(bob, 'unread');
      await bob.post(`${MESSAGES}/read`, { ids: [read.id] });

      for (const message of [read, unread]) await alice.del(`${MESSAGES}/${message.id}`);

      assert.deepEqual(await his.collect('messageDeleted', 2), [
        { messageId: read.id, peer: alice.email, scope: 'everyone', wasUnread: false },
        { messageId: unread.id, peer: alice.email, scope: 'everyone', wasUnread: true },
      ]);
      const [{ messageId, peer, scope }] = await hers.collect('messageDeleted', 2);
      assert.deepEqual([messageId, peer, scope], [read.id, bob.email, 'everyone']);
    });

    test('that is hidden is announced to the caller’s own sockets alone', async () => {
      const { alice, bob, hers, his } = await pair();
      const hisToo = await bob.connect(by);
      const sent = await alice.send(bob, 'one');

      await bob.del(`${MESSAGES}/${sent.id}`);

      for (const socket of [his, hisToo]) {
        assert.deepEqual(await socket.next('messageDeleted'), {
          messageId: sent.id,
          peer: alice.email,
          scope: 'me',
          wasUnread: true,
        });
      }
      await bob.send(alice, 'barrier');
      await hers.next('newMessage');
      assert.deepEqual(hers.all('messageDeleted'), []);
    });

    test('comes with a notification where the org asks for all', async () => {
      const { alice, bob, his } = await pair({ notificationEvents: 'all' });

      const sent = await alice.send(bob, 'ping');

      assert.ok(JSON.stringify(await his.next('notification')).includes(sent.id));
    });

    test('comes without a notification event otherwise', async () => {
      const { alice, bob, hers, his } = await pair();

      await alice.send(bob, 'one');
      await alice.send(bob, 'two');
      await his.collect('newMessage', 2);

      assert.equal((await his.ask('getOnlineUsers', null)).length, 2);
      for (const socket of [hers, his]) assert.deepEqual(socket.all('notification'), []);
    });
  });

  describe(`Over ${transport}, markRead`, () => {
    test('of one message tells the sender and the reader’s own sockets', async () => {
      const { alice, bob, hers, his } = await pair();
      const hisToo = await bob.connect(by);
      const sent = await alice.send(bob, 'one');

      const ack = await his.ask('markRead', { messageId: sent.id });

      assert.deepEqual(ack, { ok: true, updated: 1 });
      const { readAt } = await alice.message(sent.id);
      assertTime(readAt);
      const read = { messageId: sent.id, by: bob.email, readAt };
      assert.deepEqual(await hers.next('messageRead'), { ...read, peer: bob.email });
      for (const socket of [his, hisToo]) {
        assert.deepEqual(await socket.next('messageRead'), { ...read, peer: alice.email });
      }
    });

    test('of several ids tells of each', async () => {
      const { alice, bob, hers, his } = await pair();
      const sent = [await alice.send(bob, 'one'), await alice.send(bob, 'two')];

      const first = await his.ask('markRead', { ids: [...ids(sent), randomUUID(), 'msg-1'] });
      const again = await his.ask('markRead', { ids: ids(sent) });

      assert.deepEqual(
        [first, again],
        [
          { ok: true, updated: 2 },
          { ok: true, updated: 0 },
        ],
      );
      const events = await hers.collect('messageRead', 2);
      assert.deepEqual(events.map((event) => event.messageId).sort(), ids(sent).sort());
    });

    test('of a thread tells of each message, and once of the thread', async () => {
      const { alice, bob, hers, his } = await pair();
      const sent = [];
      for (let n = 0; n < 3; n++) sent.push(await alice.send(bob, `m${n}`));

      const ack = await his.ask('markRead', { thread: alice.email });

      assert.deepEqual(ack, { ok: true, updated: 3 });
      for (const [socket, peer] of [
        [hers, bob.email],
        [his, alice.email],
      ]) {
        const { readAt, ...event } = await socket.next('threadRead');
        assertTime(readAt);
        assert.deepEqual(event, { peer, by: bob.email, upToSeq: sent[2].seq, count: 3 });
        const reads = await socket.collect('messageRead', 3);
        assert.deepEqual(reads.map((read) => read.messageId).sort(), ids(sent).sort());
      }
    });

    test('counts nothing that is not the caller’s to read', async () => {
      const { org, alice, bob, hers, his } = await pair();
      const [carol] = await org.people('carol');
      const own = await bob.send(alice, 'mine');
      const foreign = await alice.send(carol, 'not bobs');

      for (const messageId of [own.id, foreign.id, randomUUID()]) {
        assert.deepEqual(await his.ask('markRead', { messageId }), { ok: true, updated: 0 });
      }

      await bob.send(alice, 'barrier');
      await hers.collect('newMessage', 2);
      assert.deepEqual(hers.all('messageRead'), []);
    });

    test('by REST is told in the same way', async () => {
      const { alice, bob, hers, his } = await pair();
      const [one, two] = [await alice.send(bob, 'one'), await alice.send(bob, 'two')];

      await bob.post(`${MESSAGES}/read`, { ids: [one.id] });
      await bob.post(`${threadPath(alice)}/read`);

      for (const socket of [hers, his]) {
        const reads = await socket.collect('messageRead', 2);
        assert.deepEqual(
          reads.map((read) => read.messageId),
          [one.id, two.id],
        );
        assert.equal((await socket.next('threadRead')).count, 1);
      }
    });
  });

  describe(`Over ${transport}, typing`, () => {
    test('reaches the peer, at most once in 2 s a pair', async () => {
      const { alice, bob, hers, his } = await pair();
      const started = Date.now();

      await until('bob saw alice typing twice', () => {
        hers.tell('typing', { to: bob.email });
        return his.all('typing').length >= 2;
      });

      assert.ok(Date.now() - started >= 2000, `twice within ${Date.now() - started} ms`);
      const [event] = his.all('typing');
      assert.equal(event.from, alice.email);
      assert.ok(event.expiresInMs > 0);
      assert.deepEqual(hers.all('typing'), []);
    });

    test('has a measure for each pair', async () => {
      const { org, alice, bob, hers, his } = await pair();
      const [carol] = await org.people('carol');
      const carols = await carol.connect(by);

      hers.tell('typing', { to: bob.email });
      hers.tell('typing', { to: carol.email });
      his.tell('typing', { to: alice.email });

      for (const [socket, from] of [
        [his, alice],
        [carols, alice],
        [hers, bob],
      ]) {
        assert.equal((await socket.next('typing')).from, from.email);
      }
    });
  });

  describe(`Over ${transport}, presence`, { concurrency: true }, () => {
    test('tells the org of a person’s first socket, and of the end of the last one', async () => {
      const { org, alice, bob, hers, his } = await pair();
      await hers.next('userOnline', online(bob.email));
      const hisToo = await bob.connect(by);
      const carol = org.user('carol@example.com');
      await carol.connect(by);
      await hers.next('userOnline', online(carol.email));

      his.close();
      const left = Date.now();
      hisToo.close();
      const offline = await hers.next('userOffline', online(bob.email));

      assert.ok(Date.now() - left >= 3000, `offline after ${Date.now() - left} ms`);
      assertTime(offline.lastSeen);
      assert.deepEqual(Object.keys(offline).sort(), ['email', 'lastSeen']);
      assert.equal(hers.all('userOnline').filter(online(bob.email)).length, 1);
      assert.equal(hers.connected, true, alice.email);
    });

    test('tells of many who come and go together, of each once', async () => {
      const org = await server.org();
      const hers = await org.user('alice@example.com').connect(by);
      const many = Array.from({ length: 20 }, (_, n) => org.user(`user${n}@example.com`));

      const sockets = await Promise.all(many.map((user) => user.connect(by)));
      for (const { email } of many) await hers.next('userOnline', online(email));
      for (const socket of sockets) socket.close();
      for (const { email } of many) await hers.next('userOffline', online(email));

      const emails = many.map((user) => user.email).sort();
      for (const event of ['userOnline', 'userOffline']) {
        const told = hers.all(event).map(({ email }) => email);
        assert.deepEqual(told.filter((email) => email !== 'alice@example.com').sort(), emails);
      }
    });

    test('does not flap at a reload', async () => {
      const { org, alice, bob, hers, his } = await pair();
      const carol = org.user('carol@example.com');
      const carols = await carol.connect(by);
      await hers.next('userOnline', online(carol.email));

      his.close();
      const reloaded = await bob.connect(by);
      carols.close();
      // Carol left after Bob: when she counts as offline, his time is over too.
      await hers.next('userOffline', online(carol.email));

      assert.equal(hers.all('userOffline').filter(online(bob.email)).length, 0);
      assert.equal(hers.all('userOnline').filter(online(bob.email)).length, 1);
      await alice.send(bob, 'still here?');
      await reloaded.next('newMessage');
    });

    test('is listed by getOnlineUsers, the caller included', async () => {
      const org = await server.org();
      const alice = org.user('alice@example.com', { name: 'Alice A.' });
      const bob = org.user('bob@example.com', { picture: 'https://cdn.example/bob.png' });
      await alice.send(bob, 'hi');
      const hers = await alice.connect(by);
      await bob.connect(by);
      await hers.next('userOnline', online(bob.email));

      const users = await hers.ask('getOnlineUsers', null);

      users.sort((one, other) => one.email.localeCompare(other.email));
      for (const user of users) assertTime(user.since);
      assert.deepEqual(
        users.map(({ email, name, picture }) => ({ email, name, picture })),
        [
          { email: alice.email, name: 'Alice A.', picture: null },
          { email: bob.email, name: null, picture: 'https://cdn.example/bob.png' },
        ],
      );
    });

    test('includes the caller from the first moment on', async () => {
      const org = await server.org();
      const users = Array.from({ length: 20 }, (_, n) => org.user(`user${n}@example.com`));

      for (const user of users) {
        const listed = await (await user.connect(by)).ask('getOnlineUsers', null);
        assert.ok(listed.some(online(user.email)), user.email);
      }
    });

    test('ends with a socket that goes as soon as it came', async () => {
      const { alice, bob, hers, his } = await pair();
      his.close();

      await Promise.all(Array.from({ length: 20 }, async () => (await bob.connect(by)).close()));

      await until(
        'bob is offline',
        async () => !(await hers.ask('getOnlineUsers', null)).some(online(bob.email)),
      );
      assert.equal(hers.connected, true, alice.email);
    });

    test('is shown to people with a common thread only, where the org says peers', async () => {
      const org = await server.org({ presence: 'peers' });
      const [alice, bob, carol, dave] = await org.people('alice', 'bob', 'carol', 'dave');
      await bob.send(alice, 'hi');
      await dave.send(alice, 'hi');
      const hers = await alice.connect(by);

      await carol.connect(by);
      await bob.connect(by);
      await hers.next('userOnline', online(bob.email));
      await dave.connect(by);
      await hers.next('userOnline', online(dave.email));

      assert.equal(hers.all('userOnline').filter(online(carol.email)).length, 0);
      const users = await hers.ask('getOnlineUsers', null);
      assert.deepEqual(users.map((user) => user.email).sort(), [alice.email, bob.email, dave.email]);
    });

    test('is shown to nobody where the org says off', async () => {
      const org = await server.org({ presence: 'off' });
      const [alice, bob] = await org.people('alice', 'bob');
      await bob.send(alice, 'hi');
      const hers = await alice.connect(by);

      await bob.connect(by);
      // As many as are told without a wait.
      for (let n = 0; n < 8; n++) await org.user(`user${n}@example.com`).connect(by);
      await bob.send(alice, 'barrier');
      await hers.next('newMessage');

      assert.equal(hers.all('userOnline').filter(online(bob.email)).length, 0);
      const users = await hers.ask('getOnlineUsers', null);
      assert.ok(!users.some((user) => user.email === bob.email));
      assert.notEqual((await alice.threads())[0].peerInfo.online, true);
    });
  });
}

describe('A socket', () => {
  test('may start with polling and go on by WebSocket', async () => {
    const org = await server.org();
    const [alice, bob] = await org.people('alice', 'bob');
    const his = await bob.connect({ transports: ['polling', 'websocket'] });

    await until('the transport is WebSocket', () => his.socket.io.engine.transport.name === 'websocket');
    await alice.send(bob, 'hi');

    assert.equal((await his.next('newMessage')).content, 'hi');
  });

  test('of one transport speaks with one of the other', async () => {
    const org = await server.org();
    const [alice, bob] = await org.people('alice', 'bob');
    const hers = await alice.connect({ transports: ['polling'] });
    const his = await bob.connect({ transports: ['websocket'] });

    await hers.ask('sendMessage', text(bob, 'ping'));
    await his.ask('sendMessage', text(alice, 'pong'));

    assert.equal((await his.next('newMessage')).content, 'ping');
    assert.equal((await hers.next('newMessage')).content, 'pong');
  });

  test('cannot name a room to join', async () => {
    const org = await server.org();
    const [alice, bob, eve] = await org.people('alice', 'bob', 'eve');
    const [his, hers] = [await bob.connect(), await eve.connect()];
    await bob.send(alice, 'hi');
    const [
      {
        peerInfo: { id },
      },
    ] = await alice.threads();

    for (const room of [bob.email, `org:${org.id}`, id, `${org.id}:${id}`]) {
      for (const event of ['join', 'joinRoom', 'subscribe', 'room', 'join-room']) {
        hers.tell(event, room);
        hers.tell(event, { room, email: room, userId: room });
      }
    }
    await alice.send(bob, 'private');
    await his.next('newMessage');
    await alice.send(eve, 'barrier');
    await hers.next('newMessage');

    assert.deepEqual(
      hers.all('newMessage').map((message) => message.content),
      ['barrier'],
    );
    assert.deepEqual(hers.all('messageSent'), []);
  });

  test('does not take the place of another of the same person', async () => {
    const org = await server.org();
    const [alice, bob] = await org.people('alice', 'bob');
    const sockets = [await bob.connect(), await bob.connect(), await bob.connect()];
    sockets[0].close();

    await alice.send(bob, 'hi');

    for (const socket of sockets.slice(1)) await socket.next('newMessage');
  });
});
