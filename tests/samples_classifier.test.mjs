// The outside classifier, and one that it asks: an https server of the test's own.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { assertProblem } from './harness/assertions.mjs';
import { draft } from './harness/drafts.mjs';
import { guarded, inRust, linesOf, startPatient, uploaded } from './harness/samples.mjs';
import { makeDataDir } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';
import { bodyOf, moderated } from './harness/word_filter.mjs';

const CLASSIFIER = inRust('classifier');
const KEY = 'a-key-that-nobody-may-see';

const folder = makeDataDir();
const [certificate, key] = ['cert.pem', 'key.pem'].map((name) => join(folder, name));
execFileSync(
  'openssl',
  ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'].concat(
    ['-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
    ['-addext', 'basicConstraints=critical,CA:FALSE', '-out', certificate, '-keyout', key],
  ),
  { stdio: 'ignore' },
);
const settings = `[outgoing]
private_networks = ["127.0.0.1/32", "::1/128"]
extra_roots = "${certificate}"
connect_ms = 5000
`;

/** Answers by the word that the text begins with, and keeps what it was asked. */
const asked = [];
const scores = { fine: 0.1, odd: 0.6, bad: 0.9 };
const classifier = createServer(
  { cert: readFileSync(certificate), key: readFileSync(key) },
  async (request, response) => {
    let body = '';
    for await (const part of request) body += part;
    const { text } = JSON.parse(body);
    asked.push({ text, headers: request.headers, method: request.method });
    const word = text.split(' ')[0];
    if (word === 'silent') return;
    const answers = { broken: '{', wild: '{"score": 7}', failing: '{"score": 0}' };
    response.writeHead(word === 'failing' ? 503 : 200, { 'content-type': 'application/json' });
    response.end(answers[word] ?? JSON.stringify({ score: scores[word], label: 'Spam' }));
  },
);
await new Promise((done) => classifier.listen(0, 'localhost', done));
const host = `localhost:${classifier.address().port}`;

const server = await startPatient(settings);
after(async () => {
  classifier.closeAllConnections();
  classifier.close();
  await server.stop();
  rmSync(folder, { recursive: true });
});

const TERMS = {
  grants: { http: { hosts: [host] }, secrets: {} },
  secrets: { classifier: { value: KEY, hosts: [host] } },
};
const CONFIG = { url: `https://${host}/classify`, 'timeout-ms': '8000' };
const classifying = (config, terms = TERMS) =>
  guarded(server, CLASSIFIER, { ...CONFIG, ...config }, terms);

const stateOf = async (alice, bob, content) => (await alice.send(bob, content)).state;

