import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { assertProblem } from './harness/assertions.mjs';
import { inRust } from './harness/samples.mjs';
import { runBinary, startServer } from './harness/server.mjs';
import { bodyOf, moderated, versionOf, WORD_FILTER } from './harness/word_filter.mjs';

const server = await startServer();
const folder = mkdtempSync(join(tmpdir(), 'duologue-plugin-'));
after(() => {
  rmSync(folder, { recursive: true });
  return server.stop();
});

const FILTER = join(folder, 'word-filter.wasm');
writeFileSync(FILTER, WORD_FILTER);

const MASK = { words: 'darn', mode: 'mask' };
const REJECT = { words: 'darn', mode: 'reject', message: 'Please mind your words.' };

/** What no two runs have in common. */
function lasting(report) {
  const { dryRun, ...rest } = report;
  return { ...rest, dryRun: dryRun.map(({ hook, verdict }) => ({ hook, verdict })) };
}

describe('`duologue plugin check`', () => {
  test('says what the upload of the same plugin says', async () => {
    const { admin } = await moderated(server);
    const uploaded = await bodyOf(upload(admin, WORD_FILTER));

    const checked = await runBinary(['plugin', 'check', FILTER, '--json']);
    const shown = await runBinary(['plugin', 'check', FILTER]);

    assert.equal(checked.code, 0, checked.stderr);
    assert.deepEqual(lasting(checked.json), lasting(uploaded.versions[0].report));
    assert.match(shown.stdout, /hooks: +before-send/);
    assert.match(shown.stdout, /dry run: +before-send: pass/);
  });

  test('refuses what the upload refuses, in the same words', async () => {
    const { admin } = await moderated(server);
    for (const bytes of [Buffer.from('0061736d01000000', 'hex'), Buffer.from('hello'), Buffer.alloc(0)]) {
      const broken = join(folder, 'broken.wasm');
      writeFileSync(broken, bytes);
      const answer = await upload(admin, bytes);
      assertProblem(answer, 422, 'invalid');

      const checked = await runBinary(['plugin', 'check', broken, '--json']);

      assert.equal(checked.code, 1);
      const { requestId: ours, ...found } = checked.json;
      const { requestId: theirs, ...wanted } = answer.body;
      assert.deepEqual(found, wanted);
      assert.ok(ours && theirs);
      assert.ok(checked.stderr.includes(wanted.detail), checked.stderr);
    }
  });
});

