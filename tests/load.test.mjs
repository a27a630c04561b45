// Plugins that are changed while messages keep coming, whether or not the server keeps up.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { inRust } from './harness/samples.mjs';
import { makeDataDir, startServer } from './harness/server.mjs';
import { until, within } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';
import { bodyOf, Filter, moderated, WORD_FILTER } from './harness/word_filter.mjs';

// Limits of time are far away: a busy machine may fall behind, and must not lose anything then.
const folder = makeDataDir();
writeFileSync(
  join(folder, 'duologue.toml'),
  `[http]
patience_ms = 200000
[writer]
queue = 100000
patience_ms = 200000
[database]
acquire_ms = 100000
statement_ms = 100000
[plugins]
call_ms = 100000
call_cpu_ms = 50000
chain_ms = 200000
wait_ms = 200000
`,
);
const server = await startServer({ args: ['--config', join(folder, 'duologue.toml')] });
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

const PER_SECOND = 500;
/** A second's messages: a machine that is slower than that is not buried under them. */
const MOST_UNDER_WAY = 500;
/** Between two changes. */
const MESSAGES_BETWEEN = 400;
const PATIENCE_MS = 200_000;

const WORDS = 'alpha beta gamma';
const CARD = '4111 1111 1111 1111';
/** What becomes of each message: by the word filter, by the redactor, and by nobody. */
const seen = {
  word: (word) => `${WORDS.replace(word, '*'.repeat(word.length))} ${CARD}`,
  card: `${WORDS} **** **** **** 1111`,
  plain: `${WORDS} ${CARD}`,
};
const masking = (words) => ({ words, mode: 'mask' });

/** People in pairs who send so many messages a second, by both doors, and wait for no answer. */
class Load {
  #isOver = false;
  #underWay = 0;
  #running;
  /** In the order in which they were sent. */
  sent = [];
  /** What is in force, then what comes after each change. */
  phases;

  constructor(pairs, first) {
    this.phases = [first];
    this.#running = this.#run(pairs);
  }

  async #run(pairs) {
    let [due, before] = [0, performance.now()];
    while (!this.#isOver) {
      const now = performance.now();
      due += ((now - before) / 1000) * PER_SECOND;
      before = now;
      for (; due >= 1 && this.#underWay < MOST_UNDER_WAY; due--) {
        this.#send(pairs[this.sent.length % pairs.length]);
      }
      // What there was no room for is not made up for later.
      due = Math.min(due, 1);
      await pause(5);
    }
  }

  #send(pair) {
    const number = this.sent.length;
    const message = { pair, number, began: this.phases.length - 1 };
    this.sent.push(message);
    const draft = { to: pair.to.email, content: `${seen.plain} no. ${number}`, contentType: 'text' };
    this.#underWay++;
    message.answered = this.#ask(pair, draft).then((answer) => {
      this.#underWay--;
      message.stored = answer;
      message.ended = this.phases.length - 1;
    });
    // Awaited when the load is over.
    message.answered.catch(() => {});
  }

  /** By each door in turn, for each pair. */
  async #ask(pair, draft) {
    pair.asked = (pair.asked ?? 0) + 1;
    if (pair.asked % 2) {
      const options = { body: draft, withinMs: PATIENCE_MS };
      const answer = await pair.from.request('POST', MESSAGES, options);
      assert.equal(answer.status, 201, answer.text);
      return answer.body;
    }
    const acked = new Promise((done) => pair.socket.socket.emit('sendMessage', draft, done));
    const answer = await within(PATIENCE_MS, 'an ack', acked);
    assert.equal(answer.ok, true, JSON.stringify(answer));
    return answer.message;
  }

  /** Changes something after so many more messages; from then on, they are to read like that. */
  async change(becomes, deed) {
    const goal = this.sent.length + MESSAGES_BETWEEN;
    await until('more messages were sent', () => this.sent.length >= goal, 60_000);
    // From now on it may decide; whatever is sent after the answer must go by it.
    const since = this.sent.length;
    this.phases.push(becomes);
    await deed();
    for (const message of this.sent.slice(since)) message.began -= 1;
  }

  /** Ends it whatever became of the test: a load that goes on keeps its process for ever. */
  stop() {
    this.#isOver = true;
  }

  async end() {
    const goal = this.sent.length + MESSAGES_BETWEEN;
    await until('the last messages were sent', () => this.sent.length >= goal, 60_000);
    this.stop();
    await this.#running;
    await Promise.all(this.sent.map(({ answered }) => answered));
  }

  /** Each message reads as one thing that was in force made it, and is stored so, once. */
  async check(pairs) {
    for (const { number, began, ended, stored } of this.sent) {
      const able = this.phases.slice(began, ended + 1).map((text) => `${text} no. ${number}`);
      assert.ok(able.includes(stored.content), `${stored.content} is none of ${able}`);
      assert.equal(stored.state, 'sent');
    }
    for (const pair of pairs) {
      const mine = this.sent.filter((message) => message.pair === pair);
      const kept = await pair.to.history(pair.from, '?limit=1000');
      const texts = (messages) => messages.map(({ id, content }) => `${id} ${content}`).sort();
      const wanted = texts(mine.map(({ stored }) => stored)).slice(-1000);
      assert.deepEqual(texts(kept), wanted);
    }
  }
}

