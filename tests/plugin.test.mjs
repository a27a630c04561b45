import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, describe, test } from 'node:test';

import { assertAckError, assertProblem, assertRefused } from './harness/assertions.mjs';
import { startServer } from './harness/server.mjs';
import { MESSAGES } from './harness/user.mjs';
import { bodyOf, moderated, succeed, WORD_FILTER } from './harness/word_filter.mjs';

const NAME = 'zap-words';
const PLUGIN = `/admin/plugins/${NAME}`;
const WASM = { 'content-type': 'application/wasm' };
/** The eight bytes that a core module starts with; a component's fifth byte is 0x0d. */
const CORE_MODULE = Buffer.from('0061736d01000000', 'hex');

const server = await startServer();
after(() => server.stop());

/** An org with an admin and two people who talk. */
const talking = () => moderated(server);

const upload = (user, bytes = WORD_FILTER) => user.request('PUT', PLUGIN, { body: bytes, headers: WASM });

const configure = (user, config) => user.request('PUT', `${PLUGIN}/config`, { body: config });

const MASK = { words: 'darn,heck', mode: 'mask' };
const REJECT = { words: 'darn,heck', mode: 'reject', message: 'Please mind your words.' };

/** Uploads, configures and activates the word filter. */
async function install(admin, config, onFault = 'reject') {
  await succeed(upload(admin));
  await succeed(configure(admin, config));
  await succeed(admin.post(`${PLUGIN}/activate`, { onFault }));
}

const text = (to, content, fields = {}) => ({ to: to.email, content, contentType: 'text', ...fields });

