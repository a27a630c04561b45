// Content types that a plugin owns or tightens, at both doors.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { assertAckError, assertInvalid, assertProblem } from './harness/assertions.mjs';
import { startServer } from './harness/server.mjs';
import { MESSAGES } from './harness/user.mjs';
import { bodyOf, Filter, moderated, succeed, versionOf } from './harness/word_filter.mjs';

/** Owns `acme.poll` and tightens `text`, as `make guests` builds it (host/tests/it/guests/polls/plugin.js). */
const POLLS = readFileSync(
  process.env.DUOLOGUE_POLLS ?? join(import.meta.dirname, '../target/guests/polls.wasm'),
);

const server = await startServer();
after(() => server.stop());

const asPoll = (question, options = ['now', 'later']) => JSON.stringify({ question, options });
const poll = (to, content) => ({ to: to.email, content, contentType: 'acme.poll' });
const text = (to, content) => ({ to: to.email, content, contentType: 'text' });

const violationsOf = (error) => error.details.violations;

// One org for all, because compiling the guest takes its time; each test leaves the plugin active.
const { alice, bob, admin } = await moderated(server, undefined, { notificationEvents: 'all' });
const polls = new Filter(admin, 'polls');
await polls.upload(POLLS);
await polls.activate();

describe('A content type that a plugin owns', () => {
  test('is sent through both doors, as the plugin normalised it', async () => {
    const [hers, his] = [await alice.connect(), await bob.connect()];

    const byRest = await bodyOf(alice.post(MESSAGES, poll(bob, asPoll('  when? '))));
    const bySocket = await hers.ask('sendMessage', poll(bob, asPoll('where?')));

    assert.deepEqual([byRest.content, byRest.contentType], [asPoll('when?'), 'acme.poll']);
    assert.equal(bySocket.message?.content, asPoll('where?'), JSON.stringify(bySocket));
    for (const question of ['when?', 'where?']) {
      const pushed = await his.next('newMessage');
      assert.deepEqual([pushed.content, pushed.contentType], [asPoll(question), 'acme.poll']);
      assert.equal((await his.next('notification')).body, `Poll: ${question}`);
    }
    const history = await bob.history(alice);
    assert.deepEqual(
      history.map((message) => message.content),
      [asPoll('when?'), asPoll('where?')],
    );
  });

  test('is shown by its preview where a list cuts messages, and whole elsewhere', async () => {
    const sent = await bodyOf(alice.post(MESSAGES, poll(bob, asPoll('who?'))));
    const lists = async () => {
      const [thread] = await bodyOf(bob.get(`${MESSAGES}/threads`));
      const [notification] = await bob.notifications();
      assert.deepEqual([thread.lastMessage.id, notification.messageId], [sent.id, sent.id]);
      return [thread.lastMessage.content, notification.body];
    };

    assert.deepEqual(await lists(), ['Poll: who?', 'Poll: who?']);
    assert.equal((await bob.message(sent.id)).content, asPoll('who?'));
    await polls.configure({ label: 'Vote' });
    await succeed(alice.patch(`${MESSAGES}/${sent.id}`, { content: asPoll('who else?') }));
    assert.deepEqual(await lists(), ['Vote: who else?', 'Vote: who else?']);
    assert.equal((await bob.message(sent.id)).content, asPoll('who else?'));
    await polls.configure({});
    await succeed(alice.del(`${MESSAGES}/${sent.id}`));
    const [thread] = await bodyOf(bob.get(`${MESSAGES}/threads`));
    assert.notEqual(thread.lastMessage?.id, sent.id);
  });

  test('counts as no call of the plugin where the schema refuses it', async () => {
    const counters = async () => {
      const { live } = await bodyOf(admin.get(polls.path));
      return live.find(({ hook }) => hook === 'validate-content');
    };
    const before = await counters();

    await alice.post(MESSAGES, poll(bob, asPoll('when?', ['now', 'LATER'])));

    const after = await counters();
    assert.deepEqual([after.calls, after.verdicts], [before.calls, before.verdicts]);
    assert.equal(after.refusedBySchema, (before.refusedBySchema ?? 0) + 1);
  });

  test('is refused with what is wrong by path, alike at both doors and in edits', async () => {
    const hers = await alice.connect();
    const sent = await bodyOf(alice.post(MESSAGES, poll(bob, asPoll('fine?'))));
    const stored = (await bob.history(alice)).length;
    const cases = [
      ['{nonsense', ['']],
      [asPoll('when?', ['now', 'LATER']), ['/options/1']],
      [asPoll('when?', ['now']), ['/options']],
      [asPoll('when?', ['now', 'now']), ['/options/1']],
    ];
    for (const [content, paths] of cases) {
      const byRest = await alice.post(MESSAGES, poll(bob, content));
      const ack = await hers.ask('sendMessage', poll(bob, content));
      const edit = await alice.patch(`${MESSAGES}/${sent.id}`, { content });

      assertProblem(byRest, 422, 'rejected');
      assertAckError(ack, 422, 'rejected');
      assertProblem(edit, 422, 'rejected');
      for (const error of [byRest.body, ack.error, edit.body]) {
        assert.equal(error.reason, 'invalid_content');
        assert.deepEqual(
          violationsOf(error).map(({ path }) => path),
          paths,
        );
        for (const { message } of violationsOf(error)) assert.ok(message.length > 0);
        assert.ok(!JSON.stringify(error).includes('polls'), JSON.stringify(error));
      }
    }
    const many = Array.from({ length: 10 }, (_, n) => `${n}`);
    const long = await alice.post(MESSAGES, poll(bob, asPoll('?', [...many, ...many])));
    assert.ok(violationsOf(long.body).length <= 16, long.text);
    assert.equal((await bob.history(alice)).length, stored);
    assert.equal((await bob.message(sent.id)).content, asPoll('fine?'));
  });

  test('has the plugin’s part in the record of the message', async () => {
    const sent = await bodyOf(alice.post(MESSAGES, poll(bob, asPoll(' spaces? '))));

    const { steps } = await bodyOf(admin.get(`/admin/messages/${sent.id}/decision`));

    assert.deepEqual(
      steps.map(({ plugin, hook, verdict, changed }) => [plugin, hook, verdict, changed]),
      [['polls', 'validate-content', 'normalised', ['content']]],
    );
  });

  test('has one active owner', async () => {
    const second = new Filter(admin, 'others');
    const uploaded = await second.upload(versionOf(POLLS, 'others'));
    assert.deepEqual(
      uploaded.body.contentTypes.map(({ name }) => name),
      ['acme.poll', 'text'],
    );

    const refused = await admin.post('/admin/plugins/others/activate', {});
    assertProblem(refused, 409, 'conflict');
    assert.match(refused.body.detail, /plugin polls owns the content type acme\.poll/);

    await polls.disable();
    await second.activate();
    assertProblem(await admin.post('/admin/plugins/polls/activate', {}), 409, 'conflict');
    await second.remove();
    await polls.activate();
  });

  test('cannot be sent or edited while nobody owns it, and what is old is readable', async () => {
    const sent = await bodyOf(alice.post(MESSAGES, poll(bob, asPoll('old?'))));
    const hers = await alice.connect();
    await polls.disable();

    assertInvalid(await alice.post(MESSAGES, poll(bob, asPoll('new?'))), 'contentType');
    assertAckError(await hers.ask('sendMessage', poll(bob, asPoll('new?'))), 422, 'invalid');
    const edit = await alice.patch(`${MESSAGES}/${sent.id}`, { content: asPoll('newer?') });
    assertInvalid(edit, 'contentType');
    assert.equal((await bob.message(sent.id)).content, asPoll('old?'));
    assert.equal((await alice.send(bob, 'PLAIN TEXT')).content, 'PLAIN TEXT');

    await polls.activate();
    await succeed(alice.patch(`${MESSAGES}/${sent.id}`, { content: asPoll('newer?') }));
  });
});

