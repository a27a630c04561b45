import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { assertAckError, assertProblem, ids } from './harness/assertions.mjs';
import { processesIn, startPostgres } from './harness/postgres.mjs';
import { RawSocket } from './harness/raw_socket.mjs';
import { startServer } from './harness/server.mjs';
import { until, within } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';

const server = await startServer();
after(() => server.stop());

const seconds = () => Math.floor(Date.now() / 1000);
const all = (count, make) => Promise.all(Array.from({ length: count }, (_, index) => make(index)));

describe('What happens at once', () => {
  test('no socket outlives a revocation that comes while it connects', async () => {
    const org = await server.org();
    const users = Array.from({ length: 30 }, (_, n) => org.user(`u${n}@example.com`));

    const connecting = users.map((user) => user.connect().catch(() => null));
    const revoked = await org.operator('POST', '/users/revoke', {});
    const sockets = (await Promise.all(connecting)).filter(Boolean);

    assert.equal(revoked.status, 204, revoked.text);
    await until('every socket has ended', () => sockets.every((socket) => !socket.connected));
  });

  test('edits of different fields both last', async () => {
    const [alice, bob] = await server.people('alice', 'bob');

    for (let round = 0; round < 10; round++) {
      const { id } = await alice.send(bob, 'before');
      const edits = [{ content: 'after' }, { metadata: { mood: 'good' } }];
      const answers = await Promise.all(edits.map((edit) => alice.patch(`${MESSAGES}/${id}`, edit)));

      for (const answer of answers) assert.equal(answer.status, 200, answer.text);
      const { content, metadata } = await bob.message(id);
      assert.deepEqual({ content, metadata }, { content: 'after', metadata: { mood: 'good' } });
    }
  });

  test('deletions leave the newest message that is left in the preview', async () => {
    const [alice, bob] = await server.people('alice', 'bob');

    for (let round = 0; round < 5; round++) {
      const kept = await alice.send(bob, `kept ${round}`);
      const gone = await all(5, (n) => alice.send(bob, `gone ${n}`));
      await Promise.all(gone.map(({ id }) => alice.del(`${MESSAGES}/${id}`)));

      for (const user of [alice, bob]) assert.equal((await user.threads())[0].lastMessage.id, kept.id);
    }
  });

  test('a new person is charged for once, however many messages are on their way', async () => {
    const org = await server.org({ limits: { newPeersPerDay: 1 } });
    const [alice] = await org.people('alice');
    const socket = await alice.connect();

    const first = await all(20, (n) => socket.ask('sendMessage', { to: 'new@example.com', content: `${n}` }));
    const second = await socket.ask('sendMessage', { to: 'newer@example.com', content: 'hello' });

    assert.ok(first.every((ack) => ack.ok), JSON.stringify(first.find((ack) => !ack.ok)));
    assertAckError(second, 429, 'rate_limited');
  });
});

describe('What time does', () => {
  test('a token of many years does not keep another from ending its socket', async () => {
    const org = await server.org();
    const lasting = await org.user('years@example.com', { exp: seconds() + 5 * 365 * 86_400 }).connect();
    const brief = await org.user('brief@example.com', { exp: seconds() + 3 }).connect();

    await brief.ended();

    assert.ok(lasting.connected);
    assert.ok(brief.all('tokenExpiring').length === 1);
  });

  test('a key’s end is the end of its tokens, seen before or not', async () => {
    const org = await server.org();
    const secret = randomBytes(32).toString('hex');
    const notAfter = new Date(Date.now() + 3000).toISOString();
    await org.addKey({ secret, algorithm: 'HS256', notAfter });
    const alice = org.user('alice@example.com', {}, { key: secret });

    await alice.signIn();

    const count = () => alice.get(`${MESSAGES}/unread-count`);
    const answer = await until('the key has ended', async () => {
      const answer = await count();
      return answer.status !== 200 && answer;
    });
    assertProblem(answer, 401, 'unauthorized');
    assert.ok(Date.now() >= Date.parse(notAfter));
  });

  test('an older token does not take a new e-mail back', async () => {
    const org = await server.org();
    const older = org.user('old@example.com', { sub: 'alice', iat: seconds() - 60 });
    const newer = org.user('new@example.com', { sub: 'alice', iat: seconds() - 30 });
    const [bob] = await org.people('bob');

    await older.signIn();
    await newer.signIn();
    const sent = await older.send(bob, 'who am I?');
    const toHerself = await older.post(MESSAGES, { to: 'new@example.com', content: 'me' });

    assert.equal(sent.from, 'new@example.com');
    assertProblem(toHerself, 422, 'invalid');
  });
});

