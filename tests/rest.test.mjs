import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, test } from 'node:test';

import {
  assertMessage,
  assertPeer,
  assertProblem,
  assertRefused,
  assertTime,
} from './harness/assertions.mjs';
import { draft, file } from './harness/drafts.mjs';
import { nextPage } from './harness/http.mjs';
import { startServer } from './harness/server.mjs';
import { MESSAGES, threadPath } from './harness/user.mjs';

const server = await startServer();
after(() => server.stop());

test('the server says that it is well', async () => {
  const answer = await server.request('/health');

  assert.equal(answer.status, 200);
  assert.deepEqual(answer.body, { status: 'ok' });
});

for (const prefix of ['', '/client']) {
  describe(`Every route under ${prefix || '/'}`, () => {
    const at = (path) => `${prefix}${MESSAGES}${path}`;

    test('POST /community/messages stores and answers the message', async () => {
      const [alice, bob] = await server.people('alice', 'bob');
      const request = draft(bob, { attachments: [file()], metadata: { mood: 'good' }, clientId: 'k1' });

      const answer = await alice.post(at(''), request);

      assert.equal(answer.status, 201, answer.text);
      assert.match(answer.headers.get('content-type'), /^application\/json/);
      assertMessage(answer.body);
      const { id, seq, createdAt } = answer.body;
      assert.deepEqual(answer.body, {
        id,
        seq,
        createdAt,
        from: alice.email,
        to: bob.email,
        content: 'hello',
        contentType: 'text',
        attachments: [file()],
        replyTo: null,
        clientId: 'k1',
        metadata: { mood: 'good' },
        state: 'sent',
        editedAt: null,
        deletedAt: null,
        readAt: null,
      });
      assert.ok(Number.isInteger(seq), `seq ${seq}`);
      assert.ok(Math.abs(Date.now() - Date.parse(createdAt)) < 60_000, createdAt);
    });

    test('GET /community/messages/threads lists the callers threads', async () => {
      const [alice, bob] = await server.people('alice', 'bob');
      const sent = await alice.send(bob, 'look');

      const answer = await bob.get(at('/threads'));

      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.body.length, 1);
      const [{ peerInfo, ...thread }] = answer.body;
      assert.deepEqual(thread, {
        peer: alice.email,
        lastMessage: sent,
        unreadCount: 1,
        lastSeq: sent.seq,
      });
      assertPeer(peerInfo);
      assert.equal(peerInfo.email, alice.email);
    });

    test('GET /community/messages/thread/:userId answers the history', async () => {
      const [alice, bob] = await server.people('alice', 'bob');
      const first = await alice.send(bob, 'one');
      const second = await bob.send(alice, 'two');

      const answer = await bob.get(`${prefix}${threadPath(alice)}`);

      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(answer.body, [first, second]);
    });

    test('POST /community/messages/read marks single messages', async () => {
      const [alice, bob] = await server.people('alice', 'bob');
      const sent = await alice.send(bob, 'one');

      const answer = await bob.post(at('/read'), { ids: [sent.id] });

      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(answer.body, { updated: 1, ids: [sent.id] });
      assertTime((await alice.message(sent.id)).readAt);
    });

    test('POST /community/messages/thread/:userId/read marks a thread and needs no body', async () => {
      const [alice, bob] = await server.people('alice', 'bob');
      await alice.send(bob, 'one');
      await alice.send(bob, 'two');
      await bob.send(alice, 'mine');
      const path = `${prefix}${threadPath(alice)}/read`;

      const answer = await bob.post(path);
      const again = await bob.post(path);

      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(answer.body, { updated: 2 });
      assert.deepEqual(again.body, { updated: 0 });
    });

    test('GET /community/messages/unread-count counts over all threads', async () => {
      const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
      await alice.send(bob, 'one');
      await carol.send(bob, 'two');

      const answer = await bob.get(at('/unread-count'));

      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(answer.body, { count: 2 });
    });

    test('GET /community/messages/:id answers one message', async () => {
      const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
      const sent = await alice.send(bob, 'one');

      for (const user of [alice, bob]) {
        const answer = await user.get(at(`/${sent.id}`));
        assert.equal(answer.status, 200, answer.text);
        assert.deepEqual(answer.body, sent);
      }
      assertProblem(await carol.get(at(`/${sent.id}`)), 404, 'not_found');
    });

    test('PATCH /community/messages/:id edits a message', async () => {
      const [alice, bob] = await server.people('alice', 'bob');
      const sent = await alice.send(bob, 'one');

      const answer = await alice.patch(at(`/${sent.id}`), { content: 'two' });

      assert.equal(answer.status, 200, answer.text);
      const { editedAt, ...edited } = answer.body;
      assertTime(editedAt);
      assert.deepEqual({ ...edited, editedAt: null }, { ...sent, content: 'two' });
      assert.deepEqual(await bob.message(sent.id), answer.body);
    });

    test('DELETE /community/messages/:id deletes, and may be repeated', async () => {
      const [alice, bob] = await server.people('alice', 'bob');
      const sent = await alice.send(bob, 'one');

      const first = await alice.del(at(`/${sent.id}`));
      const again = await alice.del(at(`/${sent.id}`));

      assert.deepEqual([first.status, first.text], [204, '']);
      assert.equal(again.status, 204, again.text);
      assertTime((await bob.message(sent.id)).deletedAt);
    });

    test('GET /community/messages/sync answers where to start', async () => {
      const [alice] = await server.people('alice', 'bob');

      const answer = await alice.get(at('/sync?since='));

      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(answer.body.changes, []);
      assert.equal(typeof answer.body.cursor, 'string');
    });

    test('GET and POST /community/notifications tell the recipient alone', async () => {
      const [alice, bob] = await server.people('alice', 'bob');
      const sent = await alice.send(bob, 'ping');

      const list = await bob.get(`${prefix}/community/notifications`);
      const read = await bob.post(`${prefix}/community/notifications/read`, { ids: [sent.id] });

      assert.equal(list.status, 200, list.text);
      assert.equal(list.body.length, 1);
      assert.ok(list.text.includes(sent.id));
      assert.deepEqual(await alice.notifications(), []);
      assert.equal(read.status, 200, read.text);
    });
  });
}

