import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, test } from 'node:test';

import {
  assertInvalid,
  assertPeer,
  assertProblem,
  assertRefused,
  assertTime,
  ids,
} from './harness/assertions.mjs';
import { file } from './harness/drafts.mjs';
import { nextPage } from './harness/http.mjs';
import { startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES, threadPath } from './harness/user.mjs';

const server = await startServer();
after(() => server.stop());

describe('The list of threads', () => {
  test('has the newest thread first, and the newest message of each', async () => {
    const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
    await bob.send(alice, 'b1');
    await carol.send(alice, 'c1');
    const newest = await alice.send(bob, 'a1');

    const threads = await alice.threads();

    assert.deepEqual(
      threads.map((thread) => thread.peer),
      [bob.email, carol.email],
    );
    assert.deepEqual(threads[0].lastMessage, newest);
    assert.deepEqual(
      threads.map((thread) => thread.unreadCount),
      [1, 1],
    );
    assert.equal(threads[0].lastSeq, newest.seq);
  });

  test('cuts the last message to 200 characters', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const content = '😀'.repeat(150) + 'é'.repeat(150);
    await alice.send(bob, content);

    const [thread] = await bob.threads();

    assert.equal(thread.lastMessage.content, [...content].slice(0, 200).join(''));
  });

  test('says what the peer’s token says of them', async () => {
    const org = await server.org();
    const [alice] = await org.people('alice');
    const bob = org.user('bob@example.com', { name: 'Bob B.', picture: 'https://cdn.example/bob.png' });
    const sent = await bob.send(alice, 'hi');
    const [hers, his] = [await alice.connect(), await bob.connect()];
    await hers.next('userOnline', (event) => event.email === bob.email);

    const [online] = await alice.threads();
    his.close();
    const { lastSeen } = await hers.next('userOffline');
    const [offline] = await alice.threads();

    assertPeer(online.peerInfo);
    assert.equal(online.peerInfo.name, 'Bob B.');
    assert.equal(online.peerInfo.picture, 'https://cdn.example/bob.png');
    assert.equal(online.peerInfo.online, true);
    assert.deepEqual([offline.peerInfo.online, offline.peerInfo.lastSeen], [false, lastSeen]);
    assert.equal(sent.from, online.peerInfo.email);
  });

  test('falls back to the newest message that is visible and no tombstone', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const first = await alice.send(bob, 'one');
    const hidden = await alice.send(bob, 'two');
    const deleted = await alice.send(bob, 'three');
    await alice.del(`${MESSAGES}/${deleted.id}`);
    await bob.del(`${MESSAGES}/${hidden.id}`);

    const [[his], [hers]] = [await bob.threads(), await alice.threads()];

    assert.equal(his.lastMessage.id, first.id);
    assert.equal(hers.lastMessage.id, hidden.id);
    assert.equal(his.unreadCount, 1);
  });

  test('pages by a cursor and a link', async () => {
    const org = await server.org();
    const [alice] = await org.people('alice');
    const peers = ['p1', 'p2', 'p3', 'p4', 'p5'].map((name) => `${name}@example.com`);
    for (const peer of peers) await alice.send(peer, 'hi');

    const first = await alice.get(`${MESSAGES}/threads?limit=2`);
    const cursor = encodeURIComponent(first.headers.get('x-next-cursor'));
    const second = await alice.get(`${MESSAGES}/threads?limit=2&cursor=${cursor}`);
    const byLink = await alice.get(nextPage(first));
    const last = await alice.get(nextPage(second));

    assert.deepEqual(byLink.body, second.body);
    const seen = [first, second, last].flatMap((page) => page.body.map((thread) => thread.peer));
    assert.deepEqual(seen, peers.toReversed());
    assert.equal(nextPage(last), null);
    assert.equal(last.headers.get('x-next-cursor'), null);
  });
});

