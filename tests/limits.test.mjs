import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';

import { assertAckError, assertProblem } from './harness/assertions.mjs';
import { sendRaw } from './harness/http.mjs';
import { startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';

const server = await startServer();
after(() => server.stop());

const KIB = 1024;
const text = (to, content = 'x') => ({ to: to.email, content, contentType: 'text' });
const pair = async (limits) => (await server.org({ limits })).people('alice', 'bob');
const many = (count, make) => Promise.all(Array.from({ length: count }, (_, n) => make(n)));

function assertRateLimited(answer, atMostSeconds = 60) {
  assertProblem(answer, 429, 'rate_limited');
  const seconds = Number(answer.headers.get('retry-after'));
  assert.ok(Number.isInteger(seconds) && seconds >= 1 && seconds <= atMostSeconds, `Retry-After ${seconds}`);
}

/** How many of a bucket's takers may have passed since `started`. */
const allowance = (burst, perSecond, started) =>
  burst + Math.ceil(((Date.now() - started) / 1000) * perSecond);

const limited = (answers) => answers.filter((answer) => answer.status === 429);
const limitedAcks = (acks) => acks.filter((ack) => ack.error?.code === 'rate_limited');

describe('Sends', () => {
  test('over the burst are 429, store nothing, and pass again later', async () => {
    const [alice, bob] = await pair({ sendBurst: 3, sendPerSecond: 1 });
    const started = Date.now();

    const answers = await many(20, () => alice.post(MESSAGES, text(bob)));
    const passed = answers.filter((answer) => answer.status === 201).length;

    assert.ok(passed >= 3 && passed <= allowance(3, 1, started), `${passed} passed`);
    assert.equal(limited(answers).length, 20 - passed);
    for (const answer of limited(answers)) assertRateLimited(answer, 20);
    assert.equal((await bob.history(alice)).length, passed);
    await bob.send(alice, 'others may');
    await until('a send passes again', async () => (await alice.post(MESSAGES, text(bob))).status === 201);
  });

  test('of both doors and edits are counted together', async () => {
    const [alice, bob] = await pair({ sendPerMinute: 3 });
    const socket = await alice.connect();

    const sent = await alice.send(bob, 'one');
    const ack = await socket.ask('sendMessage', text(bob, 'two'));
    const edited = await alice.patch(`${MESSAGES}/${sent.id}`, { content: 'three' });

    assert.equal(ack.ok, true);
    assert.equal(edited.status, 200);
    assertRateLimited(await alice.post(MESSAGES, text(bob)));
    assertRateLimited(await alice.patch(`${MESSAGES}/${sent.id}`, { content: 'four' }));
    assertAckError(await socket.ask('sendMessage', text(bob)), 429, 'rate_limited');
    socket.tell('sendMessage', text(bob));
    assert.equal((await socket.next('exception')).error.code, 'rate_limited');
  });

  test('to new people are counted by the day', async () => {
    const [alice, bob] = await pair({ newPeersPerDay: 2 });
    await alice.send(bob, 'first');
    await alice.send('second@example.com', 'second');

    const third = await alice.post(MESSAGES, { ...text(bob), to: 'third@example.com' });

    assertProblem(third, 429, 'rate_limited');
    assert.ok(Number(third.headers.get('retry-after')) >= 1);
    await alice.send(bob, 'known people go on');
  });

  test('that wait on one socket are counted', async () => {
    const [alice, bob] = await pair({ pendingSendsPerSocket: 1 });
    const socket = await alice.connect();

    const acks = await many(50, () => socket.ask('sendMessage', text(bob, 'x'.repeat(8 * KIB))));

    const passed = acks.filter((ack) => ack.ok).length;
    assert.ok(passed >= 1);
    assert.ok(passed < 50, 'no send was refused');
    assert.equal(limitedAcks(acks).length, 50 - passed);
    assert.equal((await bob.history(alice)).length, passed);
    assert.equal((await socket.ask('sendMessage', text(bob))).ok, true);
  });
});

describe('Reads', () => {
  test('over the burst are 429', async () => {
    const [alice] = await pair({ readBurst: 5, readPerSecond: 1 });

    const answers = await many(30, () => alice.get(`${MESSAGES}/threads`));

    assert.ok(limited(answers).length > 0);
    for (const answer of limited(answers)) assertRateLimited(answer, 30);
    await until('a read passes again', async () => (await alice.get(`${MESSAGES}/threads`)).status === 200);
  });
});

describe('Events of a socket', () => {
  test('over the burst are refused, and another socket goes on', async () => {
    const [alice, bob] = await pair({ eventBurst: 5, eventPerSecond: 1 });
    const [hers, his] = [await alice.connect(), await bob.connect()];
    const started = Date.now();

    const answers = await many(30, () => hers.ask('getOnlineUsers', null));

    const passed = answers.filter(Array.isArray).length;
    assert.ok(passed >= 5 && passed <= allowance(5, 1, started), `${passed} passed`);
    for (const answer of answers.filter((entry) => !Array.isArray(entry))) {
      assertAckError(answer, 429, 'rate_limited');
    }
    assert.equal((await his.ask('getOnlineUsers', null)).length, 2);
    assert.equal((await hers.ask('sendMessage', text(bob))).ok, true);
  });
});

describe('Connects', () => {
  test('over the burst are refused', async () => {
    const [alice, bob] = await pair({ connectBurst: 2, connectPerMinute: 1 });
    await alice.connect();
    await alice.connect();

    assert.equal(await alice.connectRefusal(), 'rate_limited');
    await bob.connect();
  });

  test('beyond the sockets of a user are refused until one closes', async () => {
    const [alice] = await pair({ socketsPerUser: 2 });
    const first = await alice.connect();
    await alice.connect();

    assert.equal(await alice.connectRefusal(), 'rate_limited');
    first.close();

    await until('there is room again', () => alice.connect().catch(() => false));
  });
});

describe('What is too large', () => {
  test('is 413 as a body, declared or streamed', async () => {
    const [alice, bob] = await pair();
    const body = JSON.stringify(text(bob, 'x'.repeat(256 * KIB)));
    const head = [
      `POST ${MESSAGES} HTTP/1.1`,
      'host: 127.0.0.1',
      'connection: close',
      `orgid: ${alice.org.id}`,
      `authorization: Bearer ${alice.token}`,
      'content-type: application/json',
      'transfer-encoding: chunked',
    ];
    const chunks = body.match(/.{1,16384}/gs).map((part) => `${part.length.toString(16)}\r\n${part}\r\n`);

    const declared = await alice.post(MESSAGES, text(bob, 'x'.repeat(256 * KIB)));
    const streamed = await sendRaw(server.url, `${head.join('\r\n')}\r\n\r\n${chunks.join('')}0\r\n\r\n`);

    assertProblem(declared, 413, 'too_large');
    assert.match(streamed, /^HTTP\/1\.1 413 /);
    assert.deepEqual(await bob.history(alice), []);
  });

  test('is judged by its content where the body still fits', async () => {
    const [alice, bob] = await pair();

    const answer = await alice.post(MESSAGES, text(bob, 'x'.repeat(255 * KIB)));

    assertProblem(answer, 422, 'invalid');
  });

  for (const transport of ['websocket', 'polling']) {
    test(`ends the socket that sends it by ${transport}, and no other`, async () => {
      const [alice, bob] = await pair();
      const by = { transports: [transport] };
      const [hers, hersToo, his] = [await alice.connect(by), await alice.connect(by), await bob.connect(by)];

      hers.tell('sendMessage', text(bob, 'x'.repeat(257 * KIB)));
      await hers.ended();
      await hersToo.ask('sendMessage', text(bob, 'still here'));

      assert.equal((await his.next('newMessage')).content, 'still here');
      assert.deepEqual(
        (await bob.history(alice)).map((message) => message.content),
        ['still here'],
      );
    });
  }
});

describe('A limit of 0', () => {
  test('is none', async () => {
    const [alice, bob] = await pair();

    const answers = await many(250, () => alice.post(MESSAGES, text(bob)));

    assert.deepEqual(limited(answers), []);
  });
});
