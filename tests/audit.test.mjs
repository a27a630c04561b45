// What admins do with plugins: who did it, in which order, and two at once.
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { after, describe, test } from 'node:test';

import { assertInvalid, assertProblem } from './harness/assertions.mjs';
import { draft } from './harness/drafts.mjs';
import { inRust } from './harness/samples.mjs';
import { startServer } from './harness/server.mjs';
import { now } from './harness/tokens.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';
import { bodyOf, Filter, succeed, versionOf, WORD_FILTER } from './harness/word_filter.mjs';

const server = await startServer();
after(() => server.stop());

const REJECT = { words: 'darn', mode: 'reject' };
const BROKEN = { mode: 'shrug' };
const SECOND = versionOf(WORD_FILTER, 'second');
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

async function administered() {
  const org = await server.org();
  return { org, admin: await org.admin() };
}

/** Oldest first, without what it took to make the org. */
async function auditOf(admin) {
  return (await wholeAudit(admin)).filter(({ actor }) => actor !== 'operator');
}

async function wholeAudit(admin) {
  return (await bodyOf(admin.get('/admin/audit'))).reverse();
}

describe('The audit log', () => {
  test('says who did what with a plugin, and which version it was', async () => {
    const { admin } = await administered();
    const [first, second] = [sha256(WORD_FILTER), sha256(SECOND)];
    const filter = await Filter.install(admin, 'guard', REJECT, 'allow');
    await filter.upload(SECOND);
    await filter.activate({ autoRollback: true });
    await bodyOf(admin.post(`${filter.path}/rollback`));
    await bodyOf(admin.request('PUT', `${filter.path}/order`, { body: { phase: 'guard', position: 7 } }));
    await bodyOf(admin.request('PUT', `${filter.path}/grants`, { body: {} }));
    await filter.disable();
    await filter.remove();

    const audit = await auditOf(admin);

    const terms = { configRevision: 2, onFault: 'allow', onContentFault: 'reject' };
    assert.deepEqual(
      audit.map(({ action, detail }) => [action, detail]),
      [
        ['plugin.upload', { version: first }],
        ['plugin.configure', { configRevision: 2 }],
        ['plugin.activate', { ...terms, version: first, autoRollback: false }],
        ['plugin.upload', { version: second }],
        ['plugin.activate', { ...terms, version: second, autoRollback: true }],
        ['plugin.rollback', { ...terms, version: first, autoRollback: true }],
        ['plugin.order', { phase: 'guard', position: 7 }],
        ['plugin.grant', { grants: [] }],
        ['plugin.disable', { version: first }],
        ['plugin.remove', { version: null }],
      ],
    );
    assert.deepEqual([...new Set(audit.map(({ subject }) => subject))], ['guard']);
    assert.equal(new Set(audit.map(({ actor }) => actor)).size, 1);
    assert.match(audit[0].actor, /^[0-9a-f-]{36}$/);
    assert.ok(!JSON.stringify(audit).includes('darn'));
  });

  test('names the grants, and says nothing of what was refused', async () => {
    const { admin } = await administered();
    const filter = await Filter.install(admin, 'guard', REJECT);
    const before = (await auditOf(admin)).length;

    await bodyOf(admin.request('PUT', `${filter.path}/grants`, { body: { history: {} } }));
    assertInvalid(await admin.request('PUT', `${filter.path}/grants`, { body: { all: {} } }), 'grants');
    assertInvalid(await admin.request('PUT', `${filter.path}/order`, { body: { position: 0 } }), 'position');
    assertInvalid(await admin.post(`${filter.path}/activate`, { version: 'x' }), 'version');
    assertProblem(await admin.post(`${filter.path}/rollback`), 409, 'conflict');
    assertProblem(await admin.del('/admin/plugins/other'), 404, 'not_found');

    const audit = (await auditOf(admin)).slice(before);
    assert.deepEqual(
      audit.map(({ action, detail }) => [action, detail]),
      [['plugin.grant', { grants: ['history'] }]],
    );
  });

  test('says that the server went back to the version before by itself', async () => {
    const { org, admin } = await administered();
    const filter = await Filter.install(admin, 'guard', REJECT);
    await filter.upload(SECOND);
    await filter.activate({ autoRollback: true });
    await filter.configure(BROKEN);
    const senders = await org.people('ann', 'ben', 'cat', 'dan', 'eve', 'fay');

    const done = await until('the failing version is rolled back', async () => {
      for (const [index, sender] of senders.entries()) {
        await sender.post(MESSAGES, draft(senders[(index + 1) % senders.length]));
      }
      return (await auditOf(admin)).find(({ action }) => action === 'plugin.rollback');
    });

    assert.deepEqual([done.actor, done.subject], ['system', 'guard']);
    assert.deepEqual(done.detail, { failing: sha256(SECOND), version: sha256(WORD_FILTER) });
    const plugin = await bodyOf(admin.get(filter.path));
    assert.deepEqual([plugin.activeVersion, plugin.previousVersion], [sha256(WORD_FILTER), null]);
  });

  test('says why the server did not go back to a version that refuses its configuration', async () => {
    const { org, admin } = await administered();
    const plugin = new Filter(admin, 'guard');
    await plugin.upload(inRust('redactor'));
    await plugin.activate();
    await plugin.upload(WORD_FILTER);
    await plugin.activate({ autoRollback: true });
    // The word filter is not asked beforehand and fails; the redactor would refuse it.
    await plugin.configure(BROKEN);
    const senders = await org.people('ann', 'ben', 'cat', 'dan', 'eve', 'fay');

    const stayed = await until('the server has seen that it cannot go back', async () => {
      for (const [index, sender] of senders.entries()) {
        await sender.post(MESSAGES, draft(senders[(index + 1) % senders.length]));
      }
      return (await auditOf(admin)).find(({ action }) => action === 'plugin.stay');
    });

    assert.deepEqual([stayed.actor, stayed.subject], ['system', 'guard']);
    assert.deepEqual(stayed.detail, {
      failing: sha256(WORD_FILTER),
      version: sha256(inRust('redactor')),
      configRevision: 2,
      why: 'its previous version does not take the configuration',
    });
    const { activeVersion, previousVersion } = await bodyOf(admin.get(plugin.path));
    assert.deepEqual([activeVersion, previousVersion], [sha256(WORD_FILTER), sha256(inRust('redactor'))]);
    assert.match(server.output, /a failing plugin is not rolled back/);
    assert.ok(!(await auditOf(admin)).some(({ action }) => action === 'plugin.rollback'));
  });
});

