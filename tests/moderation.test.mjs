// Ways round a plugin.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { assertAckError, assertProblem } from './harness/assertions.mjs';
import { startServer } from './harness/server.mjs';
import { MESSAGES } from './harness/user.mjs';
import { Filter, moderated } from './harness/word_filter.mjs';

const server = await startServer();
after(() => server.stop());

const REJECT = { words: 'darn', mode: 'reject' };
/** A configuration that the filter cannot read: it gives no answer. */
const BROKEN = { mode: 'shrug' };

const text = (to, content, fields = {}) => ({ to: to.email, content, contentType: 'text', ...fields });

const talking = () => moderated(server);

describe('A plugin’s word is not gone round', () => {
  test('by either prefix', async () => {
    const { alice, bob, admin } = await talking();
    await Filter.install(admin, 'words', REJECT);

    for (const path of [MESSAGES, `/client${MESSAGES}`]) {
      assertProblem(await alice.post(path, text(bob, 'darn')), 422, 'rejected');
    }
    assert.deepEqual(await bob.history(alice), []);
  });

  test('by an edit, at either prefix', async () => {
    const { alice, bob, admin } = await talking();
    await Filter.install(admin, 'words', REJECT);
    const { id } = await alice.send(bob, 'fine');

    for (const path of [MESSAGES, `/client${MESSAGES}`]) {
      assertProblem(await alice.patch(`${path}/${id}`, { content: 'darn' }), 422, 'rejected');
      assertProblem(await alice.patch(`${path}/${id}`, { metadata: { a: 'darn' } }), 422, 'rejected');
    }
    assert.equal((await bob.message(id)).content, 'fine');
  });

  test('by a socket', async () => {
    const { alice, bob, admin } = await talking();
    await Filter.install(admin, 'words', REJECT);
    const hers = await alice.connect();

    assertAckError(await hers.ask('sendMessage', text(bob, 'darn')), 422, 'rejected');
    assert.deepEqual(await bob.history(alice), []);
  });

  test('by saying it again under the same client id', async () => {
    const { alice, bob, admin } = await talking();
    const filter = await Filter.install(admin, 'words', REJECT);
    const key = { clientId: 'again' };

    assertProblem(await alice.post(MESSAGES, text(bob, 'darn', key)), 422, 'rejected');
    assertProblem(await alice.post(MESSAGES, text(bob, 'darn', key)), 422, 'rejected');
    await filter.disable();
    const passed = await alice.post(MESSAGES, text(bob, 'darn', key));
    await filter.activate();
    const repeated = await alice.post(MESSAGES, text(bob, 'darn', key));

    assert.deepEqual([passed.status, repeated.status], [201, 200]);
    assert.equal((await bob.history(alice)).length, 1);
  });

  test('by one plugin changing what another has passed', async () => {
    const { alice, bob, admin } = await talking();
    // Masked first, so that the second finds nothing; then in the other order.
    const mask = await Filter.install(admin, 'mask', { words: 'darn', mode: 'mask' });
    await Filter.install(admin, 'stop', REJECT);
    assert.equal((await alice.send(bob, 'darn')).content, '****');

    await mask.remove();
    await Filter.install(admin, 'mask', { words: 'darn', mode: 'mask' });

    assertProblem(await alice.post(MESSAGES, text(bob, 'darn')), 422, 'rejected');
  });

  test('by a plugin that is down, unless the org says so', async () => {
    const { alice, bob, admin } = await talking();
    const filter = await Filter.install(admin, 'words', REJECT, 'reject');
    await filter.configure(BROKEN);

    const refused = await alice.post(MESSAGES, text(bob, 'darn'));
    assertProblem(refused, 422, 'rejected');
    assert.equal(refused.body.reason, 'moderation_unavailable');
    assert.ok(refused.body.retryAfterMs > 0);
    assert.deepEqual(await bob.history(alice), []);

    await filter.activate({ onFault: 'allow' });
    assert.equal((await alice.send(bob, 'darn')).content, 'darn');
  });

  test('by disabling it while messages are on their way', async () => {
    const { alice, bob, admin } = await talking();
    const filter = await Filter.install(admin, 'words', REJECT);
    const hers = await alice.connect();
    // Long texts keep the filter busy.
    const long = `darn ${'so '.repeat(4000)}`;

    const before = Array.from({ length: 16 }, () => hers.ask('sendMessage', text(bob, long)));
    await Promise.race(before);
    await filter.disable();
    const after = await hers.ask('sendMessage', text(bob, 'darn'));
    const answers = await Promise.all(before);

    assert.equal(after.ok, true);
    assert.equal(answers[0].error?.code, 'rejected');
    const passed = answers.filter((answer) => answer.ok).map((answer) => answer.message.id);
    const stored = (await bob.history(alice)).map((message) => message.id);
    assert.deepEqual(stored, [...passed, after.message.id]);
  });
});