describe('A thread', () => {
  /** Alice wrote ten messages to Bob; answers both and the messages. */
  async function ten() {
    const [alice, bob] = await server.people('alice', 'bob');
    const messages = [];
    for (let n = 0; n < 10; n++) messages.push(await alice.send(bob, `m${n}`));
    return { alice, bob, messages };
  }

  test('is found by e-mail in any case, percent-decoded once, and by internal id', async () => {
    const org = await server.org();
    const [alice] = await org.people('alice');
    const email = '50%25off+deals@example.com';
    await alice.send(email, 'hi');
    const [{ peerInfo }] = await alice.threads();

    for (const path of [
      `${MESSAGES}/thread/50%2525off+deals@example.com`,
      `${MESSAGES}/thread/50%2525off%2bdeals%40example.com`,
      `${MESSAGES}/thread/50%2525OFF+Deals@Example.COM`,
      `${MESSAGES}/thread/${peerInfo.id}`,
    ]) {
      const answer = await alice.get(path);
      assert.equal(answer.status, 200, `${path}: ${answer.text}`);
      assert.equal(answer.body.length, 1, path);
      assert.equal(answer.body[0].to, email);
    }
  });

  test('is cut before, after and around a message', async () => {
    const { bob, alice, messages } = await ten();
    const all = ids(messages);
    const [third, eighth] = [all[2], all[7]];

    assert.deepEqual(ids(await bob.history(alice, '?limit=3')), all.slice(7));
    assert.deepEqual(ids(await bob.history(alice, `?before=${eighth}`)), all.slice(0, 7));
    assert.deepEqual(ids(await bob.history(alice, `?before=${eighth}&limit=2`)), all.slice(5, 7));
    assert.deepEqual(ids(await bob.history(alice, `?after=${third}`)), all.slice(3));
    assert.deepEqual(ids(await bob.history(alice, `?after=${third}&limit=2`)), all.slice(3, 5));
    assert.deepEqual(ids(await bob.history(alice, `?before=${all[0]}`)), []);
    assert.deepEqual(ids(await bob.history(alice, `?after=${all[9]}`)), []);
    const around = ids(await bob.history(alice, `?around=${all[5]}&limit=5`));
    assert.ok(around.includes(all[4]) && around.includes(all[5]) && around.includes(all[6]));
    assert.equal(around.length, 5);
    assert.deepEqual(around, all.slice(all.indexOf(around[0])).slice(0, 5));
  });

  test('pages by links to its very start', async () => {
    const { bob, alice, messages } = await ten();

    const pages = [];
    for (let path = threadPath(alice, '?limit=4'); path;) {
      const page = await bob.get(path);
      assert.equal(page.status, 200, page.text);
      pages.unshift(ids(page.body));
      path = nextPage(page);
      assert.equal(page.headers.get('x-next-cursor') === null, path === null);
    }

    assert.deepEqual(pages.flat(), ids(messages));
    assert.deepEqual(
      pages.map((page) => page.length),
      [2, 4, 4],
    );
  });

  test('of more than 1000 answers the newest 1000 and links to the rest; all are read at once', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const [aliceSocket, bobSocket] = [await alice.connect(), await bob.connect()];
    for (let n = 0; n < 1001; n += 91) {
      const batch = Array.from({ length: 91 }, () => alice.send(bob, 'x'));
      await Promise.all(batch);
    }

    const newest = await bob.get(threadPath(alice));
    const older = await bob.get(nextPage(newest));
    const unread = await bob.unreadCount();
    const read = await bob.post(`${threadPath(alice)}/read`);
    const event = await aliceSocket.next('threadRead');

    assert.equal(newest.body.length, 1000);
    assert.equal(older.body.length, 1);
    assert.ok(older.body[0].seq < newest.body[0].seq);
    assert.equal(unread, 1001);
    assert.deepEqual(read.body, { updated: 1001 });
    assert.deepEqual([event.count, event.upToSeq], [1001, newest.body.at(-1).seq]);
    await bob.send(alice, 'the last');
    await aliceSocket.next('newMessage');
    assert.ok(aliceSocket.all('messageRead').length <= 500);
    assert.equal((await bobSocket.collect('newMessage', 1001)).length, 1001);
    assert.equal(await bob.unreadCount(), 0);
  });
});