describe('Notifications', () => {
  test('page by links, each of them once', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const sent = [];
    for (let n = 0; n < 5; n++) sent.push(await alice.send(bob, `m${n}`));

    const listed = [];
    for (let path = '/community/notifications?limit=2'; path;) {
      const page = await bob.get(path);
      assert.equal(page.status, 200, page.text);
      listed.push(...page.body.map((notification) => JSON.stringify(notification)));
      path = nextPage(page);
    }

    assert.equal(listed.length, 5);
    for (const { id } of sent) assert.equal(listed.filter((text) => text.includes(id)).length, 1);
  });
});

describe('What nobody can see', () => {
  test('is 404 whatever its id looks like', async () => {
    const [alice] = await server.people('alice', 'bob');

    for (const id of [randomUUID(), 'msg-1', '0', '%00', '..%2F..%2Fetc', 'x'.repeat(2000)]) {
      assertProblem(await alice.get(`${MESSAGES}/${id}`), 404, 'not_found');
    }
  });

  test('is 404 for unknown routes too', async () => {
    const [alice] = await server.people('alice', 'bob');

    for (const path of ['/nothing', `${MESSAGES}/a/b/c`, '/client/nothing']) {
      assertProblem(await alice.get(path), 404, 'not_found');
    }
  });
});

describe('An org’s settings', () => {
  test('have the contract’s defaults and are changed by an admin', async () => {
    const id = `plain-${randomUUID().slice(0, 8)}`;
    await server.operator('POST', '/admin/orgs', { orgId: id });

    const created = await server.operator('GET', `/admin/orgs/${id}`);
    const patched = await server.operator('PATCH', `/admin/orgs/${id}`, { settings: { presence: 'peers' } });

    const { settings } = created.body;
    assert.deepEqual(settings, {
      presence: 'org',
      recipients: 'any',
      notificationEvents: 'changed',
      editWindowSeconds: 86_400,
      maxContentBytes: 16_384,
      httpAttachments: false,
      origins: [],
      syncDays: 30,
      adminReads: 'held-and-flagged',
      reviewDays: 30,
      receiptDays: 7,
      auditDays: 365,
      limits: {
        sendBurst: 40,
        sendPerSecond: 20,
        sendPerMinute: 200,
        connectBurst: 5,
        connectPerMinute: 10,
        eventBurst: 100,
        eventPerSecond: 50,
        readBurst: 100,
        readPerSecond: 50,
        socketsPerUser: 100,
        newPeersPerDay: 50,
        botPerMinute: 120,
        pendingSendsPerSocket: 64,
        heldPerUser: 50,
        heldPerOrg: 10_000,
        outgoingBurst: 40,
        outgoingPerSecond: 20,
      },
    });
    assert.deepEqual(patched.body.settings, { ...settings, presence: 'peers' });
  });

  test('are 404 for an org that does not exist, and a conflict for one that does', async () => {
    const org = await server.org();

    assertProblem(await server.operator('GET', '/admin/orgs/no-such-org'), 404, 'not_found');
    assertProblem(await server.operator('POST', '/admin/orgs', { orgId: org.id }), 409, 'conflict');
    const bad = await server.operator('PATCH', `/admin/orgs/${org.id}`, { settings: { presence: 'maybe' } });
    assertRefused(bad);
  });

  test('are the admin’s own org’s alone', async () => {
    const org = await server.org();
    const admin = await org.admin();
    const [alice] = await org.people('alice');

    const changed = await admin.patch('/admin/settings', { maxContentBytes: 100 });
    const shown = await admin.get('/admin/settings');

    assert.equal(changed.status, 200, changed.text);
    assert.ok(shown.text.includes('"maxContentBytes":100'), shown.text);
    assertProblem(await alice.get('/admin/settings'), 403, 'forbidden');
    assertProblem(await alice.patch('/admin/settings', { maxContentBytes: 1 }), 403, 'forbidden');
  });
});
