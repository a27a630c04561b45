import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { assertAckError, assertProblem } from './harness/assertions.mjs';
import { draft } from './harness/drafts.mjs';
import { guarded, inLanguage, inRust, startPatient, uploaded } from './harness/samples.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';
import { bodyOf, moderated } from './harness/word_filter.mjs';

const server = await startPatient();
after(() => server.stop());

const HOUR_MS = 3_600_000;
const GRANTS = { kv: {}, history: {} };
const ADVERT = 'Buy my wonderful watches, cheap as never before';

/** An org with the guard, at a time at which the hour does not turn in mid-test. */
async function guarding(config, bytes = inRust('flood-guard')) {
  const scene = await guarded(server, bytes, config, { grants: GRANTS });
  await until('the hour is young', () => HOUR_MS - (Date.now() % HOUR_MS) > 20_000, 40_000);
  return scene;
}

function assertTooFast(answer) {
  assertProblem(answer, 422, 'rejected');
  assert.equal(answer.body.reason, 'flood');
  assert.ok(answer.body.retryAfterMs > 0 && answer.body.retryAfterMs <= HOUR_MS, answer.text);
}

/** Sends to so many people, and answers the messages' states. */
async function spread(org, from, names, content) {
  const states = [];
  for (const to of await org.people(...names)) states.push((await from.send(to, content)).state);
  return states;
}

