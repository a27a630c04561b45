import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { assertAckError, assertProblem } from './harness/assertions.mjs';
import { processesIn, startPostgres } from './harness/postgres.mjs';
import { runBinary, startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';

/** A server for one test: each of these ends it. */
async function serverFor(t, options) {
  const server = await startServer(options);
  t.after(() => server.stop());
  return server;
}

const text = (to, n) => ({
  to: to.email,
  content: `message ${n}`,
  contentType: 'text',
  clientId: randomUUID(),
});

/**
 * Four pairs that send as fast as they are answered, two by REST and two by socket, until
 * `stop` or until the server is gone. `acked` holds what was acknowledged, `open` what
 * was sent without an answer.
 */
class Load {
  acked = [];
  open = new Map();
  refused = [];
  sockets = [];
  #stopped = false;
  #running = [];

  static async start(org) {
    const load = new Load();
    for (let n = 0; n < 4; n++) {
      const [sender, recipient] = await org.people(`from${n}`, `to${n}`);
      const send = n % 2 ? load.#byRest(sender) : await load.#bySocket(sender);
      load.#running.push(load.#sendOn(sender, recipient, send));
    }
    return load;
  }

  #byRest = (sender) => async (request) => {
    const { status, body } = await sender.post(MESSAGES, request);
    return status === 201 ? { message: body } : { error: body };
  };

  async #bySocket(sender) {
    const socket = await sender.connect();
    this.sockets.push(socket);
    return (request) => socket.ask('sendMessage', request);
  }

  async #sendOn(sender, recipient, send) {
    for (let n = 0; !this.#stopped; n++) {
      const request = text(recipient, n);
      this.open.set(request.clientId, { sender, recipient, request });
      let answer;
      try {
        answer = await send(request);
      } catch {
        return;
      }
      this.open.delete(request.clientId);
      if (answer.message) {
        this.acked.push({ sender, recipient, message: answer.message });
      } else {
        this.refused.push(answer.error);
        await pause(50);
      }
    }
  }

  /** Waits until so many more sends were acknowledged. */
  async progress(count) {
    const goal = this.acked.length + count;
    await until(`${count} more sends are acknowledged`, () => this.acked.length >= goal, 60_000);
  }

  async stop() {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  /** Every acknowledged message is in the history of its recipient exactly once, and nothing twice. */
  async assertKept() {
    const recipients = new Map(this.acked.map(({ sender, recipient }) => [recipient, sender]));
    for (const [recipient, sender] of recipients) {
      const history = await recipient.history(sender);
      const ids = new Set(history.map((message) => message.id));
      const clientIds = new Set((await sender.history(recipient)).map((message) => message.clientId));
      assert.equal(ids.size, history.length);
      assert.equal(clientIds.size, history.length);
      const acked = this.acked.filter((entry) => entry.recipient === recipient);
      const lost = acked.filter(({ message }) => !ids.has(message.id));
      assert.deepEqual(lost, [], `${lost.length} of ${acked.length} acknowledged messages are lost`);
    }
  }
}

describe('A server that is killed under load', () => {
  test('has kept every acknowledged message once, and takes retries of the rest', async (t) => {
    const server = await serverFor(t);
    const load = await Load.start(await server.org());
    await load.progress(200);

    await server.kill9();
    await load.stop();
    await server.restart();

    await load.assertKept();
    assert.ok(load.open.size > 0, 'nothing was in flight');
    for (const { sender, recipient, request } of load.open.values()) {
      const retried = await sender.post(MESSAGES, request);
      assert.ok([200, 201].includes(retried.status), retried.text);
      const history = await sender.history(recipient);
      assert.equal(history.filter((message) => message.clientId === request.clientId).length, 1);
    }
  });

  test('leaves no Postgres behind', async (t) => {
    const server = await serverFor(t);
    const directory = server.postgresDir;
    assert.ok(processesIn(directory).length > 0);

    await server.kill9();

    await until('its Postgres is gone', () => processesIn(directory).length === 0);
  });
});

describe('A server that is asked to end under load', () => {
  test('drains: it keeps what it acknowledged, ends its sockets and exits in time', async (t) => {
    const server = await serverFor(t);
    const load = await Load.start(await server.org());
    const directory = server.postgresDir;
    await load.progress(100);

    const asked = Date.now();
    const code = await server.terminate();
    const took = Date.now() - asked;
    await load.stop();

    assert.equal(code, 0, server.output.slice(-2000));
    assert.ok(took < 10_000, `${took} ms`);
    for (const socket of load.sockets) await socket.ended();
    for (const error of load.refused) assert.equal(error.code, 'unavailable', JSON.stringify(error));
    assert.deepEqual(processesIn(directory), []);
    await server.restart();
    await load.assertKept();
  });
});

describe('A server that has a Postgres of its own', () => {
  test('starts it again when it dies', async (t) => {
    const server = await serverFor(t);
    const load = await Load.start(await server.org());
    await load.progress(50);

    const killed = server.postgresPid;

    process.kill(killed, 'SIGKILL');

    await until('another Postgres runs', () => ![null, killed].includes(server.postgresPid), 60_000);
    await load.progress(50);
    await load.stop();
    for (const error of load.refused) assert.equal(error.code, 'unavailable', JSON.stringify(error));
    await load.assertKept();
  });

  test('is the only one on its data directory', async (t) => {
    const server = await serverFor(t);
    const second = await runBinary(['serve', '--listen', '127.0.0.1:0', '--data-dir', server.dataDir], {
      DUOLOGUE_OPERATOR_TOKEN: server.operatorToken,
    });

    assert.equal(typeof second.code, 'number', 'the second server had to be killed');
    assert.notEqual(second.code, 0);
    assert.match(second.stderr, /in use|already/i);
    assert.ok(second.stderr.includes(server.dataDir), second.stderr);
    assert.equal((await server.request('/health')).status, 200);
  });
});

describe('A Postgres that goes away', () => {
  test('means 503 and no false success, until it is back', async (t) => {
    const postgres = await startPostgres();
    t.after(() => postgres.remove());
    const server = await serverFor(t, { env: { DATABASE_URL: postgres.url } });
    const org = await server.org();
    const [alice, bob] = await org.people('alice', 'bob');
    const hers = await alice.connect();
    const load = await Load.start(org);
    await load.progress(50);

    await postgres.crash();
    const ackedBefore = load.acked.length;
    const away = pause(5000, true);
    for (let over = false; !over; over = await Promise.race([away, pause(200)])) {
      const [sent, read, health] = await Promise.all([
        alice.post(MESSAGES, text(bob, 0)),
        alice.get(`${MESSAGES}/threads`),
        server.request('/health'),
      ]);
      for (const answer of [sent, read]) {
        assertProblem(answer, 503, 'unavailable');
        assert.ok(Number(answer.headers.get('retry-after')) >= 1);
      }
      assert.equal(health.status, 503);
      assertAckError(await hers.ask('sendMessage', text(bob, 0)), 503, 'unavailable');
    }
    // An ack that was on its way when Postgres died is not a false one.
    assert.ok(load.acked.length - ackedBefore <= 4, `${load.acked.length - ackedBefore} sends passed`);
    await postgres.start();
    await load.progress(50);
    await load.stop();

    for (const error of load.refused) assert.equal(error.code, 'unavailable', JSON.stringify(error));
    assert.equal((await server.request('/health')).status, 200);
    assert.equal((await hers.ask('sendMessage', text(bob, 1))).ok, true);
    await load.assertKept();
  });
});
