// Messages that wait for a review, and the admins who decide about them.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { assertInvalid, assertMessage, assertProblem, ids } from './harness/assertions.mjs';
import { draft } from './harness/drafts.mjs';
import { nextPage } from './harness/http.mjs';
import { startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES, threadPath } from './harness/user.mjs';
import { bodyOf, moderated } from './harness/word_filter.mjs';

const server = await startServer();
after(() => server.stop());

const HOLD = { words: 'darn', mode: 'hold' };
const REJECT = { words: 'darn', mode: 'reject' };
/** A configuration that the filter cannot read: it gives no answer. */
const BROKEN = { mode: 'shrug' };

const talking = (config, settings) => moderated(server, config, settings);

const queue = (admin, query = '') => bodyOf(admin.get(`/admin/held${query}`));
const release = (admin, id, body = { revision: 0 }) => admin.post(`/admin/held/${id}/release`, body);
const refuse = (admin, id, body = { revision: 0 }) => admin.post(`/admin/held/${id}/refuse`, body);

/** All that somebody can find out about a thread by asking. */
async function everything(reader, peer, since) {
  const [history, threads, unread, notifications, sync] = await Promise.all([
    reader.history(peer),
    reader.threads(),
    reader.unreadCount(),
    reader.notifications(),
    reader.sync(since),
  ]);
  return { history, threads, unread, notifications, changes: sync.changes };
}

const NOTHING = { history: [], threads: [], unread: 0, notifications: [], changes: [] };

