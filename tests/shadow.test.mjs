// Shadowed messages: sent as their sender sees them; for anybody else there are none.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { assertMessage, assertProblem, ids } from './harness/assertions.mjs';
import { draft } from './harness/drafts.mjs';
import { startServer } from './harness/server.mjs';
import { MESSAGES, threadPath } from './harness/user.mjs';
import { bodyOf, moderated } from './harness/word_filter.mjs';

const server = await startServer();
after(() => server.stop());

const SHADOW = { words: 'darn', mode: 'shadow' };

const talking = (config, settings) => moderated(server, config, settings);

/** The names of all fields, however deep: what a careful sender could compare. */
function shape(value) {
  if (Array.isArray(value)) return value.map(shape);
  if (value === null || typeof value !== 'object') return value === null ? null : typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shape(inner)]));
}

/** What a sender sees of one message to somebody new, whatever they look at. */
async function seenBySender(alice, bob, content) {
  const hers = [await alice.connect(), await alice.connect()];
  const { cursor } = await alice.sync(null);
  const ack = await hers[0].ask('sendMessage', draft(bob, { content, clientId: 'one' }));
  const told = await hers[1].next('messageSent');
  const { id } = ack.message;
  const again = await alice.post(MESSAGES, draft(bob, { content, clientId: 'one' }));
  const reply = await alice.post(MESSAGES, draft(bob, { replyTo: id }));
  const edited = await alice.patch(`${MESSAGES}/${id}`, { content: `${content}!` });
  const updated = await hers[1].next('messageUpdated');
  const views = {
    ack,
    told,
    again: [again.status, again.body],
    reply: [reply.status, reply.body],
    edited: [edited.status, edited.body],
    updated,
    found: await alice.message(id),
    history: await alice.history(bob),
    around: await bodyOf(alice.get(threadPath(bob, `?around=${id}`))),
    threads: await alice.threads(),
    notifications: await alice.notifications(),
    online: await hers[0].ask('getOnlineUsers', null),
    changes: (await alice.sync(cursor)).changes,
  };
  const deleted = await alice.del(`${MESSAGES}/${id}`);
  return { ...views, deleted: [deleted.status, await hers[1].next('messageDeleted')], after: await alice.history(bob) };
}