test('what its sender has hidden can still be deleted for everyone', async () => {
  const [alice, bob] = await server.people('alice', 'bob');
  const { id } = await alice.send(bob, 'oops');

  await alice.del(`${MESSAGES}/${id}?scope=me`);
  const answer = await alice.del(`${MESSAGES}/${id}?scope=everyone`);

  assert.equal(answer.status, 204, answer.text);
  assert.notEqual((await bob.message(id)).deletedAt, null);
});

test('a sync of large messages comes in pages, with nothing missing', async () => {
  const [alice, bob] = await server.people('alice', 'bob');
  const { cursor } = await bob.sync(null);
  const sent = await all(40, (n) => alice.send(bob, `${n} `.padEnd(16_000, 'x')));

  const received = [];
  let pages = 0;
  for (let since = cursor, more = true; more; pages++) {
    const page = await bob.sync(since);
    received.push(...page.changes.map((change) => change.message));
    ({ cursor: since, more } = page);
  }

  assert.ok(pages > 1, `${pages} page`);
  assert.deepEqual(ids(received).sort(), ids(sent).sort());
});

test('a client that does not read does not hold up the server’s end', async (t) => {
  const other = await startServer();
  t.after(() => other.stop());
  const [alice, bob] = await other.people('alice', 'bob');
  for (let n = 0; n < 40; n++) await alice.send(bob, 'x'.repeat(16_000));
  const { cursor } = await bob.sync(null);
  const stuck = await RawSocket.open(other.url);
  t.after(() => stuck.close());
  await stuck.join(bob);
  stuck.socket.pause();
  for (let n = 0; n < 20; n++) stuck.send(`42/community-chat,${n}["sync",{"since":"${cursor}"}]`);

  const asked = Date.now();
  await other.terminate();

  assert.ok(Date.now() - asked < 10_000, `${Date.now() - asked} ms`);
});

test('a Postgres that hangs leaves nobody without an answer', async (t) => {
  const postgres = await startPostgres();
  t.after(() => postgres.remove());
  const config = join(server.dataDir, 'impatient.toml');
  writeFileSync(config, '[http]\npatience_ms = 2000\n');
  const other = await startServer({ env: { DATABASE_URL: postgres.url }, args: ['--config', config] });
  t.after(() => other.stop());
  const [alice, bob] = await other.people('alice', 'bob');
  const socket = await alice.connect();
  await alice.send(bob, 'before');

  const stopped = processesIn(postgres.data).map(Number);
  for (const pid of stopped) process.kill(pid, 'SIGSTOP');
  t.after(() => stopped.forEach((pid) => tryContinue(pid)));
  const [sent, read, ack, synced] = await Promise.all([
    alice.post(MESSAGES, { to: bob.email, content: 'during' }),
    alice.get(`${MESSAGES}/threads`),
    socket.ask('sendMessage', { to: bob.email, content: 'during' }),
    socket.ask('sync', { since: null }),
  ]);
  for (const pid of stopped) process.kill(pid, 'SIGCONT');

  for (const answer of [sent, read]) assertProblem(answer, 503, 'unavailable');
  for (const answer of [ack, synced]) assertAckError(answer, 503, 'unavailable');
  await until('the server serves again', async () => (await alice.get(`${MESSAGES}/threads`)).status === 200, 30_000);
});

test('a body that does not come ends its request', async (t) => {
  const config = join(server.dataDir, 'brisk.toml');
  writeFileSync(config, '[http]\nbody_ms = 500\n');
  const other = await startServer({ args: ['--config', config] });
  t.after(() => other.stop());
  const opened = await other.request('/socket.io/?EIO=4&transport=polling');
  const { sid } = JSON.parse(opened.text.slice(1));
  const { hostname, port } = new URL(other.url);

  for (const path of [`/socket.io/?EIO=4&transport=polling&sid=${sid}`, MESSAGES]) {
    const line = connect({ host: hostname, port: Number(port) });
    t.after(() => line.destroy());
    line.write(`POST ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100\r\n\r\n4`);
    const ended = new Promise((done) => line.once('close', done).once('error', done).resume());

    await within(8000, `the end of ${path}`, ended);
  }
});

function tryContinue(pid) {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // It has ended meanwhile.
  }
}