async function scene() {
  const { org, admin } = await moderated(server);
  const newcomers = async (load) =>
    Promise.all(
      Array.from({ length: 10 }, async (_, n) => {
        const [from, to] = await org.people(`${load}-from${n}`, `${load}-to${n}`);
        return { from, to, socket: await from.connect() };
      }),
    );
  return { admin, newcomers };
}

test('plugins that are changed, rolled back and removed lose no message and decide none by halves', { timeout: 600_000 }, async (t) => {
  const { admin, newcomers } = await scene();
  const filter = await Filter.install(admin, 'words', masking('alpha'));
  const redactor = (await filter.upload(inRust('redactor'))).body.versions[0].version;
  const roll = () => bodyOf(admin.post(`${filter.path}/rollback`));

  const pairs = await newcomers('first');
  const began = performance.now();
  const load = new Load(pairs, seen.word('alpha'));
  t.after(() => load.stop());
  await load.change(seen.word('beta'), () => filter.configure(masking('beta')));
  await load.change(seen.card, () => filter.activate({ version: redactor }));
  await load.change(seen.card, () => filter.configure(masking('gamma')));
  await load.change(seen.word('gamma'), roll);
  await load.change(seen.card, roll);
  await load.end();
  const seconds = (performance.now() - began) / 1000;
  t.diagnostic(`${load.sent.length} messages in ${seconds.toFixed(1)} s`);

  await load.check(pairs);
  const { live, versions, activeVersion } = await bodyOf(admin.get(filter.path));
  const { calls, verdicts, faults } = live.find(({ hook }) => hook === 'before-send');
  assert.deepEqual([calls, verdicts, faults], [load.sent.length, { modify: load.sent.length }, {}]);
  assert.equal(activeVersion, redactor);

  // What is recorded of a message is one version with one configuration, and what they made of it.
  const words = versions.find(({ version }) => version !== redactor).version;
  const made = {
    [`${words} 2`]: seen.word('alpha'),
    [`${words} 3`]: seen.word('beta'),
    [`${redactor} 3`]: seen.card,
    [`${redactor} 4`]: seen.card,
    [`${words} 4`]: seen.word('gamma'),
  };
  for (const { stored, number } of load.sent.filter(({ number }) => number % 40 === 0)) {
    const { steps } = await bodyOf(admin.get(`/admin/messages/${stored.id}/decision`));
    const [{ version, configRevision }, ...others] = steps;
    assert.deepEqual(others, []);
    assert.equal(stored.content, `${made[`${version} ${configRevision}`]} no. ${number}`);
  }

  const next = await newcomers('second');
  const more = new Load(next, seen.card);
  t.after(() => more.stop());
  await more.change(seen.plain, () => filter.disable());
  await more.change(seen.word('gamma'), () => filter.activate({ version: words }));
  await more.change(seen.plain, () => filter.remove());
  await more.end();

  await more.check(next);
});
