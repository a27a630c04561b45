import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { assertAckError, assertProblem } from './harness/assertions.mjs';
import { draft, file } from './harness/drafts.mjs';
import { guarded, inRust, linesOf, startPatient, uploaded } from './harness/samples.mjs';
import { MESSAGES } from './harness/user.mjs';
import { bodyOf, moderated } from './harness/word_filter.mjs';

const server = await startPatient();
after(() => server.stop());

const REDACTOR = inRust('redactor');
const redacting = (config) => guarded(server, REDACTOR, config);

describe('The redactor', () => {
  test('masks cards, accounts and phone numbers before anybody sees them', async () => {
    const { alice, bob, plugin } = await redacting({});
    const [hers, his] = [await alice.connect(), await bob.connect()];

    for (const [said, seen] of [
      ['my card: 4111 1111 1111 1111, 12/28', 'my card: **** **** **** 1111, 12/28'],
      ['to DE89 3704 0044 0532 0130 00', 'to DE** **** **** **** **** **'],
      ['call +49 30 123456 or (415) 555-2671', 'call +** ** ****** or (***) ***-****'],
    ]) {
      assert.equal((await alice.send(bob, said)).content, seen);
      assert.equal((await his.next('newMessage')).content, seen);
      const { message } = await hers.ask('sendMessage', draft(bob, { content: said }));
      assert.equal(message.content, seen);
      assert.equal((await his.next('newMessage')).content, seen);
    }
    // Ids and times may have any digits.
    const words = (name, value) => (/^id$|Id$|At$/.test(name) ? undefined : value);
    const everything = JSON.stringify([await bob.history(alice), await bob.notifications()], words);
    assert.ok(everything.includes('**** **** **** 1111'), everything);
    assert.ok(!/4111|3704|123456|555/.test(everything), everything);
    assert.deepEqual([...new Set(await linesOf(plugin))].sort(), [
      'found: card',
      'found: iban',
      'found: phone',
    ]);
  });

  test('masks names of files, metadata and edits', async () => {
    const { alice, bob } = await redacting({});

    const sent = await alice.send(bob, 'fine', {
      attachments: [file({ name: '4111111111111111.png' })],
      metadata: { card: '5555-5555-5555-4444', order: '20261122-0815' },
    });
    const edited = await alice.patch(`${MESSAGES}/${sent.id}`, { content: '+49 30 123456' });

    assert.equal(sent.attachments[0].name, '************1111.png');
    assert.deepEqual(sent.metadata, { card: '****-****-****-4444', order: '20261122-0815' });
    assert.equal(edited.body.content, '+** ** ******');
    assert.equal((await bob.message(sent.id)).attachments[0].name, '************1111.png');
  });

  test('leaves other numbers alone', async () => {
    const { alice, bob } = await redacting({});

    for (const content of [
      'order 4111111111111112 of 2026-11-22 10:30',
      'ORD4111111111111111, 123-456-7890',
      '550e8400-e29b-41d4-a716-446655440000',
      '41111111111111111111111',
      'bob@b.example',
    ]) {
      assert.equal((await alice.send(bob, content)).content, content);
    }
  });

  test('refuses or labels where its org wants that, and looks for what its org says', async () => {
    const { alice, bob, admin, plugin } = await redacting({ mode: 'reject', message: 'No cards.' });
    const hers = await alice.connect();
    const card = { content: '4111111111111111' };

    const refused = await alice.post(MESSAGES, draft(bob, card));
    assertProblem(refused, 422, 'rejected');
    assert.equal(refused.body.reason, 'personal_data');
    assert.equal(refused.body.userMessage, 'No cards.');
    assert.deepEqual(refused.body.details, { kinds: ['card'] });
    assertAckError(await hers.ask('sendMessage', draft(bob, card)), 422, 'rejected');

    await plugin.configure({ kinds: 'emails, phones', national: '0### #######' });
    assert.equal((await alice.send(bob, card.content)).content, card.content);
    assert.equal((await alice.send(bob, 'a@b.example')).content, '*@*.*******');
    assert.equal((await alice.send(bob, '0170 1234567')).content, '**** *******');

    await plugin.configure({ mode: 'label' });
    const labelled = await alice.send(bob, card.content);
    const flagged = await bodyOf(admin.get('/admin/flagged'));
    const ours = flagged.find(({ messageId }) => messageId === labelled.id);
    assert.equal(labelled.content, card.content);
    assert.equal(ours.labels[0].name, 'card');
  });

  test('takes no configuration that it cannot mean', async () => {
    const { admin } = await moderated(server);
    const plugin = await uploaded(admin, REDACTOR);

    for (const [config, says] of [
      [{ mode: 'shrug' }, '`mode` must be mask, reject or label'],
      [{ kinds: 'cards, names' }, '`names` is none'],
      [{ national: '###' }, '`national` must list patterns'],
    ]) {
      await plugin.configure(config);
      const refused = await admin.post(`${plugin.path}/activate`, {});
      assertProblem(refused, 422, 'invalid');
      assert.ok(refused.text.includes(says), refused.text);
    }
  });
});