describe('The outside classifier', () => {
  test('is asked by its key, and its score decides', async () => {
    const { alice, bob, admin } = await classifying({});
    asked.length = 0;

    const fine = await alice.send(bob, 'fine "words"', { metadata: { note: 'more' } });
    const odd = await alice.send(bob, 'odd words');
    const bad = await alice.send(bob, 'bad words');

    assert.deepEqual([fine, odd, bad].map(({ state }) => state), ['sent', 'sent', 'held']);
    assert.deepEqual(asked.map(({ text }) => text), ['fine "words"\nmore', 'odd words', 'bad words']);
    assert.equal(asked[0].headers.authorization, `Bearer ${KEY}`);
    assert.equal(asked[0].method, 'POST');
    const flagged = await bodyOf(admin.get('/admin/flagged'));
    assert.deepEqual(
      flagged.map(({ messageId, labels }) => [messageId, labels[0].name, labels[0].severity]),
      [
        [bad.id, 'spam', 'high'],
        [odd.id, 'spam', 'medium'],
      ],
    );
    assert.ok(Math.abs(flagged[1].labels[0].score - 0.6) < 0.001);
  });

  test('refuses from the score on that its org names, at both doors and for edits', async () => {
    const config = { 'label-at': 'never', 'hold-at': '0.5', 'reject-at': '0.9', message: 'Not so.' };
    const { alice, bob } = await classifying(config);
    const hers = await alice.connect();

    const byRest = await alice.post(MESSAGES, draft(bob, { content: 'bad words' }));
    const ack = await hers.ask('sendMessage', draft(bob, { content: 'bad words' }));
    const odd = await hers.ask('sendMessage', draft(bob, { content: 'odd words' }));
    const { id } = await alice.send(bob, 'fine');
    const edited = await alice.patch(`${MESSAGES}/${id}`, { content: 'bad words' });

    assertProblem(byRest, 422, 'rejected');
    assertProblem(edited, 422, 'rejected');
    assert.deepEqual([byRest.body.reason, byRest.body.userMessage], ['classified', 'Not so.']);
    assert.equal(ack.error.reason, 'classified');
    assert.equal(odd.message.state, 'held');
    assert.deepEqual((await bob.history(alice)).map(({ content }) => content), ['fine']);
  });

  test('holds what it gets no usable answer about', async () => {
    const { alice, bob, admin, plugin } = await classifying({});

    for (const word of ['failing', 'broken', 'wild']) {
      assert.equal(await stateOf(alice, bob, `${word} words`), 'held', word);
    }
    await plugin.configure({ ...CONFIG, 'timeout-ms': '100' });
    assert.equal(await stateOf(alice, bob, 'silent words'), 'held');

    const held = JSON.stringify(await bodyOf(admin.get('/admin/held')));
    for (const doubt of ['the status 503', 'is no JSON', 'no score from 0 to 1', 'none within 100 ms']) {
      assert.ok(held.includes(doubt), `${doubt} in ${held}`);
    }
    const lines = (await linesOf(plugin)).join('\n');
    assert.equal(lines.split('\n').length, 4);
    assert.ok(!lines.includes('words') && !lines.includes(KEY), lines);
    assert.ok(!server.output.includes(KEY));
  });

  test('holds everything where it lacks its host or its secret', async () => {
    const { alice, bob, admin } = await classifying({}, { ...TERMS, secrets: {} });
    const elsewhere = { ...TERMS, grants: { http: { hosts: ['api.example.com'] }, secrets: {} } };
    const other = await classifying({ secret: 'none' }, elsewhere);
    asked.length = 0;

    assert.equal(await stateOf(alice, bob, 'fine'), 'held');
    assert.equal(await stateOf(other.alice, other.bob, 'fine'), 'held');

    assert.deepEqual(asked, []);
    const held = JSON.stringify(await bodyOf(admin.get('/admin/held')));
    assert.ok(held.includes('no secret `classifier` is set'), held);
    assert.ok(JSON.stringify(await bodyOf(other.admin.get('/admin/held'))).includes('may not be asked'));
  });

  test('takes no configuration that it cannot mean', async () => {
    const { admin } = await moderated(server);
    const plugin = await uploaded(admin, CLASSIFIER, TERMS);

    for (const [config, says] of [
      [{}, '`url` is not set'],
      [{ url: 'http://a.example/' }, '`url` must be such as https://'],
      [{ ...CONFIG, 'hold-at': '80' }, '`hold-at` must be from 0 to 1, or never'],
      [{ ...CONFIG, 'hold-at': '0.2' }, 'must rise in this order'],
      [{ ...CONFIG, 'timeout-ms': '1s' }, '`timeout-ms` must be a whole number'],
    ]) {
      await plugin.configure(config);
      const refused = await admin.post(`${plugin.path}/activate`, {});
      assertProblem(refused, 422, 'invalid');
      assert.ok(refused.text.includes(says), refused.text);
    }
  });
});

describe('A secret that was sealed under a former key', () => {
  const keys = join(folder, 'sealing.key');
  const line = (byte) => `${Buffer.alloc(32, byte).toString('base64')}\n`;
  const seal = (...those) => writeFileSync(keys, those.map(line).join(''));

  test('is spent by its plugin, and without that key too once it was sealed anew', async (t) => {
    seal(1);
    const other = await startPatient(`${settings}[secrets]\nkey_file = "${keys}"\n`);
    t.after(() => other.stop());
    const { alice, bob } = await guarded(other, CLASSIFIER, CONFIG, TERMS);
    const isSpent = async () => {
      asked.length = 0;
      assert.equal(await stateOf(alice, bob, 'bad words'), 'held');
      return asked.map(({ headers }) => headers.authorization).includes(`Bearer ${KEY}`);
    };
    assert.equal(await isSpent(), true);

    seal(2, 1);
    await other.restart();
    assert.equal(await isSpent(), true);
    await until('it was sealed anew', () => other.output.includes('secrets were sealed under the current key'));

    seal(2);
    await other.restart();
    assert.equal(await isSpent(), true);

    seal(1);
    await other.restart();
    assert.equal(await isSpent(), false);
    assert.ok(!other.output.includes(KEY));
  });
});
