import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, test } from 'node:test';

import { assertInvalid, assertMessage, assertProblem, assertRefused } from './harness/assertions.mjs';
import { draft, file } from './harness/drafts.mjs';
import { startServer } from './harness/server.mjs';
import { MESSAGES } from './harness/user.mjs';

const server = await startServer();
after(() => server.stop());

describe('A sent message', () => {
  test('has null and [] for what was not given', async () => {
    const [alice, bob] = await server.people('alice', 'bob');

    const sent = await alice.send(bob, 'bare');

    const { attachments, replyTo, clientId, metadata, editedAt, deletedAt, readAt } = sent;
    assert.deepEqual(attachments, []);
    for (const absent of [replyTo, clientId, metadata, editedAt, deletedAt, readAt]) {
      assert.equal(absent, null);
    }
  });

  test('is returned exactly as it was sent', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const contents = [
      '<script>alert("x")</script> &amp; \\ "quoted"',
      "Robert'); drop table messages; --",
      '\u202Eright to left\u202C zero\u200Bwidth 👩‍👩‍👧‍👦 \u{1F600} e\u0301 \u0007 \n\t',
      ' leading and trailing  ',
      '{"looks": ["like", "json"]}',
    ];

    for (const content of contents) await alice.send(bob, content);

    const history = await bob.history(alice);
    assert.deepEqual(
      history.map((message) => message.content),
      contents,
    );
  });

  test('has a seq that grows along the thread, the same for both', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    for (let n = 0; n < 3; n++) {
      await alice.send(bob, `a${n}`);
      await bob.send(alice, `b${n}`);
    }

    const [hers, his] = [await alice.history(bob), await bob.history(alice)];

    assert.deepEqual(hers, his);
    assert.deepEqual(
      hers.map((m) => m.content),
      ['a0', 'b0', 'a1', 'b1', 'a2', 'b2'],
    );
    for (let n = 1; n < hers.length; n++) assert.ok(hers[n].seq > hers[n - 1].seq);
  });

  test('is always from the caller, and what the server owns may not be given', async () => {
    const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
    const time = '2020-01-01T00:00:00.000Z';
    const owned = {
      from: carol.email,
      id: '01890000-0000-7000-8000-000000000000',
      seq: 1,
      state: 'sent',
      createdAt: time,
      editedAt: time,
      deletedAt: time,
      readAt: time,
    };

    for (const [field, value] of Object.entries(owned)) {
      assertInvalid(await alice.post(MESSAGES, draft(bob, { [field]: value })), field);
    }

    assert.deepEqual(await bob.history(alice), []);
  });

  test('may carry unknown fields, which are ignored', async () => {
    const [alice, bob] = await server.people('alice', 'bob');

    const sent = await alice.send(bob, 'hi', { colour: 'red' });

    assertMessage(sent);
  });

  test('may have 16 KiB of text and not a byte more', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const full = '€'.repeat(5461) + 'a';
    assert.equal(Buffer.byteLength(full), 16 * 1024);

    const sent = await alice.send(bob, full);
    const tooLong = await alice.post(MESSAGES, draft(bob, { content: `${full}a` }));

    assert.equal(sent.content, full);
    assertInvalid(tooLong, 'content');
  });

  test('may be as long as the org sets', async () => {
    const [alice, bob] = await (await server.org({ maxContentBytes: 8 })).people('alice', 'bob');

    const tooLong = await alice.post(MESSAGES, draft(bob, { content: '123456789' }));

    await alice.send(bob, '12345678');
    assertInvalid(tooLong, 'content');
  });

  test('may be empty only with an attachment', async () => {
    const [alice, bob] = await server.people('alice', 'bob');

    const empty = await alice.post(MESSAGES, draft(bob, { content: '' }));
    const withFile = await alice.send(bob, '', { attachments: [file()] });

    assertInvalid(empty, 'content');
    assert.deepEqual(withFile.attachments, [file()]);
  });

  test('holds no NUL', async () => {
    const [alice, bob] = await server.people('alice', 'bob');

    const answer = await alice.post(MESSAGES, draft(bob, { content: 'a\u0000b' }));

    assertInvalid(answer, 'content');
  });

  test('has a content type that is built in', async () => {
    const [alice, bob] = await server.people('alice', 'bob');

    for (const contentType of ['image', 'file', 'audio']) {
      const attachments = [file()];
      await alice.send(bob, '', { contentType, attachments });
      assertInvalid(await alice.post(MESSAGES, draft(bob, { contentType })), 'attachments');
    }
    for (const contentType of ['video', 'TEXT', '', 'acme.poll', 'text/plain']) {
      assertInvalid(await alice.post(MESSAGES, draft(bob, { contentType })), 'contentType');
    }
  });

  test('has attachments that are files elsewhere', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const post = (attachments) => alice.post(MESSAGES, draft(bob, { attachments }));

    const ten = await post(Array.from({ length: 10 }, () => file()));
    const kinds = await post([file({ type: 'image' }), file({ name: 'x'.repeat(255), size: 0 })]);

    assert.equal(ten.status, 201, ten.text);
    assert.equal(kinds.status, 201, kinds.text);
    assertInvalid(await post(Array.from({ length: 11 }, () => file())), 'attachments');
    for (const url of [
      'http://cdn.example/a.png',
      'javascript:alert(1)',
      'file:///etc/passwd',
      'data:text/html,x',
      'https://user:secret@cdn.example/a',
      'https://user@cdn.example/a',
      '//cdn.example/a',
      'a.png',
      '',
    ]) {
      assertInvalid(await post([file({ url })]), 'attachments');
    }
    assertInvalid(await post([file({ name: 'x'.repeat(256) })]), 'attachments');
    assertInvalid(await post([file({ type: 'not a type' })]), 'attachments');
    for (const size of [-1, 1.5, '10']) assertRefused(await post([file({ size })]));
  });

  test('may have http attachments where the org allows them', async () => {
    const [alice, bob] = await (await server.org({ httpAttachments: true })).people('alice', 'bob');
    const attachments = [file({ url: 'http://intranet.example/a.png' })];

    const sent = await alice.send(bob, 'see', { attachments });

    assert.deepEqual(sent.attachments, attachments);
    const script = [file({ url: 'javascript:alert(1)' })];
    assertInvalid(await alice.post(MESSAGES, draft(bob, { attachments: script })), 'attachments');
  });

  test('has metadata of at most 32 texts and 4 KiB', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const post = (metadata) => alice.post(MESSAGES, draft(bob, { metadata }));
    const keys = (count) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${n}`, 'v']));

    const full = await post(keys(32));

    assert.deepEqual(full.body.metadata, keys(32));
    assertInvalid(await post(keys(33)), 'metadata');
    assertInvalid(await post({ long: 'x'.repeat(4200) }), 'metadata');
    for (const metadata of [{ number: 1 }, { nested: {} }, ['a'], 'text', { none: null }]) {
      assertRefused(await post(metadata));
    }
  });

  test('goes to an e-mail other than the callers own', async () => {
    const [alice] = await server.people('alice', 'bob');
    const post = (to) => alice.post(MESSAGES, { ...draft(alice), to });

    for (const to of [alice.email, 'ALICE@example.com', '', 'bob', 'Bob <bob@example.com>', 'org:acme']) {
      assertInvalid(await post(to), 'to');
    }
    for (const to of [undefined, null, 5, ['bob@example.com'], { email: 'bob@example.com' }]) {
      assertRefused(await post(to));
    }
  });

  test('waits for a recipient who has never signed in', async () => {
    const [alice] = await server.people('alice', 'bob');

    const sent = await alice.send('nobody@example.com', 'are you there?');

    assert.equal(sent.to, 'nobody@example.com');
    const [{ peerInfo }] = await alice.threads();
    assert.deepEqual(
      { ...peerInfo, id: null },
      { id: null, email: 'nobody@example.com', name: null, picture: null, online: false, lastSeen: null },
    );
  });

  test('goes to known people only where the org says so', async () => {
    const [alice, bob] = await (await server.org({ recipients: 'known' })).people('alice', 'bob');

    const toStranger = await alice.post(MESSAGES, { ...draft(bob), to: 'nobody@example.com' });

    assertProblem(toStranger, 404, 'not_found');
    await alice.send(bob, 'hi');
  });
});

describe('An answer to a message', () => {
  test('names a message of the same thread', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const question = await alice.send(bob, 'when?');

    const answer = await bob.send(alice, 'now', { replyTo: question.id });

    assert.equal(answer.replyTo, question.id);
    assert.equal((await alice.message(answer.id)).replyTo, question.id);
  });

  test('names nothing else', async () => {
    const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
    const elsewhere = await alice.send(carol, 'another thread');
    const foreign = await bob.send(carol, 'not for alice');

    for (const replyTo of [elsewhere.id, foreign.id, randomUUID(), 'optional-message-id', '']) {
      assertInvalid(await alice.post(MESSAGES, draft(bob, { replyTo })), 'replyTo');
    }
  });

  test('names nothing that its sender has hidden, and shows it as null to whom it is hidden', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const question = await alice.send(bob, 'when?');
    const answer = await alice.send(bob, 'I meant today', { replyTo: question.id });

    await bob.del(`${MESSAGES}/${question.id}?scope=me`);

    assert.equal((await bob.message(answer.id)).replyTo, null);
    assert.equal((await alice.message(answer.id)).replyTo, question.id);
    const reply = draft(alice, { replyTo: question.id });
    assertInvalid(await bob.post(MESSAGES, reply), 'replyTo');
  });
});

describe('A repeated send', () => {
  test('answers the first message', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const request = draft(bob, { clientId: 'once' });

    const first = await alice.post(MESSAGES, request);
    const again = await alice.post(MESSAGES, request);

    assert.deepEqual([first.status, again.status], [201, 200]);
    assert.deepEqual(again.body, first.body);
    assert.equal((await bob.history(alice)).length, 1);
  });

  test('is known by what was parsed, not by its bytes', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const type = { 'content-type': 'application/json' };
    const one = `{"to":"${bob.email}","content":"x","contentType":"text","clientId":"k"}`;
    const same = `{ "clientId": "k", "contentType":"text", "content":"\\u0078", "to":"${bob.email}" }`;

    const first = await alice.post(MESSAGES, one, type);
    const again = await alice.post(MESSAGES, same, type);

    assert.deepEqual([first.status, again.status], [201, 200]);
    assert.equal(again.body.id, first.body.id);
  });

  test('may carry its key as a header', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const key = (value) => ({ 'idempotency-key': value });

    const first = await alice.post(MESSAGES, draft(bob), key('h1'));
    const byHeader = await alice.post(MESSAGES, draft(bob), key('h1'));
    const byField = await alice.post(MESSAGES, draft(bob, { clientId: 'h1' }));
    const both = await alice.post(MESSAGES, draft(bob, { clientId: 'h1' }), key('h1'));
    const differing = await alice.post(MESSAGES, draft(bob, { clientId: 'h1' }), key('h2'));

    assert.deepEqual([first.status, byHeader.status, byField.status, both.status], [201, 200, 200, 200]);
    for (const repeat of [byHeader, byField, both]) assert.equal(repeat.body.id, first.body.id);
    assertProblem(differing, 422, 'invalid');
  });

  test('with another request under the same key is a conflict', async () => {
    const [alice, bob, carol] = await server.people('alice', 'bob', 'carol');
    await alice.post(MESSAGES, draft(bob, { clientId: 'k' }));

    for (const other of [
      draft(bob, { clientId: 'k', content: 'other' }),
      draft(carol, { clientId: 'k' }),
      draft(bob, { clientId: 'k', metadata: { a: 'b' } }),
      draft(bob, { clientId: 'k', attachments: [file()] }),
    ]) {
      assertProblem(await alice.post(MESSAGES, other), 409, 'conflict');
    }

    assert.equal((await alice.history(bob)).length, 1);
  });

  test('has a key of its own sender and org', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const [otherAlice, otherBob] = await server.people('alice', 'bob');
    const request = (to) => draft(to, { clientId: 'shared' });

    const answers = [
      await alice.post(MESSAGES, request(bob)),
      await bob.post(MESSAGES, request(alice)),
      await otherAlice.post(MESSAGES, request(otherBob)),
    ];

    assert.deepEqual(
      answers.map((answer) => answer.status),
      [201, 201, 201],
    );
    assert.equal(new Set(answers.map((answer) => answer.body.id)).size, 3);
  });

  test('fifty times at once stores and announces one message', async () => {
    const [alice, bob] = await server.people('alice', 'bob');
    const socket = await bob.connect();
    const request = draft(bob, { clientId: 'burst' });

    const answers = await Promise.all(Array.from({ length: 50 }, () => alice.post(MESSAGES, request)));
    await alice.send(bob, 'the last');
    await socket.next('newMessage', (message) => message.content === 'the last');

    assert.deepEqual(answers.map((answer) => answer.status).sort(), [...Array(49).fill(200), 201]);
    assert.equal(new Set(answers.map((answer) => answer.body.id)).size, 1);
    assert.equal((await bob.history(alice)).length, 2);
    assert.equal(socket.all('newMessage').length, 2);
  });

  test('that was refused at first binds no key', async () => {
    const [alice, bob] = await server.people('alice', 'bob');

    const refused = await alice.post(MESSAGES, draft(bob, { content: '', clientId: 'k' }));
    const mended = await alice.post(MESSAGES, draft(bob, { clientId: 'k' }));

    assertInvalid(refused, 'content');
    assert.equal(mended.status, 201, mended.text);
  });
});
