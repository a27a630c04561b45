import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { ids } from './harness/assertions.mjs';
import { startServer } from './harness/server.mjs';
import { MESSAGES, threadPath } from './harness/user.mjs';

const server = await startServer();
after(() => server.stop());

/** Follows `more` to the end: all changes since a cursor, and the last cursor. */
async function syncAll(ask, since) {
  const changes = [];
  for (let cursor = since; ;) {
    const page = await ask(cursor);
    assert.notEqual(page.resync, true);
    assert.ok(page.changes.length <= 500, `${page.changes.length} changes`);
    changes.push(...page.changes);
    cursor = page.cursor;
    if (!page.more) return { changes, cursor };
  }
}

const overRest = (user) => (since) => user.sync(since);
const overSocket = (socket) => (since) => socket.ask('sync', { since });

/** What a client holds after applying changes by id: the messages it would show. */
function applied(changes) {
  const held = new Map();
  const change = (id, fields) => held.has(id) && held.set(id, { ...held.get(id), ...fields });
  for (const entry of changes) {
    switch (entry.type) {
      case 'message':
      case 'updated':
        held.set(entry.message.id, entry.message);
        break;
      case 'deleted':
        if (entry.scope === 'me') held.delete(entry.messageId);
        else change(entry.messageId, { deleted: true, content: '' });
        break;
      case 'read':
        change(entry.messageId, { readAt: entry.readAt });
        break;
      case 'threadRead':
        for (const [id, message] of held) {
          if (message.seq <= entry.upToSeq && message.from !== entry.by) change(id, { readAt: entry.readAt });
        }
        break;
      default:
        assert.fail(`unknown change ${JSON.stringify(entry)}`);
    }
  }
  return [...held.values()];
}

/** The part of a message that both a sync and the history can tell. */
const essence = (message) => ({
  id: message.id,
  content: message.content,
  deleted: message.deleted ?? message.deletedAt !== null,
  read: message.readAt !== null,
});

const messageIds = (changes) =>
  changes.filter((change) => change.type === 'message').map((change) => change.message.id);

test('null answers where to start, at both doors', async () => {
  const [alice, bob] = await server.people('alice', 'bob');
  await alice.send(bob, 'before');
  const socket = await bob.connect();

  const byRest = await bob.sync(null);
  const bySocket = await socket.ask('sync', { since: null });

  for (const { changes, cursor } of [byRest, bySocket]) {
    assert.deepEqual(changes, []);
    assert.equal(typeof cursor, 'string');
    assert.deepEqual((await bob.sync(cursor)).changes, []);
  }
});

test('who was away learns all of it, in order, once', async () => {
  const [alice, bob] = await server.people('alice', 'bob');
  const old = await bob.send(alice, 'old');
  const away = await bob.connect();
  const { cursor } = await away.ask('sync', { since: null });
  away.close();
  await away.ended();

  const sent = [];
  for (let n = 0; n < 5; n++) sent.push(await alice.send(bob, `m${n}`));
  await alice.patch(`${MESSAGES}/${sent[1].id}`, { content: 'edited' });
  await alice.del(`${MESSAGES}/${sent[2].id}`);
  await alice.post(`${MESSAGES}/read`, { ids: [old.id] });
  const back = await bob.connect();
  const missed = await syncAll(overSocket(back), cursor);

  assert.deepEqual(messageIds(missed.changes), ids(sent));
  assert.equal(missed.changes.filter((change) => change.type === 'updated').length, 1);
  const [deletion] = missed.changes.filter((change) => change.type === 'deleted');
  assert.deepEqual([deletion.messageId, deletion.scope], [sent[2].id, 'everyone']);
  const [read] = missed.changes.filter((change) => change.type === 'read');
  assert.deepEqual([read.messageId, read.by], [old.id, alice.email]);
  const history = (await bob.history(alice)).filter((message) => message.id !== old.id);
  assert.deepEqual(applied(missed.changes).map(essence), history.map(essence));
  assert.deepEqual(missed.changes, (await syncAll(overRest(bob), cursor)).changes);
  assert.deepEqual((await bob.sync(missed.cursor)).changes, []);
});

test('one’s own doings on another device are changes too', async () => {
  const [alice, bob] = await server.people('alice', 'bob');
  const received = await alice.send(bob, 'one');
  const { cursor } = await bob.sync(null);

  const own = await bob.send(alice, 'mine');
  await bob.post(`${threadPath(alice)}/read`);
  await bob.del(`${MESSAGES}/${received.id}`);

  const { changes } = await syncAll(overRest(bob), cursor);
  assert.deepEqual(messageIds(changes), [own.id]);
  const threadRead = changes.find((change) => change.type === 'threadRead');
  assert.deepEqual(
    [threadRead.peer, threadRead.by, threadRead.upToSeq, threadRead.count],
    [alice.email, bob.email, received.seq, 1],
  );
  const deletion = changes.find((change) => change.type === 'deleted');
  assert.deepEqual([deletion.messageId, deletion.scope, deletion.peer], [received.id, 'me', alice.email]);
});

