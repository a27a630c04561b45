// The link guard, in both languages that it is written in: they decide alike.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { assertAckError, assertProblem } from './harness/assertions.mjs';
import { draft, file } from './harness/drafts.mjs';
import { guarded, inLanguage, inRust, linesOf, startPatient, uploaded } from './harness/samples.mjs';
import { MESSAGES } from './harness/user.mjs';
import { bodyOf, moderated } from './harness/word_filter.mjs';

const server = await startPatient();
after(() => server.stop());

const ALLOW = { allow: 'good.example, *.good.example', message: 'Our own links only, please.' };

const ELSEWHERE = [
  'https://evil.example',
  'HTTPS://Evil.Example/x',
  'https://good.example@evil.example/',
  'https://good.example.evil.example/',
  'https://evilgood.example/',
  'https://gооd.example/', // with Cyrillic letters
  'https://xn--good-.example/',
  'https://good.example,evil.example/',
  'https://evil%2eexample/',
  'https:\\\\evil.example\\@good.example',
  'https://ev\u200bil.example',
  'https://evil.example./',
  'ｅｖｉｌ.example/path',
  'www.evil.example/x',
  'evil.example/path',
  'evil.com',
  'https://good.example/?to=https://evil.example/',
  'https://[::1]/',
];

const HARMLESS = [
  'see https://good.example/a?b=c#d, and https://www.GOOD.example.',
  '[here](https://good.example/evil.com)',
  'good.example/path and https://good.example:8443/',
  'https://ｇｏｏｄ.example/',
  'write to bob@evil.com',
  'it is done.Then we go, e.g. at 10.30/11',
  'node.js/react, main.rs and 1.2.3.4',
];

for (const [language, bytes] of [
  ['Rust', inRust('link-guard')],
  ['JavaScript', inLanguage('link-guard', 'js')],
]) {
  describe(`The link guard in ${language}`, () => {
    test('stops links elsewhere in any disguise, and lets the org’s own pass', async () => {
      const { alice, bob } = await guarded(server, bytes, ALLOW);

      for (const content of ELSEWHERE) {
        const answer = await alice.post(MESSAGES, draft(bob, { content }));
        assertProblem(answer, 422, 'rejected');
        assert.equal(answer.body.reason, 'links', content);
        assert.equal(answer.body.userMessage, ALLOW.message);
      }
      for (const content of HARMLESS) assert.equal((await alice.send(bob, content)).content, content);
      assert.equal((await bob.history(alice)).length, HARMLESS.length);
    });

    test('looks at metadata, files and edits, and at what comes by a socket', async () => {
      const { alice, bob, plugin } = await guarded(server, bytes, ALLOW);
      const hers = await alice.connect();
      const [ours, theirs] = ['https://cdn.good.example/a.png', 'https://evil.example/a.png'];
      const sent = await alice.send(bob, 'fine', {
        attachments: [file({ url: ours })],
        metadata: { page: 'https://good.example/1' },
      });

      for (const [field, fields] of [
        ['content', { content: 'evil.example/x' }],
        ['attachments', { attachments: [file({ url: theirs })] }],
        ['attachments', { attachments: [file({ url: ours, name: 'www.evil.example' })] }],
        ['metadata', { metadata: { page: theirs } }],
      ]) {
        const refused = await alice.post(MESSAGES, draft(bob, fields));
        assertProblem(refused, 422, 'rejected');
        assert.deepEqual(refused.body.details, { fields: [field] });
      }
      assertAckError(await hers.ask('sendMessage', draft(bob, { content: 'evil.com' })), 422, 'rejected');
      assertProblem(await alice.patch(`${MESSAGES}/${sent.id}`, { content: 'evil.com' }), 422, 'rejected');
      assert.deepEqual(
        (await bob.history(alice)).map(({ content }) => content),
        ['fine'],
      );
      const lines = await linesOf(plugin);
      assert.equal(lines.length, 6);
      assert.ok(lines.every((line) => line.startsWith('a link elsewhere in ') && !line.includes('evil')));
    });

    test('holds or labels where its org wants that, and counts as links what its org says', async () => {
      const { alice, bob, admin, plugin } = await guarded(server, bytes, { ...ALLOW, mode: 'hold' });

      const held = await alice.send(bob, 'https://evil.example');
      await plugin.configure({ ...ALLOW, mode: 'label', endings: 'test' });
      const labelled = await alice.send(bob, 'evil.test');
      const unnoticed = await alice.send(bob, 'evil.com');
      await plugin.configure({ allow: 'evil.example' });
      const allowed = await alice.send(bob, 'https://evil.example');

      const states = [held, labelled, unnoticed, allowed].map(({ state }) => state);
      assert.deepEqual(states, ['held', 'sent', 'sent', 'sent']);
      const flagged = await bodyOf(admin.get('/admin/flagged'));
      assert.deepEqual(
        flagged.map(({ messageId, labels }) => [messageId, labels[0].name]),
        [
          [labelled.id, 'links'],
          [held.id, 'links'],
        ],
      );
    });

    test('takes no configuration that it cannot mean', async () => {
      const { admin } = await moderated(server);
      const plugin = await uploaded(admin, bytes);

      for (const [config, says] of [
        [{ mode: 'shrug' }, '`mode` must be reject, hold or label'],
        [{ allow: 'https://good.example/' }, '`https://good.example/` is none'],
        [{ endings: 'co/m' }, '`endings` must list endings'],
      ]) {
        await plugin.configure(config);
        const refused = await admin.post(`${plugin.path}/activate`, {});
        assertProblem(refused, 422, 'invalid');
        assert.ok(refused.text.includes(says), refused.text);
      }
    });
  });
}