describe('A held message', () => {
  test('is answered as held at both doors, and its recipient finds it nowhere', async () => {
    const { alice, bob } = await talking(HOLD);
    const [hers, his] = [await alice.connect(), await bob.connect()];
    const { cursor } = await bob.sync(null);

    const byRest = await alice.send(bob, 'darn', { clientId: 'one' });
    const ack = await hers.ask('sendMessage', draft(bob, { content: 'oh darn' }));
    const again = await bodyOf(alice.post(MESSAGES, draft(bob, { content: 'darn', clientId: 'one' })));

    assertMessage(byRest);
    assert.ok(ack.ok);
    for (const held of [byRest, ack.message]) {
      assert.deepEqual([held.state, held.seq], ['held', null]);
      assertProblem(await bob.get(`${MESSAGES}/${held.id}`), 404, 'not_found');
      assertProblem(await bob.del(`${MESSAGES}/${held.id}`), 404, 'not_found');
      assertProblem(await bob.patch(`${MESSAGES}/${held.id}`, { content: 'mine' }), 404, 'not_found');
      assertInvalid(await bob.post(MESSAGES, draft(alice, { replyTo: held.id })), 'replyTo');
    }
    assert.deepEqual(again, byRest);
    assert.deepEqual(await everything(bob, alice, cursor), NOTHING);
    const marked = await bodyOf(bob.post(`${MESSAGES}/read`, { ids: [byRest.id] }));
    assert.equal(marked.updated, 0);
    assert.deepEqual(ids(await alice.history(bob)), [byRest.id, ack.message.id]);
    await bob.send(alice, 'barrier');
    await his.next('messageSent');
    assert.deepEqual(his.all('newMessage'), []);
  });

  test('takes the next place of its thread when it is released, for both', async () => {
    const { alice, bob, admin } = await talking(HOLD);
    const { cursor } = await bob.sync(null);
    const first = await alice.send(bob, 'one');
    const held = await alice.send(bob, 'darn', { replyTo: first.id });
    const second = await bob.send(alice, 'two');
    const [hers, his] = [await alice.connect(), await bob.connect()];

    const decided = await bodyOf(release(admin, held.id, { revision: 0, note: 'fine' }));
    const news = await his.next('newMessage');
    const update = await hers.next('messageUpdated');
    const third = await alice.send(bob, 'three');
    const later = await his.next('newMessage');

    assert.deepEqual(decided, { messageId: held.id, state: 'sent', seq: 3, reason: null });
    assert.deepEqual([first.seq, second.seq, third.seq], [1, 2, 4]);
    assert.deepEqual([news.id, news.seq, news.prevSeq, news.state], [held.id, 3, 2, 'sent']);
    assert.equal(news.replyTo, first.id);
    assert.deepEqual([update.id, update.seq, update.state], [held.id, 3, 'sent']);
    assert.deepEqual([later.id, later.prevSeq], [third.id, 3]);
    assert.deepEqual(hers.all('newMessage'), []);
    const order = [first.id, second.id, held.id, third.id];
    for (const [reader, peer] of [[alice, bob], [bob, alice]]) {
      assert.deepEqual(ids(await reader.history(peer)), order);
    }
    const seen = await everything(bob, alice, cursor);
    assert.equal(seen.unread, 3);
    assert.deepEqual(seen.notifications.map(({ id }) => id).sort(), [first.id, held.id, third.id].sort());
    assert.deepEqual(
      seen.changes.map(({ type, message }) => [type, message.id]),
      order.map((id) => ['message', id]),
    );
    assert.deepEqual(await queue(admin), []);
    const [entry] = await queue(admin, '?state=released');
    assert.deepEqual([entry.messageId, entry.decidedBy, entry.note], [held.id, admin.email, 'fine']);
  });

  test('keeps order and counts when it is released among many sends', async () => {
    const { alice, bob, admin } = await talking(HOLD);
    const held = [];
    for (let i = 0; i < 8; i++) held.push(await alice.send(bob, `darn ${i}`));
    const [hers, his] = [await alice.connect(), await bob.connect()];

    const sends = Array.from({ length: 40 }, (_, i) =>
      hers.ask('sendMessage', draft(bob, { content: `clean ${i}` })),
    );
    const releases = held.map(({ id }) => bodyOf(release(admin, id)));
    const acks = await Promise.all(sends);
    await Promise.all(releases);
    const news = await his.collect('newMessage', 48);

    const history = await bob.history(alice);
    assert.deepEqual(history.map(({ seq }) => seq), Array.from({ length: 48 }, (_, i) => i + 1));
    assert.deepEqual(ids(await alice.history(bob)), ids(history));
    assert.equal(await bob.unreadCount(), 48);
    assert.equal((await bob.threads())[0].lastSeq, 48);
    assert.deepEqual(acks.map(({ message }) => message.seq), acks.map(({ message }) => message.seq).sort((a, b) => a - b));
    for (const { seq, prevSeq } of news) assert.equal(prevSeq, seq - 1);
  });

  test('that is refused tells its sender why, and nobody else', async () => {
    const { alice, bob, admin } = await talking(HOLD);
    const [hers, his] = [await alice.connect(), await bob.connect()];
    const { cursor } = await bob.sync(null);
    const held = await alice.send(bob, 'darn');

    assertInvalid(await refuse(admin, held.id, { revision: 0, reason: 'Not A Word' }), 'reason');
    await bodyOf(refuse(admin, held.id, { revision: 0, reason: 'spam' }));
    const update = await hers.next('messageUpdated');

    assert.deepEqual([update.state, update.reason, update.seq], ['refused', 'spam', null]);
    const kept = await alice.message(held.id);
    assert.deepEqual([kept.state, kept.reason, kept.content], ['refused', 'spam', 'darn']);
    assert.deepEqual(await everything(bob, alice, cursor), NOTHING);
    assertProblem(await alice.patch(`${MESSAGES}/${held.id}`, { content: 'nice' }), 409, 'conflict');
    assertProblem(await release(admin, held.id), 409, 'conflict');
    const { seq } = await alice.send(bob, 'clean');
    assert.equal(seq, 1);
    assert.equal((await his.next('newMessage')).prevSeq, 0);
  });

  test('is decided by one of two admins', async () => {
    const { org, alice, bob, admin } = await talking(HOLD);
    const second = await org.admin('other@example.com');
    const { cursor } = await bob.sync(null);
    const held = await alice.send(bob, 'darn');

    const answers = await Promise.all([
      release(admin, held.id),
      refuse(second, held.id),
      release(second, held.id),
    ]);

    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409, 409]);
    const { state } = await alice.message(held.id);
    const given = (await bob.sync(cursor)).changes.length;
    assert.equal(given, state === 'sent' ? 1 : 0);
    const decisions = (await bodyOf(admin.get('/admin/audit'))).filter(({ action }) =>
      action.startsWith('held.'),
    );
    assert.equal(decisions.length, 1);
    assert.deepEqual(decisions[0].detail.revision, 0);
  });

  test('waits on as a new revision when it is edited, and only that can be decided', async () => {
    const { alice, bob, admin } = await talking(HOLD);
    const held = await alice.send(bob, 'darn');

    const edited = await bodyOf(alice.patch(`${MESSAGES}/${held.id}`, { content: 'clean now' }));

    assert.deepEqual([edited.state, edited.content], ['held', 'clean now']);
    const [entry, ...others] = await queue(admin);
    assert.deepEqual(others, []);
    assert.deepEqual([entry.revision, entry.kind, entry.message.content], [1, 'message', 'clean now']);
    assertProblem(await release(admin, held.id, { revision: 0 }), 409, 'conflict');
    assert.deepEqual(await bob.history(alice), []);
    await bodyOf(release(admin, held.id, { revision: 1 }));
    assert.equal((await bob.history(alice))[0].content, 'clean now');
  });

  test('is withdrawn by its sender, whatever the scope', async () => {
    const { alice, bob, admin } = await talking(HOLD);
    const { cursor } = await bob.sync(null);
    const held = [await alice.send(bob, 'darn'), await alice.send(bob, 'darn')];

    await bodyOf(alice.del(`${MESSAGES}/${held[0].id}`));
    await bodyOf(alice.del(`${MESSAGES}/${held[1].id}?scope=me`));

    assert.deepEqual(await queue(admin), []);
    assert.deepEqual(ids(await queue(admin, '?state=withdrawn')).length, 2);
    for (const { id } of held) assertProblem(await release(admin, id), 409, 'conflict');
    assert.deepEqual(await alice.history(bob), []);
    assert.deepEqual(await everything(bob, alice, cursor), NOTHING);
  });

  test('passes by itself once the plugin that failed gives an answer', async () => {
    const { alice, bob, filter, admin } = await talking(BROKEN);
    const his = await bob.connect();
    const [bad, good] = [await alice.send(bob, 'darn'), await alice.send(bob, 'clean')];
    const causes = (await queue(admin)).map(({ cause, revision }) => [cause, revision]);

    await filter.configure(REJECT);
    const news = await his.next('newMessage', undefined, 30_000);

    assert.deepEqual([bad.state, good.state], ['held', 'held']);
    assert.deepEqual(causes, [['fault', 0], ['fault', 0]]);
    assert.deepEqual([news.id, news.seq], [good.id, 1]);
    assert.deepEqual([(await alice.message(bad.id)).state, (await bob.history(alice)).length], ['refused', 1]);
    const decisions = (await bodyOf(admin.get('/admin/audit'))).filter(({ action }) =>
      action.startsWith('held.'),
    );
    assert.deepEqual(decisions.map(({ actor }) => actor), ['system', 'system']);
  });

  test('has a quota, past which a send is refused and may be tried later', async () => {
    const { alice, bob, admin } = await talking(HOLD, { limits: { heldPerUser: 2 } });
    const held = await alice.send(bob, 'darn');
    await alice.send(bob, 'darn');

    const full = await alice.post(MESSAGES, draft(bob, { content: 'darn' }));
    await bodyOf(release(admin, held.id));
    const room = await alice.send(bob, 'darn');

    assertProblem(full, 422, 'rejected');
    assert.equal(full.body.reason, 'review_full');
    assert.ok(full.body.retryAfterMs > 0);
    assert.equal(room.state, 'held');
  });
});

