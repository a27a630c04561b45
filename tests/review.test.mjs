// What an org's admins read and decide about messages, and who else may not.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, test } from 'node:test';

import { assertInvalid, assertProblem, assertRefused, assertTime, ids } from './harness/assertions.mjs';
import { draft } from './harness/drafts.mjs';
import { nextPage } from './harness/http.mjs';
import { startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';
import { bodyOf, moderated } from './harness/word_filter.mjs';

const server = await startServer();
after(() => server.stop());

const HOLD = { words: 'darn', mode: 'hold' };
const LABEL = { words: 'darn', mode: 'label' };
const REJECT = { words: 'darn', mode: 'reject' };

const talking = (config, settings) => moderated(server, config, settings);

const auditOf = async (admin, prefix) =>
  (await bodyOf(admin.get('/admin/audit'))).filter(({ action }) => action.startsWith(prefix));

/** A listing read page by page, with the cursors that the server gives. */
async function pages(admin, path) {
  const items = [];
  for (let cursor = ''; cursor !== null; ) {
    const answer = await admin.get(`${path}${path.includes('?') ? '&' : '?'}limit=2&cursor=${cursor}`);
    assert.ok((await bodyOf(answer)).length <= 2);
    items.push(...answer.body);
    cursor = answer.headers.get('x-next-cursor');
  }
  return items;
}

const ADMIN_READS = [
  'held',
  'flagged',
  'refusals',
  `refusals/${randomUUID()}`,
  'audit',
  `messages/${randomUUID()}/decision`,
  'plugins',
  'plugins/guard',
  'plugins/guard/log',
];
const ADMIN_WRITES = [
  ['POST', `held/${randomUUID()}/release`, { revision: 0 }],
  ['POST', `held/${randomUUID()}/refuse`, { revision: 0 }],
  ['PUT', 'plugins/guard/config', {}],
  ['PUT', 'plugins/guard/order', {}],
  ['PUT', 'plugins/guard/grants', {}],
  ['POST', 'plugins/guard/activate', {}],
  ['POST', 'plugins/guard/rollback', {}],
  ['POST', 'plugins/guard/disable', {}],
  ['DELETE', 'plugins/guard'],
];

describe('An admin who reviews', () => {
  test('reads why drafts and edits were refused, and nowhere what they said', async () => {
    const { alice, bob, admin } = await talking(REJECT);
    const clean = await alice.send(bob, 'clean');

    const sent = await alice.post(MESSAGES, draft(bob, { content: 'darn' }));
    assertProblem(sent, 422, 'rejected');
    assertProblem(await alice.patch(`${MESSAGES}/${clean.id}`, { content: 'darn it' }), 422, 'rejected');

    const refusals = await until('both refusals are noted', async () => {
      const noted = await bodyOf(admin.get('/admin/refusals'));
      return noted.length === 2 && noted;
    });
    assert.deepEqual(
      refusals.map(({ from, to, messageId }) => ({ from, to, messageId })),
      [clean.id, null].map((messageId) => ({ from: alice.email, to: bob.email, messageId })),
    );
    assert.equal(refusals[1].id, sent.body.requestId);
    assert.deepEqual(await bodyOf(admin.get(`/admin/refusals/${sent.body.requestId}`)), refusals[1]);
    for (const refusal of refusals) {
      assert.match(refusal.reason, /^[a-z0-9_.-]{1,64}$/);
      assertTime(refusal.createdAt);
    }
    assert.ok(!JSON.stringify(refusals).includes('darn'));
  });

  test('pages through refusals, holds, flags and the audit log without a gap', async () => {
    const { alice, bob, admin, filter } = await talking(REJECT);
    for (let sent = 0; sent < 3; sent++) await alice.post(MESSAGES, draft(bob, { content: 'darn' }));
    await filter.configure(HOLD);
    const held = [];
    for (let sent = 0; sent < 5; sent++) held.push(await alice.send(bob, 'darn'));
    await until('all are noted', async () => (await bodyOf(admin.get('/admin/refusals'))).length === 3);
    await bodyOf(admin.post(`/admin/held/${held[2].id}/release`, { revision: 0 }));

    const waiting = await pages(admin, '/admin/held');
    const flagged = await pages(admin, '/admin/flagged');
    const refusals = await pages(admin, '/admin/refusals');
    const before = await bodyOf(admin.get('/admin/audit'));
    const audit = await pages(admin, '/admin/audit');

    const first = await admin.get('/admin/held?state=pending&limit=1&x=%3E');
    const second = await admin.get(nextPage(first));
    await bodyOf(admin.post(`/admin/held/${held[0].id}/release`, { revision: 0 }));
    const released = await admin.get('/admin/held?state=released&limit=1');
    const next = await bodyOf(admin.get(nextPage(released)));

    assert.deepEqual([first, second].map(({ body }) => body[0].messageId), [held[0].id, held[1].id]);
    assert.deepEqual(next.map(({ messageId, state }) => [messageId, state]), [[held[2].id, 'released']]);
    const left = ids(held).filter((id) => id !== held[2].id);
    assert.deepEqual(waiting.map(({ messageId }) => messageId), left);
    assert.deepEqual(flagged.map(({ messageId }) => messageId), ids(held).reverse());
    assert.deepEqual(refusals, await bodyOf(admin.get('/admin/refusals')));
    assert.deepEqual(audit, before);
    assert.equal(new Set(audit.map(({ id }) => id)).size, audit.length);
  });

  test('finds what was labelled under the flags, though it was sent', async () => {
    const { alice, bob, admin } = await talking(LABEL);
    await alice.send(bob, 'clean');
    const labelled = await alice.send(bob, 'darn');

    const flagged = await bodyOf(admin.get('/admin/flagged'));

    assert.equal(labelled.state, 'sent');
    assert.deepEqual(flagged.map(({ messageId }) => messageId), [labelled.id]);
    assert.deepEqual(flagged[0].labels, [
      { plugin: 'guard', name: 'words', score: null, severity: 'medium' },
    ]);
    assert.equal(flagged[0].message.content, 'darn');
    assert.ok(!('labels' in (await bob.message(labelled.id))));
    assert.ok(!('labels' in (await alice.message(labelled.id))));
  });

  test('needs the role, in that org', async () => {
    const { alice } = await talking();

    for (const path of ADMIN_READS) assertProblem(await alice.get(`/admin/${path}`), 403, 'forbidden');
    for (const [method, path, body] of ADMIN_WRITES) {
      assertProblem(await alice.request(method, `/admin/${path}`, { body }), 403, 'forbidden');
    }
  });

  test('can do nothing about what is another org’s', async () => {
    const { alice, bob, admin } = await talking(HOLD);
    const other = await talking();
    const held = await alice.send(bob, 'darn');

    for (const verb of ['release', 'refuse']) {
      const path = `/admin/held/${held.id}/${verb}`;
      assertProblem(await other.admin.post(path, { revision: 0 }), 404, 'not_found');
    }
    assertProblem(await other.admin.get(`/admin/messages/${held.id}/decision`), 404, 'not_found');
    for (const [method, path, body] of ADMIN_WRITES.slice(2)) {
      assertProblem(await other.admin.request(method, `/admin/${path}`, { body }), 404, 'not_found');
    }
    for (const path of ['held', 'flagged', 'refusals', 'plugins']) {
      assert.deepEqual(await bodyOf(other.admin.get(`/admin/${path}`)), []);
    }
    const audit = await bodyOf(other.admin.get('/admin/audit'));
    assert.deepEqual([...new Set(audit.map(({ action }) => action))], ['key.add']);
    assert.equal((await bodyOf(admin.get('/admin/held'))).length, 1);
  });

  test('can decide nothing about what does not wait', async () => {
    const { alice, bob, admin } = await talking();
    const sent = await alice.send(bob, 'hello');
    const release = (id, body = { revision: 0 }) => admin.post(`/admin/held/${id}/release`, body);

    assertProblem(await release(sent.id), 409, 'conflict');
    assertProblem(await release(randomUUID()), 404, 'not_found');
    assertInvalid(await release(sent.id, {}), 'body');
    assertInvalid(await release(sent.id, { revision: 0, reason: 'spam' }), 'reason');
    assert.deepEqual(await bodyOf(admin.get('/admin/held')), []);
  });

  test('decides also when the sender’s tokens have been revoked', async () => {
    const { org, alice, bob, admin } = await talking(HOLD);
    const held = await alice.send(bob, 'darn');
    const revoked = await org.operator('POST', '/users/revoke', { email: alice.email });
    assert.ok(revoked.status < 300, revoked.text);

    await bodyOf(admin.post(`/admin/held/${held.id}/release`, { revision: 0 }));

    assert.deepEqual(ids(await bob.history(alice)), [held.id]);
  });
});

describe('What an admin may read', () => {
  /** What the three places show of a held, a labelled and a plain message. */
  async function read({ alice, bob, admin, filter }) {
    const plain = await alice.send(bob, 'clean');
    const held = await alice.send(bob, 'darn');
    await filter.configure(LABEL);
    const labelled = await alice.send(bob, 'darn');
    const of = async ({ id }) => (await bodyOf(admin.get(`/admin/messages/${id}/decision`))).message?.content;
    const [[entry], flags] = [
      await bodyOf(admin.get('/admin/held')),
      await bodyOf(admin.get('/admin/flagged')),
    ];
    return {
      decisions: [await of(plain), await of(held), await of(labelled)],
      queue: entry.message?.content,
      flags: flags.map(({ message }) => message?.content),
      ids: [plain.id, held.id, labelled.id],
    };
  }

  test('is nothing where the org says none, and no reading is noted', async () => {
    const org = await talking(HOLD, { adminReads: 'none' });

    const seen = await read(org);

    assert.deepEqual(seen.decisions, [undefined, undefined, undefined]);
    assert.deepEqual([seen.queue, seen.flags], [undefined, [undefined, undefined]]);
    assert.deepEqual(await auditOf(org.admin, 'content.'), []);
    await bodyOf(org.alice.patch(`${MESSAGES}/${seen.ids[0]}`, { content: 'cleaner' }));
  });

  test('is what is held or flagged by default, and each reading is noted', async () => {
    const org = await talking(HOLD);

    const seen = await read(org);

    const [, held, labelled] = seen.ids;
    assert.deepEqual(seen.decisions, [undefined, 'darn', 'darn']);
    assert.deepEqual([seen.queue, seen.flags], ['darn', ['darn', 'darn']]);
    const noted = await auditOf(org.admin, 'content.');
    assert.deepEqual(noted.map(({ detail }) => detail.messageIds), [
      [labelled],
      [held],
      [held, labelled],
      [held],
    ]);
    assert.ok(!JSON.stringify(await auditOf(org.admin, '')).includes('darn'));
  });

  test('is everything where the org says all', async () => {
    const org = await talking(HOLD, { adminReads: 'all' });

    const seen = await read(org);

    assert.deepEqual(seen.decisions, ['clean', 'darn', 'darn']);
    assert.equal((await auditOf(org.admin, 'content.')).length, 5);
  });

  test('is an audited setting, with choices that are told', async () => {
    const { admin } = await talking();

    const answer = await admin.patch('/admin/settings', { adminReads: 'some' });
    await bodyOf(admin.patch('/admin/settings', { adminReads: 'none' }));

    assertInvalid(answer, 'settings');
    assert.match(answer.text, /held-and-flagged/);
    assert.deepEqual((await auditOf(admin, 'settings.')).map(({ subject }) => subject), [admin.org.id]);
  });
});

describe('A malformed request of an admin is refused, never the server’s fault:', () => {
  const bad = (path) => [
    `${path}?limit=0`,
    `${path}?limit=-1`,
    `${path}?limit=1e3`,
    `${path}?cursor=%00`,
    `${path}?cursor=nonsense`,
    `${path}?cursor=a&cursor=b`,
    `${path}?limit=1&limit=2`,
  ];

  test('in the query of a list', async () => {
    const { admin } = await talking();
    const lists = ['held', 'flagged', 'refusals', 'audit'].flatMap((list) => bad(`/admin/${list}`));

    for (const path of [...lists, '/admin/held?state=lost', '/admin/held?state=']) {
      assertRefused(await admin.get(path));
    }
  });

  test('in an id', async () => {
    const { admin } = await talking();
    const wrong = ['0', '%00', '%ff', '..%2f', randomUUID().slice(1), 'x'.repeat(3000)];

    for (const id of wrong) {
      assertRefused(await admin.get(`/admin/messages/${id}/decision`));
      assertRefused(await admin.post(`/admin/held/${id}/release`, { revision: 0 }));
      assertRefused(await admin.post(`/admin/held/${id}/refuse`, { revision: 0 }));
    }
  });

  test('in a decision', async () => {
    const { alice, bob, admin } = await talking(HOLD);
    const { id } = await alice.send(bob, 'darn');
    const bodies = [
      '{',
      'null',
      '[]',
      { revision: '0' },
      { revision: 0.5 },
      { revision: 2 ** 40 },
      { revision: -1 },
      { revision: 0, other: 1 },
      { revision: 0, note: 'a\u0000b' },
      { revision: 0, note: 'x'.repeat(2001) },
      { revision: 0, reason: '' },
      { revision: 0, reason: 'ä' },
      { revision: 0, reason: 'x'.repeat(65) },
    ];

    for (const body of bodies) {
      for (const verb of ['release', 'refuse']) {
        const headers = { 'content-type': 'application/json' };
        assertRefused(await admin.request('POST', `/admin/held/${id}/${verb}`, { body, headers }));
      }
    }
    assert.equal((await alice.message(id)).state, 'held');
  });

  test('in the name of a plugin', async () => {
    const { admin } = await talking();
    const names = ['%00', 'a%00b', '%ff', 'A', '-a', 'a'.repeat(65), '%2e%2e', 'nobody'];

    for (const name of names) {
      for (const [method, path, body] of ADMIN_WRITES.slice(2)) {
        assertRefused(await admin.request(method, `/admin/${path.replace('guard', name)}`, { body }));
      }
      assertRefused(await admin.get(`/admin/plugins/${name}`));
      assertRefused(await admin.get(`/admin/plugins/${name}/log`));
    }
  });

  test('in the name of an org, or of who is to have an e-mail', async () => {
    const { admin } = await talking();
    const person = { email: 'x@example.com', issuer: 'i', subject: 's' };

    for (const path of ['%00', 'a%00b', '%ff', '-']) {
      assertRefused(await server.operator('GET', `/admin/orgs/${path}`));
      assertRefused(await server.operator('PATCH', `/admin/orgs/${path}`, { name: 'x' }));
    }
    for (const wrong of [{ subject: 'a\u0000' }, { issuer: '\u0000' }, { email: 'a\u0000@b.c' }]) {
      assertRefused(await admin.post('/admin/users/rebind', { ...person, ...wrong }));
    }
  });

  test('in what is said of a plugin', async () => {
    const { admin } = await talking(HOLD);
    const wrong = {
      config: [[], 'null', { a: 1 }, { a: null }, { 'a\u0000': 'b' }, { a: '\u0000' }, { a: 'x'.repeat(70_000) }],
      order: [{ phase: 'last' }, { position: 0 }, { position: -1 }, { position: 1.5 }, { position: 2 ** 40 }, { at: 1 }],
      grants: [[], { all: {} }, { log: [] }, { kv: 1 }, { '\u0000': {} }, { config: { a: 1 } }],
      activate: [{ version: 'x' }, { version: '\u0000' }, { version: 1 }, { onFault: 'pass' }, { autoRollback: 1 }, { a: 1 }],
    };

    for (const [route, bodies] of Object.entries(wrong)) {
      const method = route === 'activate' ? 'POST' : 'PUT';
      for (const body of bodies) {
        const headers = { 'content-type': 'application/json' };
        const path = `/admin/plugins/guard/${route}`;
        assertRefused(await admin.request(method, path, { body, headers }));
      }
    }
    for (const cursor of ['-1', '%00', 'x', '99999999999999999999']) {
      assertRefused(await admin.get(`/admin/plugins/guard/log?cursor=${cursor}`));
    }
    const plugin = await bodyOf(admin.get('/admin/plugins/guard'));
    assert.deepEqual([plugin.state, plugin.config, plugin.configRevision], ['active', HOLD, 2]);
  });
});
