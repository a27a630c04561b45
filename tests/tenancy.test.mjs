import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, test } from 'node:test';

import { assertAckError, assertInvalid, assertProblem, ids } from './harness/assertions.mjs';
import { startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES, threadPath } from './harness/user.mjs';

const server = await startServer();
after(() => server.stop());

/** Two orgs in which the same e-mails are different people. */
async function twins() {
  const [here, there] = [await server.org(), await server.org()];
  const [alice, bob] = await here.people('alice', 'bob');
  const [otherAlice, otherBob] = await there.people('alice', 'bob');
  return { here, there, alice, bob, otherAlice, otherBob };
}

/** Waits for a message inside the org, after which anything that leaked in would be there too. */
async function settle(from, to, socket) {
  const content = `barrier ${randomUUID()}`;
  await from.send(to, content);
  await socket.next('newMessage', (message) => message.content === content);
}

describe('The same e-mail in two orgs', () => {
  test('shares no message, read mark, edit or deletion', async () => {
    const { alice, bob, otherAlice, otherBob } = await twins();
    const sockets = [await otherAlice.connect(), await otherBob.connect()];

    const sent = await alice.send(bob, 'for this org only');
    const second = await alice.send(bob, 'this too');
    await bob.post(`${MESSAGES}/read`, { ids: [sent.id] });
    await bob.post(`${threadPath(alice)}/read`);
    await alice.patch(`${MESSAGES}/${sent.id}`, { content: 'edited' });
    await alice.del(`${MESSAGES}/${second.id}`);
    await settle(otherBob, otherAlice, sockets[0]);
    await settle(otherAlice, otherBob, sockets[1]);
    for (const socket of sockets) await socket.next('messageSent');

    for (const socket of sockets) {
      for (const event of ['messageRead', 'threadRead', 'messageUpdated', 'messageDeleted']) {
        assert.deepEqual(socket.all(event), [], event);
      }
      assert.equal(socket.all('newMessage').length, 1);
      assert.equal(socket.all('messageSent').length, 1);
    }
    for (const [user, peer] of [
      [otherAlice, otherBob],
      [otherBob, otherAlice],
    ]) {
      const history = await user.history(peer);
      assert.ok(history.every((message) => message.content.startsWith('barrier ')));
      assert.equal((await user.threads()).length, 1);
      assert.equal(await user.unreadCount(), 1);
      assert.equal((await user.notifications()).length, 1);
    }
  });

  test('shares no sync', async () => {
    const { alice, bob, otherBob } = await twins();
    const { cursor } = await otherBob.sync(null);

    await alice.send(bob, 'for this org only');

    assert.deepEqual((await otherBob.sync(cursor)).changes, []);
  });

  test('shares no presence and no typing', async () => {
    const { here, alice, bob, otherAlice, otherBob } = await twins();
    const [hers, otherHers, otherHis] = [
      await alice.connect(),
      await otherAlice.connect(),
      await otherBob.connect(),
    ];
    const bobs = await bob.connect();
    await hers.next('userOnline', (event) => event.email === bob.email);
    await otherHers.next('userOnline', (event) => event.email === otherBob.email);

    const carols = await here.user('carol@example.com').connect();
    await hers.next('userOnline', (event) => event.email === 'carol@example.com');
    hers.tell('typing', { to: bob.email });
    await bobs.next('typing');
    carols.close();
    await hers.next('userOffline', (event) => event.email === 'carol@example.com');
    await settle(otherBob, otherAlice, otherHers);

    const emails = (await otherHers.ask('getOnlineUsers', null)).map((user) => user.email);
    assert.deepEqual(emails.sort(), [otherAlice.email, otherBob.email]);
    for (const socket of [otherHers, otherHis]) {
      assert.deepEqual(socket.all('typing'), []);
      assert.deepEqual(socket.all('userOffline'), []);
      const seen = socket.all('userOnline').map((event) => event.email);
      assert.ok(!seen.includes('carol@example.com'), seen.join());
    }
  });

  test('is online in one org and offline in the other', async () => {
    const { alice, bob, otherAlice, otherBob } = await twins();
    await bob.send(alice, 'hi');
    await otherBob.send(otherAlice, 'hi');
    await bob.connect();

    await until('bob is online here', async () => (await alice.threads())[0].peerInfo.online);

    assert.equal((await otherAlice.threads())[0].peerInfo.online, false);
  });

  test('is two people with two ids', async () => {
    const { alice, bob, otherAlice, otherBob } = await twins();
    await alice.send(bob, 'hi');
    await otherAlice.send(otherBob, 'hi');

    const [[here], [there]] = [await alice.threads(), await otherAlice.threads()];

    assert.equal(here.peer, there.peer);
    assert.notEqual(here.peerInfo.id, there.peerInfo.id);
  });

  test('takes no message from the other org', async () => {
    const { here, there, alice, otherBob } = await twins();
    const claim = here.token({ email: alice.email, orgId: here.id });
    const body = { to: otherBob.email, content: 'across', contentType: 'text' };
    const headers = { authorization: `Bearer ${claim}`, orgid: there.id };

    const answer = await server.request(MESSAGES, { method: 'POST', headers, body });

    assertProblem(answer, 401, 'unauthorized');
    assert.deepEqual(await otherBob.threads(), []);
  });
});