describe('Held messages, whatever happens at once,', () => {
  test('end once, and every view agrees with every other', async () => {
    const { org, alice, bob, admin } = await talking(HOLD);
    const other = await org.admin('other@example.com');
    const [his, { cursor }] = [await bob.connect(), await bob.sync(null)];
    const rounds = Array.from({ length: 12 }, (_, index) => index);

    const answers = await Promise.all(
      rounds.map(async (round) => {
        const { id } = await alice.send(bob, `darn ${round}`);
        const path = `${MESSAGES}/${id}`;
        return Promise.all([
          release(admin, id),
          refuse(other, id),
          release(other, id, { revision: 1 }),
          alice.patch(path, { content: `clean ${round}` }),
          alice.patch(path, { content: `darn it ${round}` }),
          round % 3 ? alice.get(path) : alice.del(path),
          alice.send(bob, `between ${round}`),
          bob.post(`${MESSAGES}/thread/${alice.email}/read`),
        ]);
      }),
    );

    for (const { status, text } of answers.flat().filter((answer) => 'status' in answer)) {
      assert.ok([200, 204, 404, 409].includes(status), `${status} ${text}`);
    }
    const seen = await everything(bob, alice, cursor);
    const unread = seen.history.filter(({ readAt, deletedAt }) => !readAt && !deletedAt);
    assert.deepEqual([seen.unread, seen.threads[0].unreadCount], [unread.length, unread.length]);
    assert.deepEqual(seen.history.map(({ seq }) => seq), seen.history.map((_, index) => index + 1));
    assert.equal(seen.threads[0].lastSeq, seen.history.length);
    const told = his.all('newMessage');
    assert.deepEqual(new Set(ids(told)), new Set(ids(seen.history)));
    assert.equal(told.length, seen.history.length);
    const synced = seen.changes.filter(({ type }) => type === 'message').map(({ message }) => message.id);
    assert.deepEqual(synced, ids(seen.history));
    const waiting = new Set((await queue(admin)).map(({ messageId }) => messageId));
    for (const message of await alice.history(bob)) {
      const waits = message.state === 'held' || 'pendingRevision' in message;
      assert.equal(waits, waiting.has(message.id), JSON.stringify(message));
    }
  });

  test('are one where one client id is sent many times', async () => {
    const { alice, bob, admin } = await talking(HOLD);
    const one = draft(bob, { content: 'darn', clientId: 'one' });

    const answers = await Promise.all(Array.from({ length: 8 }, () => alice.post(MESSAGES, one)));

    assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(7).fill(200), 201]);
    assert.equal(new Set(answers.map(({ body }) => body.id)).size, 1);
    assert.equal((await queue(admin)).length, 1);
    assertProblem(await alice.post(MESSAGES, { ...one, content: 'clean' }), 409, 'conflict');
  });

  test('come once in their sender’s pages, behind all that was sent', async () => {
    const { alice, bob } = await talking(HOLD);
    const sent = [];
    const held = [];
    for (let index = 0; index < 4; index++) {
      held.push(await alice.send(bob, 'darn'));
      sent.push(await alice.send(bob, 'clean'));
    }

    const all = [...ids(sent), ...ids(held)];
    const back = [];
    for (let path = threadPath(bob, '?limit=3'); path; ) {
      const page = await alice.get(path);
      back.unshift(...ids(await bodyOf(page)));
      path = nextPage(page);
    }
    const on = [];
    for (let path = threadPath(bob, `?limit=3&after=${all[0]}`); path; ) {
      const page = await alice.get(path);
      on.push(...ids(await bodyOf(page)));
      path = nextPage(page);
    }

    assert.deepEqual(ids(await alice.history(bob)), all);
    assert.deepEqual(back, all);
    assert.deepEqual(on, all.slice(1));
    assert.deepEqual(ids(await alice.history(bob, `?around=${held[0].id}&limit=3`)), all.slice(3, 6));
  });

  test('wait while their org is suspended, and pass when it is back', async () => {
    const { org, alice, bob, filter } = await talking(BROKEN);
    const held = await alice.send(bob, 'clean');
    await filter.configure(REJECT);
    const suspend = (suspended) => bodyOf(org.operator('PATCH', '', { suspended }));

    await suspend(true);
    assertProblem(await bob.get(`${MESSAGES}/${held.id}`), 403, 'org_suspended');
    await suspend(false);

    const given = await until('it has passed', async () => (await bob.history(alice))[0], 30_000);
    assert.equal(given.id, held.id);
  });

  test('are told as notifications when they are released, where the org asks for all', async () => {
    const { alice, bob, admin } = await talking(HOLD, { notificationEvents: 'all' });
    const his = await bob.connect();
    const held = await alice.send(bob, 'darn');
    await alice.send(bob, 'clean');
    await his.next('notification');

    await bodyOf(release(admin, held.id));

    assert.equal((await his.next('notification')).messageId, held.id);
    assert.equal(his.all('notification').length, 2);
  });
});