describe('`duologue plugin test`', () => {
  const run = (fixtures, ...options) => runWith(FILTER, fixtures, ...options);
  const runWith = (component, fixtures, ...options) => {
    const beside = mkdtempSync(join(folder, 'fixtures-'));
    mkdirSync(beside, { recursive: true });
    for (const [name, fixture] of Object.entries(fixtures)) {
      writeFileSync(join(beside, `${name}.json`), JSON.stringify(fixture));
    }
    return runBinary(['plugin', 'test', component, '--fixtures', beside, ...options]);
  };
  const draft = { to: 'bob@example.com', content: 'well, darn it' };
  const reject = { hook: 'before-send', config: REJECT, draft, expect: { verdict: 'reject', userMessage: REJECT.message } };

  test('runs every fixture and shows what the plugin made of it', async () => {
    const mask = { config: MASK, draft, expect: { verdict: 'modify', content: 'well, **** it' } };
    const pass = { config: MASK, draft: { content: 'fine' }, expect: { verdict: 'pass', content: 'fine' } };
    const edit = { ...reject, previous: { content: 'before' }, context: { door: 'socket', attempt: 2 } };

    const shown = await run({ edit, mask, pass, reject });
    const { json } = await run({ edit, mask, pass, reject }, '--json');

    assert.equal(shown.code, 0, shown.stderr + shown.stdout);
    assert.deepEqual(
      json.map(({ fixture, met, answer }) => [fixture, met, answer.verdict, answer.changed]),
      [
        ['edit', true, 'reject', []],
        ['mask', true, 'modify', ['content']],
        ['pass', true, 'pass', []],
        ['reject', true, 'reject', []],
      ],
    );
    for (const { answer } of json) assert.ok(answer.micros > 0 && answer.memoryBytes > 0);
    assert.match(shown.stdout, /^ok {3}mask: modify, \d+ µs, \d+ bytes\n {5}changed: content$/m);
  });

  test('tells of a notification to somebody somewhere', async () => {
    const quiet = join(folder, 'quiet-hours.wasm');
    writeFileSync(quiet, inRust('quiet-hours'));
    const half = { context: { nowMs: Date.UTC(2026, 6, 1, 20, 30) } };
    const to = (zoneinfo, metadata = {}) => ({ message: { body: { content: 'hi', metadata } }, recipient: { zoneinfo } });
    const berlin = { ...half, hook: 'on-notify', notification: to('Europe/Berlin') };
    const fixtures = {
      delayed: { ...berlin, expect: { verdict: 'delay', untilMs: Date.UTC(2026, 6, 2, 5) } },
      elsewhere: { ...half, notification: to('America/New_York'), expect: { verdict: 'deliver' } },
      listed: { ...berlin, config: { mode: 'list' }, expect: { verdict: 'deliver', channels: ['list'] } },
      suppressed: { ...berlin, config: { mode: 'suppress' }, expect: { verdict: 'suppress', reason: 'quiet hours' } },
      urgent: { ...half, notification: to('Europe/Berlin', { urgent: 'yes' }), expect: { verdict: 'deliver' } },
      broken: { ...berlin, config: { from: '9 pm' }, expect: { verdict: 'fault', fault: 'declined' } },
    };

    const shown = await runWith(quiet, fixtures);
    const { json } = await runWith(quiet, { wrong: { ...berlin, expect: { verdict: 'deliver', untilMs: 1 } } }, '--json');

    assert.equal(shown.code, 0, shown.stderr + shown.stdout);
    assert.match(shown.stdout, /^ok {3}delayed: delay, \d+ µs, \d+ bytes\n {5}until: 1782968400000 /m);
    assert.match(shown.stdout, /^ok {3}suppressed: suppress \(quiet hours\), /m);
    assert.match(shown.stdout, /^ok {3}listed: deliver.*\n {5}channels: \[list\]$/m);
    assert.equal(json[0].misses.length, 2);
  });

  test('holds a plugin that answers events to as many messages as a server does', async () => {
    const listener = join(import.meta.dirname, '../target/guests/listener.wasm');
    const event = { kind: 'sent', message: { body: { content: 'hi' } } };

    const { json } = await runWith(listener, { many: { event, config: { reply: 'hello', times: '7' } } }, '--json');

    assert.equal(json[0].answer.sent.length, 5);
  });

  test('fails on one that is not met, and says what was found instead', async () => {
    const missed = await run({ wrong: { ...reject, expect: { verdict: 'pass', code: 'other' } } });

    assert.equal(missed.code, 1);
    assert.match(missed.stdout, /MISS wrong: reject/);
    assert.match(missed.stdout, /verdict is "reject", and was to be "pass"/);
    assert.match(missed.stderr, /1 of 1 fixtures are not met/);
  });

  test('names what is wrong with a fixture', async () => {
    for (const [fixture, wanted] of [
      [{ ...reject, hook: 'before-sent' }, /hook must be before-send, validate-content, on-event or on-notify/],
      [{ ...reject, hook: 'validate-content' }, /does not take part in validate-content/],
      [{ ...reject, drafts: 1 }, /unknown field `drafts`/],
      [{ config: MASK }, /draft is missing/],
      [{ ...reject, notification: { message: { body: { content: 'hi' } } } }, /draft goes without/],
      [{ hook: 'before-send', notification: { message: { body: { content: 'hi' } } } }, /notification is not what this hook/],
      [{ notification: { message: { body: { content: 'hi' } } } }, /does not take part in on-notify/],
      [{ ...reject, draft: { content: '' } }, /content may be empty only with an attachment/],
    ]) {
      const ran = await run({ fixture });
      assert.equal(ran.code, 1);
      assert.match(ran.stdout, wanted);
    }
    const none = await run({});
    assert.equal(none.code, 1);
    assert.match(none.stderr, /holds no fixture/);
  });
});

describe('POST /admin/plugins/:name/test', () => {
  const test_ = (user, request, name = 'guard') => user.post(`/admin/plugins/${name}/test`, request);
  const draft = { content: 'well, darn it' };

  test('asks one version about a made-up message, and keeps nothing of it', async () => {
    const { admin, alice, bob, filter } = await moderated(server, REJECT);
    await filter.upload(versionOf(WORD_FILTER, 'second'));
    await alice.send(bob, 'fine');

    const rejected = await bodyOf(test_(admin, { draft }));
    const masked = await bodyOf(test_(admin, { draft, config: MASK }));

    assert.deepEqual([rejected.verdict, rejected.userMessage], ['reject', REJECT.message]);
    assert.deepEqual([masked.verdict, masked.changed, masked.draft.content], ['modify', ['content'], 'well, **** it']);
    assert.ok(masked.micros > 0 && masked.memoryBytes > 0);
    assert.deepEqual(masked.imports, []);
    const plugin = await bodyOf(admin.get(filter.path));
    assert.notEqual(rejected.steps[0].version, plugin.activeVersion);
    assert.equal(plugin.live[0].calls, 1);
    assert.deepEqual(await bodyOf(admin.get('/admin/refusals')), []);
    assert.equal((await alice.history(bob)).length, 1);
  });

  test('says what was not as it was expected', async () => {
    const { admin } = await moderated(server, REJECT);

    const answer = await bodyOf(test_(admin, { draft, expect: { verdict: 'pass' } }));

    assert.equal(answer.misses.length, 1);
  });

  test('is for admins, and for versions that are there', async () => {
    const { admin, alice } = await moderated(server, REJECT);

    assertProblem(await test_(alice, { draft }), 403, 'forbidden');
    assertProblem(await test_(admin, { draft }, 'another'), 404, 'not_found');
    assertProblem(await test_(admin, { draft, version: 'ab12' }), 422, 'invalid');
    assertProblem(await test_(admin, {}), 422, 'invalid');
    assertProblem(await test_(admin, { draft, hook: 'on-event' }), 422, 'invalid');
  });
});

function upload(admin, body) {
  return admin.request('PUT', '/admin/plugins/guard', { body, headers: { 'content-type': 'application/wasm' } });
}