describe('A plugin that judges content', () => {
  test('may tighten what every server takes', async () => {
    const refused = await alice.post(MESSAGES, text(bob, 'ALL CAPITALS'));

    assertProblem(refused, 422, 'rejected');
    assert.deepEqual(violationsOf(refused.body), [{ path: '', message: 'must not be all capitals' }]);
    assert.equal((await alice.send(bob, 'All fine')).content, 'All fine');
  });

  test('that fails goes by a policy of its own, which an admin chooses', async () => {
    const shown = await bodyOf(admin.get('/admin/plugins/polls'));
    assert.deepEqual([shown.onFault, shown.onContentFault], ['hold', 'reject']);
    const crash = poll(bob, asPoll('crash?'));

    const refused = await alice.post(MESSAGES, crash);
    assertProblem(refused, 422, 'rejected');
    assert.equal(refused.body.reason, 'content_unchecked');
    assert.ok(refused.body.retryAfterMs > 0 && refused.body.userMessage, refused.text);

    const held = await polls.activate({ onContentFault: 'hold' });
    assert.deepEqual([held.body.onFault, held.body.onContentFault], ['hold', 'hold']);
    assert.equal((await bodyOf(alice.post(MESSAGES, crash))).state, 'held');
    const [waiting] = await bodyOf(admin.get('/admin/held'));
    assert.deepEqual([waiting.cause, waiting.plugin], ['fault', 'polls']);

    await polls.activate({ onContentFault: 'allow' });
    assert.equal((await bodyOf(alice.post(MESSAGES, crash))).state, 'sent');
    assertProblem(await alice.post(MESSAGES, poll(bob, '[]')), 422, 'rejected');
    await polls.activate({ onContentFault: 'reject' });
  });

  test('leaves moderation its word on every message', async () => {
    const filter = await Filter.install(admin, 'words', { words: 'darn', mode: 'reject' });

    // However JSON spells it.
    for (const spelled of [asPoll('darn?'), asPoll('darn?').replace('darn', '\\u0064arn')]) {
      const refused = await alice.post(MESSAGES, poll(bob, spelled));

      assertProblem(refused, 422, 'rejected');
      assert.equal(refused.body.reason, 'words');
    }
    await filter.remove();
  });

  test('judges again what another plugin modified, which must leave it valid', async () => {
    const filter = await Filter.install(admin, 'words', { words: 'darn', mode: 'mask' }, 'reject');

    const masked = await bodyOf(alice.post(MESSAGES, poll(bob, asPoll('darn?'))));
    assert.equal(masked.content, asPoll('****?'));
    const [thread] = await bodyOf(bob.get(`${MESSAGES}/threads`));
    assert.equal(thread.lastMessage.content, 'Poll: ****?');

    // An option has letters alone.
    const broken = poll(bob, asPoll('when?', ['darn', 'later']));
    const refused = await alice.post(MESSAGES, broken);
    assertProblem(refused, 422, 'rejected');
    assert.equal(refused.body.reason, 'moderation_unavailable');

    await filter.activate({ onFault: 'allow' });
    const kept = await bodyOf(alice.post(MESSAGES, broken));
    assert.equal(kept.content, broken.content);
    const { steps } = await bodyOf(admin.get(`/admin/messages/${kept.id}/decision`));
    assert.deepEqual(
      steps.map(({ plugin, verdict, fault }) => [plugin, verdict, fault]),
      [
        ['polls', 'valid', undefined],
        ['polls', 'invalid', undefined],
        ['words', 'fault', 'invalid_answer'],
      ],
    );
    await filter.remove();
  });
});