describe('A held edit', () => {
  test('waits beside the old text, which stands until it is released', async () => {
    const { alice, bob, admin } = await talking(HOLD);
    const sent = await alice.send(bob, 'clean');
    const his = await bob.connect();

    const edited = await bodyOf(alice.patch(`${MESSAGES}/${sent.id}`, { content: 'darn' }));

    assert.deepEqual([edited.content, edited.pendingRevision, edited.state], ['clean', 1, 'sent']);
    const [entry] = await queue(admin);
    assert.deepEqual([entry.kind, entry.message.content, entry.edit.content], ['edit', 'clean', 'darn']);
    const seen = await bob.message(sent.id);
    assert.deepEqual([seen.content, seen.editedAt, 'pendingRevision' in seen], ['clean', null, false]);
    assertProblem(await release(admin, sent.id, { revision: 0 }), 409, 'conflict');
    await bodyOf(release(admin, sent.id, { revision: 1 }));
    const update = await his.next('messageUpdated');
    assert.deepEqual([update.content, update.seq, 'pendingRevision' in update], ['darn', sent.seq, false]);
    assert.equal(his.all('messageUpdated').length, 1);
  });

  test('that is refused leaves what stands; one that passes takes its place', async () => {
    const { alice, bob, admin } = await talking(HOLD);
    const sent = await alice.send(bob, 'clean');
    const edit = (content) => bodyOf(alice.patch(`${MESSAGES}/${sent.id}`, { content }));

    await edit('darn');
    await bodyOf(refuse(admin, sent.id, { revision: 1 }));
    const refused = await alice.message(sent.id);
    await edit('darn it');
    const passed = await edit('cleaner');

    assert.deepEqual([refused.content, 'pendingRevision' in refused], ['clean', false]);
    assert.deepEqual([passed.content, 'pendingRevision' in passed], ['cleaner', false]);
    assert.deepEqual(await queue(admin), []);
    assertProblem(await release(admin, sent.id, { revision: 2 }), 409, 'conflict');
    assert.equal((await bob.message(sent.id)).content, 'cleaner');
  });

  test('ends with its message', async () => {
    const { alice, bob, admin } = await talking(HOLD);
    const sent = await alice.send(bob, 'clean');
    await bodyOf(alice.patch(`${MESSAGES}/${sent.id}`, { content: 'darn' }));

    await bodyOf(alice.del(`${MESSAGES}/${sent.id}`));

    assertProblem(await release(admin, sent.id, { revision: 1 }), 409, 'conflict');
    assert.deepEqual(await queue(admin), []);
    assert.equal((await bob.history(alice))[0].content, '');
  });

  test('of a message that its sender has hidden is decided without a word to them', async () => {
    const { alice, bob, admin } = await talking(HOLD);
    const sent = await alice.send(bob, 'clean');
    await bodyOf(alice.patch(`${MESSAGES}/${sent.id}`, { content: 'darn' }));
    await bodyOf(alice.del(`${MESSAGES}/${sent.id}?scope=me`));
    const hers = await alice.connect();

    await bodyOf(refuse(admin, sent.id, { revision: 1 }));
    await bob.send(alice, 'barrier');
    await hers.next('newMessage');

    assert.deepEqual(hers.all('messageUpdated'), []);
  });
});
