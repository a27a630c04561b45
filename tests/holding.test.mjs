import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, describe, test } from 'node:test';

import { assertInvalid, assertProblem, assertTime } from './harness/assertions.mjs';
import { draft } from './harness/drafts.mjs';
import { startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';

const WORD_FILTER = readFileSync(
  resolve(
    process.env.DUOLOGUE_WORD_FILTER ??
      join(
        import.meta.dirname,
        '../plugins/word-filter/target/wasm32-unknown-unknown/release/word_filter.wasm',
      ),
  ),
);
const PLUGIN = '/admin/plugins/guard';

const server = await startServer();
after(() => server.stop());

async function talking() {
  const org = await server.org();
  const [alice, bob] = await org.people('alice', 'bob');
  return { org, alice, bob, admin: await org.admin() };
}

async function succeed(pending) {
  const answer = await pending;
  assert.ok(answer.status >= 200 && answer.status < 300, `${answer.status} ${answer.text}`);
  return answer.body;
}

/** The word filter, which refuses `darn`. */
async function install(admin) {
  const headers = { 'content-type': 'application/wasm' };
  await succeed(admin.request('PUT', PLUGIN, { body: WORD_FILTER, headers }));
  await succeed(
    admin.request('PUT', `${PLUGIN}/config`, { body: { words: 'darn', mode: 'reject' } }),
  );
  await succeed(admin.post(`${PLUGIN}/activate`, {}));
}

describe('An admin who reviews', () => {
  test('reads why drafts and edits were refused, and nowhere what they said', async () => {
    const { alice, bob, admin } = await talking();
    await install(admin);
    const clean = await alice.send(bob, 'clean');

    assertProblem(await alice.post(MESSAGES, draft(bob, { content: 'darn' })), 422, 'rejected');
    assertProblem(await alice.patch(`${MESSAGES}/${clean.id}`, { content: 'darn it' }), 422, 'rejected');

    const refusals = await until('both refusals are noted', async () => {
      const noted = await succeed(admin.get('/admin/refusals'));
      return noted.length === 2 && noted;
    });
    assert.deepEqual(
      refusals.map(({ from, to, messageId }) => ({ from, to, messageId })),
      [clean.id, null].map((messageId) => ({ from: alice.email, to: bob.email, messageId })),
    );
    for (const refusal of refusals) {
      assert.match(refusal.reason, /^[a-z0-9_.-]{1,64}$/);
      assertTime(refusal.createdAt);
    }
    assert.ok(!JSON.stringify(refusals).includes('darn'));
  });

  test('pages through refusals', async () => {
    const { alice, bob, admin } = await talking();
    await install(admin);
    for (let sent = 0; sent < 3; sent++) await alice.post(MESSAGES, draft(bob, { content: 'darn' }));
    const all = await until('all are noted', async () => {
      const noted = await succeed(admin.get('/admin/refusals'));
      return noted.length === 3 && noted;
    });

    const first = await admin.get('/admin/refusals?limit=2');
    const cursor = first.headers.get('x-next-cursor');
    const rest = await admin.get(`/admin/refusals?limit=2&cursor=${cursor}`);

    assert.deepEqual([...first.body, ...rest.body], all);
    assert.equal(rest.headers.get('x-next-cursor'), null);
  });

  test('needs the role, in that org', async () => {
    const { alice } = await talking();
    const paths = ['held', 'flagged', 'refusals', 'audit', `messages/${randomUUID()}/decision`];

    for (const path of paths) assertProblem(await alice.get(`/admin/${path}`), 403, 'forbidden');
    for (const verb of ['release', 'refuse']) {
      const path = `/admin/held/${randomUUID()}/${verb}`;
      assertProblem(await alice.post(path, { revision: 0 }), 403, 'forbidden');
    }
  });

  test('can decide nothing about what does not wait, or is of another org', async () => {
    const { alice, bob, admin } = await talking();
    const other = await talking();
    const sent = await alice.send(bob, 'hello');
    const release = (user, id, body = { revision: 0 }) =>
      user.post(`/admin/held/${id}/release`, body);

    assertProblem(await release(admin, sent.id), 409, 'conflict');
    assertProblem(await release(other.admin, sent.id), 404, 'not_found');
    assertProblem(await release(admin, randomUUID()), 404, 'not_found');
    assertInvalid(await release(admin, sent.id, {}), 'body');
    assertProblem(await other.admin.get(`/admin/messages/${sent.id}/decision`), 404, 'not_found');
    assert.deepEqual(await succeed(admin.get('/admin/held')), []);
    assert.deepEqual(await succeed(admin.get('/admin/flagged')), []);
  });

  test('reads of a plain message only what the org allows, and leaves a trace', async () => {
    const { alice, bob, admin } = await talking();
    const sent = await alice.send(bob, 'hello');
    const path = `/admin/messages/${sent.id}/decision`;

    const kept = await succeed(admin.get(path));
    await succeed(admin.patch('/admin/settings', { adminReads: 'all' }));
    const read = await until('the setting is in force', async () => {
      const decision = await succeed(admin.get(path));
      return decision.message && decision;
    });
    const audit = await succeed(admin.get('/admin/audit'));

    assert.equal(kept.message, null);
    assert.deepEqual([kept.labels, kept.steps], [[], []]);
    assert.equal(read.message.content, 'hello');
    assert.deepEqual(
      audit.map(({ action, subject }) => [action, subject]),
      [
        ['content.read', sent.id],
        ['settings.change', admin.org.id],
      ],
    );
    assert.deepEqual(audit[0].detail, { messageIds: [sent.id] });
    assert.ok(!JSON.stringify(audit).includes('hello'));
  });

  test('is told which choices there are', async () => {
    const { admin } = await talking();

    const answer = await admin.patch('/admin/settings', { adminReads: 'some' });

    assertInvalid(answer, 'settings');
    assert.match(answer.text, /held-and-flagged/);
  });
});