describe('The id of a message of other people', () => {
  /** A message between Alice and Bob, and two who may not know of it: of the org, and of another. */
  async function secret() {
    const { here, alice, bob, otherAlice } = await twins();
    const [eve] = await here.people('eve');
    const message = await alice.send(bob, 'secret');
    const own = new Map();
    for (const user of [eve, otherAlice]) own.set(user, await user.send('peer@example.com', 'own'));
    return { alice, bob, message, outsiders: [eve, otherAlice], own };
  }

  /** An answer without what differs from request to request. */
  const bare = ({ status, body: { requestId: _, ...body } }, id) =>
    JSON.parse(JSON.stringify({ status, body }).replaceAll(id, 'ID'));

  test('answers every route like an id that does not exist', async () => {
    const { message, outsiders } = await secret();
    const attempts = {
      get: (user, id) => user.get(`${MESSAGES}/${id}`),
      'get by client': (user, id) => user.get(`/client${MESSAGES}/${id}`),
      patch: (user, id) => user.patch(`${MESSAGES}/${id}`, { content: 'changed' }),
      delete: (user, id) => user.del(`${MESSAGES}/${id}`),
      'delete for me': (user, id) => user.del(`${MESSAGES}/${id}?scope=me`),
      'delete for everyone': (user, id) => user.del(`${MESSAGES}/${id}?scope=everyone`),
    };

    for (const user of outsiders) {
      for (const [name, attempt] of Object.entries(attempts)) {
        const unknown = randomUUID();
        const [foreign, none] = [await attempt(user, message.id), await attempt(user, unknown)];
        assertProblem(foreign, 404, 'not_found');
        assert.deepEqual(bare(foreign, message.id), bare(none, unknown), name);
      }
    }
  });

  test('is ignored among ids to mark as read', async () => {
    const { alice, message, outsiders } = await secret();

    for (const user of outsiders) {
      const byRest = await user.post(`${MESSAGES}/read`, { ids: [message.id] });
      const socket = await user.connect();
      const one = await socket.ask('markRead', { messageId: message.id });
      const many = await socket.ask('markRead', { ids: [message.id] });

      assert.deepEqual(byRest.body, { updated: 0, ids: [] });
      assert.deepEqual(
        [one, many],
        [
          { ok: true, updated: 0 },
          { ok: true, updated: 0 },
        ],
      );
    }

    assert.equal((await alice.message(message.id)).readAt, null);
  });

  test('is nothing to answer to', async () => {
    const { message, outsiders } = await secret();
    const request = { to: 'peer@example.com', content: 'x', contentType: 'text', replyTo: message.id };

    for (const user of outsiders) {
      const socket = await user.connect();

      assertInvalid(await user.post(MESSAGES, request), 'replyTo');
      assertAckError(await socket.ask('sendMessage', request), 422, 'invalid');
    }
  });

  test('opens no part of a thread', async () => {
    const { message, outsiders, own } = await secret();

    for (const user of outsiders) {
      for (const where of ['before', 'after', 'around']) {
        const foreign = await user.get(threadPath('peer@example.com', `?${where}=${message.id}`));
        const unknown = await user.get(threadPath('peer@example.com', `?${where}=${randomUUID()}`));

        assert.equal(foreign.status, unknown.status, where);
        assert.ok(foreign.status < 500, foreign.text);
        assert.ok(!foreign.text.includes('secret'), where);
      }
      assert.deepEqual(ids(await user.history('peer@example.com')), [own.get(user).id]);
    }
  });

  test('marks no notification of someone else', async () => {
    const { bob, message, outsiders } = await secret();
    const before = await bob.notifications();

    for (const user of outsiders) {
      await user.post('/community/notifications/read', { ids: [message.id] });
    }

    assert.deepEqual(await bob.notifications(), before);
  });
});

describe('The id of a person of another org', () => {
  test('opens no thread', async () => {
    const { alice, bob, otherAlice } = await twins();
    await alice.send(bob, 'secret');
    const [{ peerInfo }] = await alice.threads();

    const foreign = await otherAlice.get(threadPath(peerInfo.id));
    const unknown = await otherAlice.get(threadPath(randomUUID()));

    assert.equal(foreign.status, unknown.status);
    assert.ok(!foreign.text.includes('secret') && !foreign.text.includes(bob.email), foreign.text);
    const read = await otherAlice.post(`${threadPath(peerInfo.id)}/read`);
    assert.ok(read.status < 500, read.text);
    assert.equal(await bob.unreadCount(), 1);
  });
});

describe('A thread', () => {
  test('is not opened by naming one of its two people', async () => {
    const org = await server.org();
    const [alice, bob, eve] = await org.people('alice', 'bob', 'eve');
    await alice.send(bob, 'secret');
    await eve.send(bob, 'hello');

    const history = await eve.history(bob);

    assert.deepEqual(
      history.map((message) => message.content),
      ['hello'],
    );
    await eve.post(`${threadPath(alice)}/read`);
    await eve.post(`${threadPath(bob)}/read`);
    assert.equal(await bob.unreadCount(), 2);
  });
});
