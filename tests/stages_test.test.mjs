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

const [QUIET, POLL] = ['quiet-hours', 'poll'].map((name) => {
  const path = join(folder, `${name}.wasm`);
  writeFileSync(path, inRust(name));
  return path;
});

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

  test('says why a call of the dry run gave no answer, and asks about a configuration', async () => {
    const bare = await runBinary(['plugin', 'check', FILTER, '--configure', '{"words": "darn", "mode": "guess"}']);
    const empty = await runBinary(['plugin', 'check', FILTER]);
    const good = await runBinary(['plugin', 'check', QUIET, '--configure', '{"from": "21:00"}']);
    const file = join(folder, 'config.json');
    writeFileSync(file, '{"from": "9 pm"}');
    const refused = await runBinary(['plugin', 'check', QUIET, '--configure', `@${file}`]);
    const list = await runBinary(['plugin', 'check', QUIET, '--configure', '{"from": 21}']);

    assert.equal(bare.code, 0, bare.stderr);
    assert.match(bare.stdout, /before-send: no answer \(declined\)/);
    assert.match(bare.stdout, /^ +it could not decide$/m);
    assert.match(bare.stdout, /^ +log: .*mode/m);
    assert.match(bare.stdout, /^warning: .*onFault/m);
    assert.doesNotMatch(empty.stdout, /warning|lifecycle/);
    assert.equal(good.code, 0, good.stderr);
    assert.match(good.stdout, /^lifecycle: checks/m);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /config is not taken: .*from/);
    assert.notEqual(list.code, 0);
    assert.match(list.stderr, /must be an object of texts/);
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

    const shown = await runWith(QUIET, fixtures);
    const { json } = await runWith(QUIET, { wrong: { ...berlin, expect: { verdict: 'deliver', untilMs: 1 } } }, '--json');

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

    const [{ to, content }] = json[0].answer.sent;
    const once = { event, config: { reply: 'hello', times: '1' } };
    const told = await runWith(listener, {
      both: { ...once, expect: { sent: [{ to, content }] } },
      content: { ...once, expect: { verdict: 'told', sent: [content] } },
    });
    const missed = await runWith(listener, { other: { ...once, expect: { sent: [{ to: 'x@example.com', content }] } } });
    assert.equal(told.code, 0, told.stdout);
    assert.match(missed.stdout, /sent is .*, and was to be .*x@example\.com/);
  });

  test('asks about a configuration', async () => {
    const shown = await runWith(QUIET, {
      good: { hook: 'lifecycle', config: { from: '21:00' }, expect: { verdict: 'taken' } },
      bad: { hook: 'lifecycle', config: { from: '9 pm' }, expect: { verdict: 'refused' } },
    });
    const { json } = await runWith(QUIET, { bad: { hook: 'lifecycle', config: { from: '9 pm' } } }, '--json');
    const { reason } = json[0].answer;
    const told = await runWith(QUIET, { bad: { hook: 'lifecycle', config: { from: '9 pm' }, expect: { reason } } });

    assert.equal(shown.code, 0, shown.stderr + shown.stdout);
    assert.match(shown.stdout, /^ok {3}bad: refused \(.*from.*\), /m);
    assert.match(shown.stdout, /^ok {3}good: taken, /m);
    assert.equal(told.code, 0, told.stdout);
  });

  test('takes content as the JSON that it is, and compares what its sender reads', async () => {
    const poll = (content, expect) => ({ draft: { content, contentType: 'duologue.poll' }, expect });
    const options = ['At the pier', ' At the kiosk '];
    const plain = { question: 'Where?', options: ['At the pier', 'At the kiosk'], multiple: false };
    const wrong = { question: 'Where?', options: ['a', 'A'] };
    const { json } = await runWith(POLL, { wrong: poll(wrong) }, '--json');
    const [{ path, message }] = json[0].answer.details.violations;
    const details = { violations: [{ message, path }] };

    const shown = await runWith(POLL, {
      spaced: poll({ question: 'Where?', options }, { verdict: 'normalised', content: plain, preview: 'Poll: Where?' }),
      wrong: poll(wrong, { verdict: 'invalid', code: 'invalid_content', violations: [path], details }),
    });
    const missed = await runWith(POLL, {
      other: poll(wrong, { violations: ['/other'], details: {} }),
      spaced: poll(plain, { content: { question: 'When?' }, retryAfterMs: 5, explanation: 'none' }),
    });

    assert.equal(shown.code, 0, shown.stderr + shown.stdout);
    assert.match(shown.stdout, /^ok {3}spaced: normalised, /m);
    assert.ok(shown.stdout.includes(`     violation: "${path}" "${message}"`), shown.stdout);
    for (const wanted of [
      /violations is \["\/options.*"\], and was to be \["\/other"\]/,
      /details is \{"violations":\[\{.*\}\]\}, and was to be \{\}/,
      /content is \{"multiple":.*, and was to be \{"question":"When\?"\}/,
      /retryAfterMs is nothing, and was to be 5/,
      /explanation is nothing, and was to be "none"/,
    ]) {
      assert.match(missed.stdout, wanted);
    }
  });

  test('looks into the store afterwards', async () => {
    const stored = { ...reject, laidOut: { kv: { seen: '1' } } };

    const met = await run({ met: { ...stored, expect: { kv: { seen: '1', other: null } } } });
    const missed = await run({ missed: { ...stored, expect: { kv: { seen: null } } } });

    assert.equal(met.code, 0, met.stdout);
    assert.match(missed.stdout, /kv\.seen is "1", and was to be null/);
  });

  test('says what is wrong with an answer', async () => {
    const { json } = await run({ fault: { draft, config: { ...REJECT, mode: 'guess' } } }, '--json');
    const shown = await run({ fault: { draft, config: { ...REJECT, mode: 'guess' } } });

    assert.equal(json[0].answer.why, 'it could not decide');
    assert.match(shown.stdout, /fault \(declined\).*\n {5}why: it could not decide\n/);
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
      [{ ...reject, hook: 'before-sent' }, /hook must be before-send, validate-content, on-event, on-notify or lifecycle/],
      [{ ...reject, hook: 'lifecycle' }, /draft is not what this hook/],
      [{ hook: 'lifecycle' }, /does not take part in lifecycle/],
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