describe('A shadowed message', () => {
  test('looks to its sender in every view like one that was sent', async () => {
    const plain = await talking();
    const shadowed = await talking(SHADOW);

    const expected = await seenBySender(plain.alice, plain.bob, 'darn');
    const seen = await seenBySender(shadowed.alice, shadowed.bob, 'darn');

    assert.deepEqual(shape(seen), shape(expected));
    assertMessage(seen.found);
    const places = (views) => [
      views.ack.message.state,
      views.ack.message.seq,
      views.told.prevSeq,
      views.threads[0].lastSeq,
      views.history.map(({ seq, state, replyTo }) => [seq, state, replyTo !== null]),
      views.changes.map(({ type }) => type),
      views.again[0],
      views.edited[0],
    ];
    assert.deepEqual(places(seen), places(expected));
  });

  test('is nowhere for its recipient, now or after a reconnect', async () => {
    const { alice, bob } = await talking(SHADOW, { notificationEvents: 'all' });
    const his = await bob.connect();
    const { cursor } = await bob.sync(null);

    const { id } = await alice.send(bob, 'darn');
    await bodyOf(alice.patch(`${MESSAGES}/${id}`, { content: 'darn it' }));
    const gone = await alice.send(bob, 'darn');
    await bodyOf(alice.del(`${MESSAGES}/${gone.id}`));

    for (const hidden of [id, gone.id]) {
      const unknown = hidden.replace(/.{12}$/, '0123456789ab');
      const ask = async (named) => [
        await bob.get(`${MESSAGES}/${named}`),
        await bob.del(`${MESSAGES}/${named}`),
        await bob.del(`${MESSAGES}/${named}?scope=everyone`),
        await bob.patch(`${MESSAGES}/${named}`, { content: 'mine' }),
        await bob.post(MESSAGES, draft(alice, { replyTo: named })),
        await bob.post(`${MESSAGES}/read`, { ids: [named] }),
        await bob.post('/community/notifications/read', { ids: [named] }),
        ...(await Promise.all(
          ['before', 'after', 'around'].map((anchor) => bob.get(threadPath(alice, `?${anchor}=${named}`))),
        )),
      ];
      const told = (answers) =>
        answers.map(({ status, body }) => [status, body && { ...body, requestId: null }]);
      assert.deepEqual(told(await ask(hidden)), told(await ask(unknown)));
    }
    assert.deepEqual(await his.ask('markRead', { messageId: id }), { ok: true, updated: 0 });
    assert.deepEqual(await his.ask('markRead', { thread: alice.email }), { ok: true, updated: 0 });
    const again = await bob.connect();
    const synced = await again.ask('sync', { since: cursor });
    assert.deepEqual([synced.changes, synced.cursor.length > 0], [[], true]);
    assert.deepEqual(await bob.threads(), []);
    assert.deepEqual(await bob.history(alice), []);
    assert.deepEqual(await bob.notifications(), []);
    assert.equal(await bob.unreadCount(), 0);
    await bob.send(alice, 'barrier');
    await his.next('messageSent');
    for (const event of ['newMessage', 'messageUpdated', 'messageDeleted', 'notification', 'messageRead']) {
      assert.deepEqual(his.all(event), [], event);
    }
  });

  test('leaves no gap that a recipient is told of', async () => {
    const { alice, bob } = await talking(SHADOW);
    const his = await bob.connect();
    const first = await alice.send(bob, 'one');
    await his.next('newMessage');

    const shadowed = await alice.send(bob, 'darn');
    const [before] = await bob.threads();
    const second = await alice.send(bob, 'two', { replyTo: shadowed.id });
    const news = await his.next('newMessage');

    assert.deepEqual([before.lastSeq, before.unreadCount, before.lastMessage.id], [1, 1, first.id]);
    assert.deepEqual([news.id, news.prevSeq, news.replyTo], [second.id, first.seq, null]);
    assert.deepEqual(ids(await bob.history(alice)), [first.id, second.id]);
    assert.equal((await bob.message(second.id)).replyTo, null);
    assert.equal((await alice.message(second.id)).replyTo, shadowed.id);
    const [thread] = await bob.threads();
    assert.deepEqual([thread.unreadCount, thread.lastSeq, thread.lastMessage.id], [2, second.seq, second.id]);
    assert.equal((await bodyOf(bob.post(`${threadPath(alice)}/read`))).updated, 2);
    assert.equal((await alice.message(shadowed.id)).readAt, null);
  });

  test('does not move its thread up in the recipient’s list', async () => {
    const { org, alice, bob } = await talking(SHADOW);
    const [carol] = await org.people('carol');
    await alice.send(bob, 'one');
    await carol.send(bob, 'two');

    await alice.send(bob, 'darn');

    const peers = (await bob.threads()).map(({ peer }) => peer);
    assert.deepEqual(peers, [carol.email, alice.email]);
    assert.equal((await bob.threads())[1].lastMessage.content, 'one');
  });

  test('does not make its sender a peer of the recipient’s', async () => {
    const { alice, bob } = await talking(SHADOW, { presence: 'peers' });
    const [hers, his] = [await alice.connect(), await bob.connect()];

    await hers.ask('sendMessage', draft(bob, { content: 'darn' }));

    const seen = await his.ask('getOnlineUsers', null);
    assert.deepEqual(seen.map(({ email }) => email), [bob.email]);
    assert.deepEqual(his.all('userOnline').filter(({ email }) => email === alice.email), []);
  });

  test('stays shadowed when it is edited to something clean', async () => {
    const { alice, bob, filter } = await talking(SHADOW);
    const { id } = await alice.send(bob, 'darn');

    await bodyOf(alice.patch(`${MESSAGES}/${id}`, { content: 'clean' }));
    await filter.disable();
    await bodyOf(alice.patch(`${MESSAGES}/${id}`, { content: 'cleaner' }));

    assertProblem(await bob.get(`${MESSAGES}/${id}`), 404, 'not_found');
    assert.deepEqual(await bob.history(alice), []);
  });

  test('is seen by admins, for what it is', async () => {
    const { alice, bob, admin } = await talking(SHADOW);
    const { id } = await alice.send(bob, 'darn');

    const decision = await bodyOf(admin.get(`/admin/messages/${id}/decision`));

    assert.deepEqual([decision.state, decision.shadowed], ['sent', true]);
    assert.equal(decision.steps[0].verdict, 'shadow');
    assert.equal(decision.message.content, 'darn');
  });
});

test('An edit that would be shadowed waits for a review beside what stands', async () => {
  const { alice, bob, admin } = await talking(SHADOW);
  const { id } = await alice.send(bob, 'clean');

  const edited = await bodyOf(alice.patch(`${MESSAGES}/${id}`, { content: 'darn' }));

  assert.deepEqual([edited.content, edited.pendingRevision], ['clean', 1]);
  assert.equal((await bob.message(id)).content, 'clean');
  await bodyOf(admin.post(`/admin/held/${id}/refuse`, { revision: 1 }));
  assert.equal((await alice.message(id)).content, 'clean');
});