describe('A word filter', () => {
  test('takes hold of the next message of a conversation, without a reconnect', async () => {
    const { alice, bob, admin } = await talking();
    const [hers, his] = [await alice.connect(), await bob.connect()];
    const say = async () => {
      const { message } = await hers.ask('sendMessage', text(bob, 'well, darn it'));
      assert.equal((await his.next('newMessage')).content, message.content);
      return message.content;
    };

    assert.equal(await say(), 'well, darn it');
    await succeed(upload(admin));
    assert.equal(await say(), 'well, darn it');
    await succeed(configure(admin, MASK));
    await succeed(admin.post(`${PLUGIN}/activate`, {}));
    assert.equal(await say(), 'well, **** it');
    assert.equal((await bob.history(alice)).at(-1).content, 'well, **** it');
    assert.ok(hers.connected && his.connected);
  });

  test('stands at both doors and in the way of edits', async () => {
    const { alice, bob, admin } = await talking();
    await install(admin, MASK);
    const his = await bob.connect();

    const sent = await alice.send(bob, 'what the heck');
    const edited = await alice.patch(`${MESSAGES}/${sent.id}`, { content: 'oh darn' });

    assert.equal(sent.content, 'what the ****');
    assert.equal(edited.body.content, 'oh ****');
    assert.equal((await his.next('newMessage')).content, 'what the ****');
    assert.equal((await his.next('messageUpdated')).content, 'oh ****');
    assert.ok(!JSON.stringify(await bob.notifications()).includes('heck'));
  });

  test('refuses with a reason and its words for the sender, never with its name', async () => {
    const { alice, bob, admin } = await talking();
    await install(admin, REJECT);
    const [hers, his] = [await alice.connect(), await bob.connect()];
    const clean = await alice.send(bob, 'a clean one');

    const byRest = await alice.post(MESSAGES, text(bob, 'darn'));
    const ack = await hers.ask('sendMessage', text(bob, 'heck'));
    const edit = await alice.patch(`${MESSAGES}/${clean.id}`, { content: 'darn' });
    hers.tell('sendMessage', text(bob, 'heck'));
    const { event, error } = await hers.next('exception');

    assertProblem(byRest, 422, 'rejected');
    assertProblem(edit, 422, 'rejected');
    assertAckError(ack, 422, 'rejected');
    assert.deepEqual([event, error.code], ['sendMessage', 'rejected']);
    for (const refusal of [byRest.body, edit.body, ack.error, error]) {
      assert.match(refusal.reason, /^[a-z0-9_.-]{1,64}$/);
      assert.equal(refusal.userMessage, REJECT.message);
      assert.ok(!JSON.stringify(refusal).includes(NAME), JSON.stringify(refusal));
    }
    await alice.send(bob, 'barrier');
    await his.next('newMessage', (message) => message.content === 'barrier');
    assert.equal(his.all('newMessage').length, 2);
    assert.equal(his.all('messageUpdated').length, 0);
    assert.equal((await bob.history(alice)).length, 2);
    assert.equal((await bob.notifications()).length, 2);
  });

  test('whose refusal binds no client id, and who is not asked again for a repeat', async () => {
    const { alice, bob, admin } = await talking();
    await install(admin, REJECT);
    const key = { clientId: 'k' };

    assertProblem(await alice.post(MESSAGES, text(bob, 'darn', key)), 422, 'rejected');
    const mended = await alice.post(MESSAGES, text(bob, 'drat', key));
    await succeed(configure(admin, { ...REJECT, words: 'drat' }));
    const repeated = await alice.post(MESSAGES, text(bob, 'drat', key));
    const another = await alice.post(MESSAGES, text(bob, 'drat'));

    assert.deepEqual([mended.status, repeated.status], [201, 200]);
    assert.equal(repeated.body.id, mended.body.id);
    assertProblem(another, 422, 'rejected');
  });

  test('is activated together with a configuration, and named by its first digits', async () => {
    const { alice, bob, admin } = await talking();
    const { version } = (await succeed(upload(admin))).body;
    const activate = (body) => admin.post(`${PLUGIN}/activate`, body);

    const early = await activate({ version: version.slice(0, 7), config: REJECT });
    const unfit = await activate({ version, config: { words: 1 } });
    const active = (await succeed(activate({ version: version.slice(0, 8), config: REJECT }))).body;

    assertProblem(early, 422, 'invalid');
    assertProblem(unfit, 422, 'invalid');
    assert.deepEqual([active.activeVersion, active.config], [version, REJECT]);
    assertProblem(await alice.post(MESSAGES, text(bob, 'darn')), 422, 'rejected');
  });

  test('tells each of two who activate it at once of their own change', async () => {
    const { admin } = await talking();
    const { version } = (await succeed(upload(admin))).body;
    const chosen = version.slice(0, 8).toUpperCase();
    const activate = (config) => bodyOf(admin.post(`${PLUGIN}/activate`, { version: chosen, config }));

    for (let round = 0; round < 10; round++) {
      const answers = await Promise.all([activate(MASK), activate(REJECT)]);
      assert.deepEqual(answers.map(({ config }) => config), [MASK, REJECT]);
      const revisions = answers.map(({ configRevision }) => configRevision);
      assert.equal(Math.abs(revisions[0] - revisions[1]), 1);
    }
  });

  test('follows its new configuration at once', async () => {
    const { alice, bob, admin } = await talking();
    await install(admin, MASK);
    assert.equal((await alice.send(bob, 'darn frogs')).content, '**** frogs');

    await succeed(configure(admin, { ...MASK, words: 'frogs' }));

    assert.equal((await alice.send(bob, 'darn frogs')).content, 'darn *****');
  });

  test('lets go when it is disabled, and takes hold again', async () => {
    const { alice, bob, admin } = await talking();
    await install(admin, MASK);

    await succeed(admin.post(`${PLUGIN}/disable`));
    assert.equal((await alice.send(bob, 'darn')).content, 'darn');

    await succeed(admin.post(`${PLUGIN}/activate`, {}));
    assert.equal((await alice.send(bob, 'darn')).content, '****');
  });

  test('leaves its counters and lines to be read when it is disabled, and goes on from there', async () => {
    const { alice, bob, admin } = await talking();
    await install(admin, REJECT);
    const refused = async () => assertProblem(await alice.post(MESSAGES, text(bob, 'darn')), 422, 'rejected');
    await refused();
    const calls = async () => (await succeed(admin.get(PLUGIN))).body.live[0].calls;
    const lines = async () => (await succeed(admin.get(`${PLUGIN}/log`))).body.lines.length;
    assert.equal(await lines(), 1);

    await succeed(admin.post(`${PLUGIN}/disable`));
    assert.deepEqual([await calls(), await lines()], [1, 1]);

    await succeed(admin.post(`${PLUGIN}/activate`, {}));
    await refused();
    assert.deepEqual([await calls(), await lines()], [2, 2]);
  });

  test('is gone when it is removed', async () => {
    const { alice, bob, admin } = await talking();
    await install(admin, MASK);

    const removed = await admin.del(PLUGIN);

    assert.equal(removed.status, 204, removed.text);
    assert.equal((await alice.send(bob, 'darn')).content, 'darn');
    assertProblem(await admin.get(PLUGIN), 404, 'not_found');
    assert.deepEqual((await admin.get('/admin/plugins')).body, []);
  });

  test('of one org leaves the others alone', async () => {
    const [filtered, free] = [await talking(), await talking()];
    await install(filtered.admin, MASK);
    await install(free.admin, { ...MASK, words: 'other' });

    assert.equal((await filtered.alice.send(filtered.bob, 'darn other')).content, '**** other');
    assert.equal((await free.alice.send(free.bob, 'darn other')).content, 'darn *****');
    await filtered.admin.del(PLUGIN);
    assert.equal((await free.alice.send(free.bob, 'darn other')).content, 'darn *****');
  });

  test('keeps the order of sends in flight', async () => {
    const { alice, bob, admin } = await talking();
    await install(admin, MASK);
    const [hers, his] = [await alice.connect(), await bob.connect()];
    // Long texts keep the filter busy, so that a short one behind could overtake.
    const contents = Array.from({ length: 32 }, (_, n) => (n % 2 ? `${n}` : `${n} ${'so '.repeat(4000)}`));

    await Promise.all(contents.map((content) => hers.ask('sendMessage', text(bob, content))));

    const live = await his.collect('newMessage', 32);
    assert.deepEqual(
      live.map((message) => message.content),
      contents,
    );
    assert.deepEqual(
      (await bob.history(alice)).map((message) => message.content),
      contents,
    );
  });
});