describe('Marking as read', () => {
  test('counts what the caller received and had not read, and ignores the rest', async () => {
    const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
    const received = await alice.send(bob, 'one');
    const own = await bob.send(alice, 'mine');
    const foreign = await alice.send(carol, 'not bobs');
    const request = { ids: [received.id, received.id, own.id, foreign.id, randomUUID(), 'msg-1', ''] };

    const first = await bob.post(`${MESSAGES}/read`, request);
    const again = await bob.post(`${MESSAGES}/read`, request);

    assert.deepEqual(first.body, { updated: 1, ids: [received.id] });
    assert.deepEqual(again.body, { updated: 0, ids: [] });
    assert.equal((await alice.message(own.id)).readAt, null);
    assert.equal((await carol.message(foreign.id)).readAt, null);
  });

  test('takes at most 500 ids', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const sent = await alice.send(bob, 'one');
    const many = (count) => ({ ids: [sent.id, ...Array.from({ length: count - 1 }, () => randomUUID())] });

    const tooMany = await bob.post(`${MESSAGES}/read`, many(501));
    const full = await bob.post(`${MESSAGES}/read`, many(500));

    assertInvalid(tooMany, 'ids');
    assert.equal(full.body.updated, 1);
  });

  test('does not count what is deleted or hidden', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const [deleted, hidden] = [await alice.send(bob, 'one'), await alice.send(bob, 'two')];
    await alice.send(bob, 'three');
    assert.equal(await bob.unreadCount(), 3);

    await alice.del(`${MESSAGES}/${deleted.id}`);
    assert.equal(await bob.unreadCount(), 2);
    await bob.del(`${MESSAGES}/${hidden.id}`);

    assert.equal(await bob.unreadCount(), 1);
    assert.equal((await bob.threads())[0].unreadCount, 1);
    assert.deepEqual((await bob.post(`${threadPath(alice)}/read`)).body, { updated: 1 });
  });
});

describe('An edit', () => {
  test('is the sender’s right alone', async () => {
    const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
    const sent = await alice.send(bob, 'one');
    const edit = (user, id = sent.id) => user.patch(`${MESSAGES}/${id}`, { content: 'changed' });

    assertProblem(await edit(bob), 403, 'forbidden');
    assertProblem(await edit(carol), 404, 'not_found');
    assertProblem(await edit(alice, randomUUID()), 404, 'not_found');
    assert.deepEqual(await alice.message(sent.id), sent);
  });

  test('may change attachments and metadata', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const sent = await alice.send(bob, 'one', { metadata: { a: '1' } });

    const attachments = [file()];
    const edited = await alice.patch(`${MESSAGES}/${sent.id}`, { attachments, metadata: { b: '2' } });

    assert.equal(edited.status, 200, edited.text);
    const { content, metadata } = edited.body;
    assert.deepEqual({ content, metadata }, { content: 'one', metadata: { b: '2' } });
    assert.deepEqual(edited.body.attachments, attachments);
  });

  test('goes through the same checks as a send', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const text = await alice.send(bob, 'one');
    const image = await alice.send(bob, '', { contentType: 'image', attachments: [file()] });
    const edit = (message, change) => alice.patch(`${MESSAGES}/${message.id}`, change);

    assertInvalid(await edit(text, { content: '' }), 'content');
    assertInvalid(await edit(text, { content: 'x'.repeat(16 * 1024 + 1) }), 'content');
    assertInvalid(await edit(text, { content: 'a\u0000b' }), 'content');
    assertInvalid(await edit(image, { attachments: [] }), 'attachments');
    assertInvalid(await edit(text, { attachments: [file({ url: 'javascript:x' })] }), 'attachments');
    assertInvalid(await edit(text, { metadata: { long: 'x'.repeat(4200) } }), 'metadata');
    assert.deepEqual(await alice.history(bob), [text, image]);
  });

  test('of a tombstone is a conflict', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const sent = await alice.send(bob, 'one');
    await alice.del(`${MESSAGES}/${sent.id}`);

    assertProblem(await alice.patch(`${MESSAGES}/${sent.id}`, { content: 'two' }), 409, 'conflict');
  });

  test('comes too late after the org’s time', async () => {
    const [alice, bob] = await (await server.org({ editWindowSeconds: 1 })).people('alice', 'bob');
    const sent = await alice.send(bob, 'one');

    const late = await until('the time to edit is over', async () => {
      const answer = await alice.patch(`${MESSAGES}/${sent.id}`, { content: 'edited' });
      return answer.status !== 200 && answer;
    });

    assertRefused(late);
    assert.ok(Date.now() - Date.parse(sent.createdAt) >= 1000);
  });
});