describe('What the operator does', () => {
  test('to an org, its keys and its people is in the log of that org', async () => {
    const { org } = await administered();
    const [alice, bob] = await org.people('alice', 'bob');
    const secret = 'a secret that no log may ever show';
    const key = await org.addKey({ secret, algorithm: 'HS256', kid: 'spare' });
    const rebinding = { email: alice.email, issuer: '', subject: 'another' };

    await succeed(org.operator('PATCH', '', { name: 'Renamed', settings: { reviewDays: 3 } }));
    await succeed(org.operator('PATCH', '', { suspended: true }));
    await succeed(org.operator('PATCH', '', { suspended: false }));
    await succeed(org.operator('DELETE', `/keys/${key.id}`));
    await succeed(org.operator('POST', '/users/rebind', rebinding));
    await succeed(org.operator('POST', '/users/revoke', { email: bob.email }));
    for (const whose of [alice.email, '--everyone']) {
      const revoked = await server.cli('user', 'revoke', org.id, whose);
      assert.equal(revoked.code, 0, revoked.stderr);
    }

    // A token of a moment ahead, as all those of before are refused.
    const audit = await wholeAudit(await org.admin('later@example.com', { iat: now() + 4 }));
    const added = (kid, mayAdmin) => ({ kind: 'secret', kid, algorithm: 'HS256', mayAdmin });
    assert.deepEqual(
      audit.map(({ action, detail }) => [action, detail]),
      [
        ['key.add', added(null, false)],
        ['key.add', added(null, true)],
        ['key.add', added('spare', false)],
        ['org.rename', { name: 'Renamed' }],
        ['settings.change', { reviewDays: 3 }],
        ['org.suspend', {}],
        ['org.resume', {}],
        ['key.retire', {}],
        ['user.rebind', { issuer: '', subject: 'another' }],
        ['user.revoke', {}],
        ['user.revoke', {}],
        ['org.revoke', {}],
        ['key.add', added(null, true)],
      ],
    );
    assert.deepEqual([...new Set(audit.map(({ actor }) => actor))], ['operator']);
    const subjects = audit.map(({ subject }) => subject);
    assert.deepEqual([subjects[2], subjects[7]], [key.id, key.id]);
    assert.deepEqual([...new Set([...subjects.slice(3, 7), subjects[11]])], [org.id]);
    // A person by their id.
    assert.equal(subjects[10], subjects[8]);
    assert.notEqual(subjects[9], subjects[8]);
    assert.ok(!JSON.stringify(audit).includes(secret));
  });

  test('and was refused is not', async () => {
    const { org, admin } = await administered();
    const before = await wholeAudit(admin);
    const nobody = { email: 'nobody@example.com', issuer: '', subject: 's' };

    assertProblem(await org.operator('POST', '/users/rebind', nobody), 404, 'not_found');
    assertProblem(await org.operator('POST', '/users/revoke', { email: nobody.email }), 404, 'not_found');
    assertProblem(await org.operator('DELETE', `/keys/${randomUUID()}`), 404, 'not_found');
    assertProblem(await org.operator('PATCH', '', { settings: { reviewDays: -1 } }), 422, 'invalid');

    assert.deepEqual(await wholeAudit(admin), before);
  });
});