test('the sender learns of a thread that was read while they were away', async () => {
  const [alice, bob] = await server.people('alice', 'bob');
  const sent = [await alice.send(bob, 'one'), await alice.send(bob, 'two')];
  const { cursor } = await alice.sync(null);

  await bob.post(`${threadPath(alice)}/read`);

  const { changes } = await syncAll(overRest(alice), cursor);
  const read = changes.find((change) => change.type === 'threadRead');
  assert.deepEqual([read.peer, read.by, read.upToSeq, read.count], [bob.email, bob.email, sent[1].seq, 2]);
});

test('the text of a message that was deleted before the sync is not told', async () => {
  const [alice, bob] = await server.people('alice', 'bob');
  const { cursor } = await bob.sync(null);
  const sent = await alice.send(bob, 'a secret slip');
  await alice.patch(`${MESSAGES}/${sent.id}`, { content: 'a secret slip, edited' });

  await alice.del(`${MESSAGES}/${sent.id}`);

  const { changes } = await syncAll(overRest(bob), cursor);
  assert.ok(!JSON.stringify(changes).includes('secret'));
});

test('more than a page comes in pages of at most 500', async () => {
  const [alice, bob] = await server.people('alice', 'bob');
  const { cursor } = await bob.sync(null);
  for (let round = 0; round < 11; round++) {
    await Promise.all(Array.from({ length: 50 }, () => alice.send(bob, 'x')));
  }

  const first = await bob.sync(cursor);
  const rest = await bob.sync(first.cursor);

  assert.deepEqual([first.changes.length, first.more], [500, true]);
  assert.equal(rest.more, false);
  assert.deepEqual(messageIds([...first.changes, ...rest.changes]), ids(await bob.history(alice)));
});

test('what commits late is never behind a cursor that was handed out', async () => {
  const org = await server.org();
  const [bob, ...others] = await org.people('bob', 'p1', 'p2', 'p3', 'p4', 'p5', 'p6', 'p7', 'p8');
  const start = await bob.sync(null);
  const seen = [];
  let cursor = start.cursor;
  let done = false;

  const reader = (async () => {
    while (!done) {
      const page = await bob.sync(cursor);
      seen.push(...page.changes);
      cursor = page.cursor;
    }
  })();
  const sent = await Promise.all(
    others.map(async (other) => {
      const messages = [];
      for (let n = 0; n < 20; n++) {
        messages.push(await other.send(bob, `in ${n}`), await bob.send(other, `out ${n}`));
      }
      return messages;
    }),
  );
  done = true;
  await reader;
  seen.push(...(await syncAll(overRest(bob), cursor)).changes);

  assert.deepEqual(messageIds(seen).sort(), ids(sent.flat()).sort());
});

test('live events and a sync together miss nothing across a reconnect under load', async () => {
  const [alice, bob] = await server.people('alice', 'bob');
  const first = await bob.connect();
  const { cursor } = await first.ask('sync', { since: null });

  const sending = (async () => {
    const sent = [];
    for (let n = 0; n < 120; n++) sent.push(await alice.send(bob, `m${n}`));
    return sent;
  })();
  await first.collect('newMessage', 20);
  first.close();
  const second = await bob.connect();
  const { changes } = await syncAll(overSocket(second), cursor);
  const sent = [...(await sending), await alice.send(bob, 'the last')];
  await second.next('newMessage', (message) => message.content === 'the last');

  const known = new Set([...messageIds(changes), ...ids(second.all('newMessage'))]);
  assert.deepEqual([...known].sort(), ids(sent).sort());
  assert.equal(new Set(messageIds(changes)).size, messageIds(changes).length);
});

test('a cursor that proves nothing asks for a new start', async () => {
  const [alice, bob] = await server.people('alice', 'bob');
  const [stranger] = await server.people('alice', 'bob');
  const socket = await bob.connect();
  const own = (await bob.sync(null)).cursor;
  await alice.send(bob, 'hi');
  const cursors = {
    garbage: 'garbage',
    number: '9999999999999999999999',
    altered: `${own}x`,
    'of another user': (await alice.sync(null)).cursor,
    'of another org': (await stranger.sync(null)).cursor,
  };

  for (const [name, since] of Object.entries(cursors)) {
    for (const answer of [await bob.sync(since), await socket.ask('sync', { since })]) {
      assert.equal(answer.resync, true, name);
      assert.deepEqual(answer.changes ?? [], [], name);
    }
  }
});