describe('A deletion', () => {
  test('by the sender is for everyone and leaves a tombstone', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const fields = { attachments: [file()], metadata: { a: 'b' }, clientId: 'k' };
    const sent = await alice.send(bob, 'secret', fields);
    const next = await alice.send(bob, 'next');

    await alice.del(`${MESSAGES}/${sent.id}`);

    for (const [user, peer] of [
      [alice, bob],
      [bob, alice],
    ]) {
      const [tombstone, after] = await user.history(peer);
      assertTime(tombstone.deletedAt);
      assert.deepEqual(
        { ...tombstone, deletedAt: null },
        {
          ...sent,
          content: '',
          attachments: [],
          metadata: null,
          clientId: null,
        },
      );
      assert.equal(after.id, next.id);
    }
    assert.ok(!JSON.stringify(await bob.notifications()).includes('secret'));
    assert.ok(!JSON.stringify(await bob.notifications()).includes(sent.id));
  });

  test('by the sender for themself alone hides it from them', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const sent = await alice.send(bob, 'one');

    const first = await alice.del(`${MESSAGES}/${sent.id}?scope=me`);
    const again = await alice.del(`${MESSAGES}/${sent.id}?scope=me`);

    assert.deepEqual([first.status, again.status], [204, 204]);
    assert.deepEqual(await alice.history(bob), []);
    assertProblem(await alice.get(`${MESSAGES}/${sent.id}`), 404, 'not_found');
    assert.deepEqual(await bob.history(alice), [sent]);
  });

  test('by the recipient hides it from them', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const sent = await alice.send(bob, 'one');

    const forbidden = await bob.del(`${MESSAGES}/${sent.id}?scope=everyone`);
    const hidden = await bob.del(`${MESSAGES}/${sent.id}`);
    const again = await bob.del(`${MESSAGES}/${sent.id}`);

    assertProblem(forbidden, 403, 'forbidden');
    assert.deepEqual([hidden.status, again.status], [204, 204]);
    assert.deepEqual(await bob.history(alice), []);
    assertProblem(await bob.get(`${MESSAGES}/${sent.id}`), 404, 'not_found');
    assert.deepEqual(await alice.message(sent.id), sent);
  });

  test('by anyone else finds nothing', async () => {
    const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
    const sent = await alice.send(bob, 'one');

    for (const query of ['', '?scope=me', '?scope=everyone']) {
      assertProblem(await carol.del(`${MESSAGES}/${sent.id}${query}`), 404, 'not_found');
    }

    assertProblem(await alice.del(`${MESSAGES}/${randomUUID()}`), 404, 'not_found');
    assert.deepEqual(await bob.message(sent.id), sent);
  });

  test('knows two scopes', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const sent = await alice.send(bob, 'one');

    assertRefused(await alice.del(`${MESSAGES}/${sent.id}?scope=all`));

    assert.deepEqual(await bob.message(sent.id), sent);
  });
});