describe('Admins who act at once', () => {
  test('are all answered, and the log agrees with what is in force', async () => {
    const { org, admin } = await administered();
    const other = await org.admin('other@example.com');
    const [alice, bob] = await org.people('alice', 'bob');
    const filter = await Filter.install(admin, 'guard', REJECT);
    await filter.upload(SECOND);
    const versions = [sha256(WORD_FILTER), sha256(SECOND)];
    const deeds = (user, round) => [
      user.post(`${filter.path}/activate`, { version: versions[round % 2] }),
      user.request('PUT', `${filter.path}/config`, { body: { ...REJECT, message: `${round}` } }),
      user.post(`${filter.path}/rollback`),
      user.request('PUT', `${filter.path}/order`, { body: {} }),
      user.request('PUT', `${filter.path}/grants`, { body: round % 2 ? { history: {} } : {} }),
    ];

    const answers = [];
    for (let round = 0; round < 6; round++) {
      const sends = [alice, alice].map((user) => user.post(MESSAGES, draft(bob, { content: 'darn' })));
      answers.push(...(await Promise.all([...deeds(admin, round), ...deeds(other, round + 1)])));
      // Whichever version decides, it refuses.
      for (const sent of await Promise.all(sends)) assertProblem(sent, 422, 'rejected');
    }

    for (const { status, text } of answers) assert.ok([200, 409].includes(status), `${status} ${text}`);
    const audit = await auditOf(admin);
    const plugin = await bodyOf(admin.get(filter.path));
    const last = audit.findLast(({ action }) => ['plugin.activate', 'plugin.rollback'].includes(action));
    assert.equal(plugin.activeVersion, last.detail.version);
    const configured = audit.filter(({ action }) => action === 'plugin.configure');
    assert.deepEqual(
      configured.map(({ detail }) => detail.configRevision),
      configured.map((_, index) => index + 2),
    );
    assert.equal(plugin.configRevision, configured.length + 1);
    assert.equal(answers.filter(({ status }) => status === 200).length, audit.length - 4);
    assert.deepEqual(await bob.history(alice), []);
  });

  test('remove and upload a plugin in turns, and nothing breaks', async () => {
    const { org, admin } = await administered();
    const other = await org.admin('other@example.com');
    const filter = await Filter.install(admin, 'guard', REJECT);
    const headers = { 'content-type': 'application/wasm' };

    const answers = [];
    for (let round = 0; round < 5; round++) {
      answers.push(
        ...(await Promise.all([
          admin.request('PUT', filter.path, { body: WORD_FILTER, headers }),
          other.del(filter.path),
          admin.post(`${filter.path}/activate`, {}),
          other.request('PUT', `${filter.path}/config`, { body: REJECT }),
          admin.post(`${filter.path}/disable`),
          other.post(`${filter.path}/rollback`),
        ])),
      );
    }

    for (const { status, text } of answers) {
      assert.ok([200, 201, 204, 404, 409, 422].includes(status), `${status} ${text}`);
    }
  });
});