describe('The flood guard', () => {
  test('lets a sender write so many messages and says when there may be more', async () => {
    const { alice, bob } = await guarding({ 'per-hour': '3', message: 'Slowly.' });
    const hers = await alice.connect();

    for (const content of ['one', 'two', 'three']) await alice.send(bob, content);
    const refused = await alice.post(MESSAGES, draft(bob));
    const ack = await hers.ask('sendMessage', draft(bob));

    assertTooFast(refused);
    assert.equal(refused.body.userMessage, 'Slowly.');
    assertAckError(ack, 422, 'rejected');
    assert.equal(ack.error.reason, 'flood');
    assert.equal((await bob.send(alice, 'hello')).state, 'sent', 'others go on');
    assert.equal((await bob.history(alice)).length, 4);
  });

  test('counts no edits', async () => {
    const { alice, bob } = await guarding({ 'per-hour': '1' });

    const { id } = await alice.send(bob, 'hello');
    const edited = await alice.patch(`${MESSAGES}/${id}`, { content: 'hello you' });

    assert.equal(edited.status, 200, edited.text);
    assertTooFast(await alice.post(MESSAGES, draft(bob)));
  });

  test('lets strangers write less than those whom they write to have answered', async () => {
    const config = { strangers: 'unanswered', 'strangers-per-hour': '2' };
    const { org, alice, bob } = await guarding(config);
    const [carol] = await org.people('carol');

    await alice.send(bob, 'hello');
    await alice.send(bob, 'are you there?');
    assertTooFast(await alice.post(MESSAGES, draft(bob)));
    await bob.send(alice, 'I am');
    for (let n = 0; n < 5; n++) await alice.send(bob, `good ${n}`);
    assertTooFast(await alice.post(MESSAGES, draft(carol)));
  });

  test('takes everybody for a stranger who is new, for as many days as its org says', async () => {
    const config = { strangers: 'new', 'strangers-per-hour': '1' };
    const { alice, bob, plugin } = await guarding(config);
    await bob.send(alice, 'hello');

    await alice.send(bob, 'hello');
    assertTooFast(await alice.post(MESSAGES, draft(bob)));
    await plugin.configure({ ...config, 'stranger-days': '0' });

    assert.equal((await alice.send(bob, 'hello')).state, 'sent');
  });

  test('holds one text that goes to many, in other dress and by an edit as well', async () => {
    const { org, alice, bob, admin } = await guarding({ copies: '2', 'copies-minutes': '1440' });

    const states = await spread(org, alice, ['p1', 'p2', 'p3'], ADVERT);
    const disguised = await alice.send(bob, ADVERT.toUpperCase().replaceAll(' ', '  '));
    const other = await alice.send(bob, 'A text of its own, as long as the one before');
    const edited = await alice.patch(`${MESSAGES}/${other.id}`, { content: ADVERT });

    assert.deepEqual(states, ['sent', 'sent', 'held']);
    assert.deepEqual([disguised.state, other.state], ['held', 'sent']);
    assert.equal(edited.body.pendingRevision, 1, edited.text);
    assert.equal((await bob.message(other.id)).content, other.content);
    const [held] = await bodyOf(admin.get('/admin/held'));
    assert.ok(JSON.stringify(held).includes('one text to more than 2 people'), JSON.stringify(held));
  });

  test('lets short texts go to anybody, and one text to one person again', async () => {
    const { org, alice, bob } = await guarding({ copies: '1', 'copies-minutes': '1440' });

    const thanks = await spread(org, alice, ['p1', 'p2', 'p3'], 'Thank you!');
    const again = [await alice.send(bob, ADVERT), await alice.send(bob, ADVERT)];

    assert.deepEqual(thanks, ['sent', 'sent', 'sent']);
    assert.deepEqual(
      again.map(({ state }) => state),
      ['sent', 'sent'],
    );
  });

  test('lets those whom its org exempts write as they like', async () => {
    const { org, alice, bob, plugin } = await guarding({ 'per-hour': '1' });
    const staff = org.user('staff@example.com', { kind: 'staff' });
    const vip = org.user('vip@example.com', { roles: ['vip'] });
    const twice = async (from) => {
      await from.post(MESSAGES, draft(bob));
      return (await from.post(MESSAGES, draft(bob))).status;
    };

    assert.deepEqual([await twice(alice), await twice(staff), await twice(vip)], [422, 201, 422]);
    await plugin.configure({ 'per-hour': '1', exempt: 'vip' });
    assert.deepEqual([await twice(alice), await twice(staff), await twice(vip)], [422, 422, 201]);
  });

  test('takes no configuration that it cannot mean, and is nothing without its grants', async () => {
    const { admin } = await moderated(server);
    const plugin = await uploaded(admin, inRust('flood-guard'));
    const activate = () => admin.post(`${plugin.path}/activate`, {});

    const ungranted = await activate();
    assert.match(ungranted.body.detail, /lack history, kv|lack kv, history/);
    await bodyOf(admin.request('PUT', `${plugin.path}/grants`, { body: GRANTS }));
    for (const [config, says] of [
      [{ 'per-hour': 'many' }, '`per-hour` must be a whole number'],
      [{ strangers: 'odd' }, '`strangers` must be of new and unanswered'],
      [{ 'copies-minutes': '0' }, '`copies-minutes` must be 1 to 1440'],
    ]) {
      await plugin.configure(config);
      const refused = await activate();
      assertProblem(refused, 422, 'invalid');
      assert.ok(refused.text.includes(says), refused.text);
    }
  });

  // One test: to compile it takes a server that is not built for release half a minute.
  test('decides in Python as it does in Rust', { timeout: 400_000 }, async () => {
    const config = { 'per-hour': '5', strangers: 'unanswered', 'strangers-per-hour': '2', copies: '1' };
    const { org, alice, bob, plugin, admin } = await guarding(
      { ...config, 'copies-minutes': '1440' },
      inLanguage('flood-guard', 'python'),
    );
    const staff = org.user('staff@example.com', { kind: 'staff' });

    const states = await spread(org, alice, ['p1', 'p2'], ADVERT);
    assertTooFast(await alice.post(MESSAGES, draft(bob)));
    await bob.send(alice, 'hello');
    const toFriend = await alice.send(bob, 'hello');
    await alice.send(bob, 'hello');
    assertTooFast(await alice.post(MESSAGES, draft(bob)));
    for (let n = 0; n < 6; n++) await staff.send(bob, `${n}`);

    assert.deepEqual([...states, toFriend.state], ['sent', 'held', 'sent']);
    const refused = await admin.request('PUT', `${plugin.path}/config`, { body: { strangers: 'odd' } });
    assertProblem(refused, 422, 'invalid');
    assert.ok(refused.text.includes('`strangers` must be of'), refused.text);
  });
});