describe('A plugin', () => {
  test('is described when it is uploaded, shown and listed', async () => {
    const { admin } = await talking();
    const sha256 = createHash('sha256').update(WORD_FILTER).digest('hex');

    const uploaded = await succeed(upload(admin));
    const shown = await admin.get(PLUGIN);
    const listed = await admin.get('/admin/plugins');

    for (const answer of [uploaded, shown]) {
      assert.equal(answer.body.name, NAME);
      assert.ok(answer.text.includes(sha256), answer.text);
      assert.ok(JSON.stringify(answer.body.hooks).includes('before-send'), answer.text);
    }
    assert.deepEqual(
      listed.body.map((plugin) => plugin.name),
      [NAME],
    );
  });

  test('is an admin’s matter', async () => {
    const { org, alice, admin } = await talking();
    await succeed(upload(admin));
    const staff = org.user('staff@example.com', { kind: 'staff' });
    const pretender = org.user('pretender@example.com', { roles: ['admin'], kind: 'staff' });

    for (const user of [alice, staff, pretender]) {
      const answers = [
        // Small, because a refusal need not wait for the end of a large upload.
        await upload(user, CORE_MODULE),
        await configure(user, MASK),
        await user.post(`${PLUGIN}/activate`, {}),
        await user.post(`${PLUGIN}/disable`),
        await user.get(PLUGIN),
        await user.get('/admin/plugins'),
        await user.del(PLUGIN),
      ];
      for (const answer of answers) assertProblem(answer, 403, 'forbidden');
    }
    const headers = { orgid: org.id, ...WASM };
    const anonymous = await server.request(PLUGIN, { method: 'PUT', headers, body: CORE_MODULE });
    assertProblem(anonymous, 401, 'unauthorized');
    assert.equal((await admin.get(PLUGIN)).status, 200);
  });

  test('that does not exist is 404', async () => {
    const { admin } = await talking();

    for (const answer of [
      await admin.get(PLUGIN),
      await admin.del(PLUGIN),
      await configure(admin, MASK),
      await admin.post(`${PLUGIN}/activate`, {}),
      await admin.post(`${PLUGIN}/disable`),
    ]) {
      assertProblem(answer, 404, 'not_found');
    }
  });

  test('is a component: anything else is refused in words', async () => {
    const { admin, alice, bob } = await talking();
    const cut = WORD_FILTER.subarray(0, WORD_FILTER.length / 2);
    const garbled = Buffer.from(WORD_FILTER).fill(0xff, 64, 4096);

    const core = await upload(admin, CORE_MODULE);
    for (const bytes of [Buffer.alloc(0), Buffer.from('hello'), Buffer.alloc(1000), cut, garbled]) {
      const answer = await upload(admin, bytes);
      assertRefused(answer);
      assert.ok(answer.body.detail.length > 0);
    }

    assertRefused(core);
    assert.match(core.body.detail, /component/i);
    assertProblem(await admin.get(PLUGIN), 404, 'not_found');
    assert.equal((await alice.send(bob, 'darn')).content, 'darn');
  });

  test('may be 32 MiB and not more', async () => {
    const { admin } = await talking();

    const answer = await upload(admin, Buffer.alloc(32 * 1024 * 1024 + 1));

    assertProblem(answer, 413, 'too_large');
  });

  test('has a configuration of texts', async () => {
    const { admin } = await talking();
    await succeed(upload(admin));

    for (const config of [[], 'x', { words: 7 }, { words: ['darn'] }, null]) {
      const body = JSON.stringify(config);
      assertRefused(
        await admin.request('PUT', `${PLUGIN}/config`, {
          body,
          headers: { 'content-type': 'application/json' },
        }),
      );
    }
  });

  test('is not activated in a version or a way that does not exist', async () => {
    const { admin, alice, bob } = await talking();
    await succeed(upload(admin));
    await succeed(configure(admin, MASK));

    assertRefused(await admin.post(`${PLUGIN}/activate`, { version: '0'.repeat(64) }));
    assertRefused(await admin.post(`${PLUGIN}/activate`, { onFault: 'shrug' }));

    assert.equal((await alice.send(bob, 'darn')).content, 'darn');
  });

  test('has an order, grants, a log and a way back, for admins alone', async () => {
    const { alice, bob, admin } = await talking();
    await install(admin, REJECT);
    assertProblem(await alice.post(MESSAGES, text(bob, 'darn')), 422, 'rejected');

    const ordered = await succeed(
      admin.request('PUT', `${PLUGIN}/order`, { body: { phase: 'guard', position: 3 } }),
    );
    const granted = await succeed(admin.request('PUT', `${PLUGIN}/grants`, { body: { history: {} } }));
    const log = await succeed(admin.get(`${PLUGIN}/log`));
    const rest = await succeed(admin.get(`${PLUGIN}/log?cursor=${log.body.cursor}`));

    assert.deepEqual([ordered.body.phase, ordered.body.position], ['guard', 3]);
    assert.deepEqual(granted.body.grants, { history: {} });
    assert.deepEqual(granted.body.live[0].verdicts, { reject: 1 });
    assert.deepEqual(
      log.body.lines.map(({ level, text }) => [level, text]),
      [['info', 'rejected for content']],
    );
    assert.deepEqual(rest.body.lines, []);
    assertProblem(await admin.post(`${PLUGIN}/rollback`), 409, 'conflict');
    assertRefused(await admin.request('PUT', `${PLUGIN}/order`, { body: { phase: 'last' } }));
    assertRefused(await admin.request('PUT', `${PLUGIN}/grants`, { body: { files: {} } }));
    assertRefused(await admin.get(`${PLUGIN}/log?cursor=x`));
    for (const answer of [
      await alice.request('PUT', `${PLUGIN}/order`, { body: {} }),
      await alice.request('PUT', `${PLUGIN}/grants`, { body: {} }),
      await alice.post(`${PLUGIN}/rollback`),
      await alice.get(`${PLUGIN}/log`),
    ]) {
      assertProblem(answer, 403, 'forbidden');
    }
  });

  test('that is uploaded anew under its name keeps working', async () => {
    const { admin, alice, bob } = await talking();
    await install(admin, MASK);

    await succeed(upload(admin));
    const meanwhile = await alice.send(bob, 'darn');
    await succeed(admin.post(`${PLUGIN}/activate`, {}));

    assert.equal(meanwhile.content, '****');
    assert.equal((await alice.send(bob, 'darn')).content, '****');
  });
});

// The last test of this file: it changes the address of the server.
test('an active plugin is active after a restart', async () => {
  const { alice, bob, admin } = await talking();
  await install(admin, MASK);

  await server.restart();

  assert.equal((await alice.send(bob, 'darn')).content, '****');
});
