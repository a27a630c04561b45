// Why plugins decided as they did: receipts that admins read, and that a laptop runs again.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { assertProblem } from './harness/assertions.mjs';
import { draft } from './harness/drafts.mjs';
import { startPostgres } from './harness/postgres.mjs';
import { runBinary, startServer } from './harness/server.mjs';
import { until } from './harness/until.mjs';
import { MESSAGES } from './harness/user.mjs';
import { bodyOf, Filter, moderated, succeed, versionOf, WORD_FILTER } from './harness/word_filter.mjs';

const server = await startServer();
const folder = mkdtempSync(join(tmpdir(), 'duologue-receipts-'));
after(() => server.stop());
after(() => rmSync(folder, { recursive: true }));

const ALL = { adminReads: 'all' };
const MASK = { words: 'darn', mode: 'mask' };
const REJECT = { words: 'darn', mode: 'reject' };

const ofMessage = (id) => `/admin/messages/${id}/receipt`;
const ofRefusal = (id) => `/admin/refusals/${id}/receipt`;

/** Receipts are written behind the answer. */
const receiptsOf = async (admin, path, count = 1) => {
  const there = async () => {
    const answer = await admin.get(path);
    return answer.status === 200 && answer.body.receipts.length >= count && answer.body;
  };
  return until('the receipt is kept', there);
};

const kept = (name, bytes) => {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
};

const GUARD = kept('guard.wasm', WORD_FILTER);
const OTHER = kept('other.wasm', versionOf(WORD_FILTER, 'other'));

const replay = (receipts, wasm, ...args) =>
  runBinary(['plugin', 'replay', kept('receipt.json', JSON.stringify(receipts)), wasm, ...args]);

describe('A decision receipt', () => {
  test('says what a plugin was asked and answered, of messages and of edits', async () => {
    const { alice, bob, admin } = await moderated(server, MASK, ALL);
    const sent = await alice.send(bob, 'oh darn');
    await receiptsOf(admin, ofMessage(sent.id));
    await succeed(alice.patch(`${MESSAGES}/${sent.id}`, { content: 'oh dear' }));

    const { receipts } = await receiptsOf(admin, ofMessage(sent.id), 2);

    const [edit, first] = receipts;
    assert.deepEqual([edit.kind, first.kind], ['edit', 'message']);
    assert.equal(edit.calls[0].input.previous.content, 'oh ****');
    const [call] = first.calls;
    assert.equal(call.plugin, 'guard');
    assert.deepEqual(call.config, MASK);
    assert.equal(call.input.body.content, 'oh darn');
    assert.equal(call.input.context.caller.email, alice.email);
    assert.deepEqual([call.verdict, call.changed], ['modify', ['content']]);
    assert.equal(call.answer.modify.content, 'oh ****');
    assertProblem(await admin.get(ofRefusal(sent.id)), 404, 'not_found');
    assert.match(call.run.inputSha256, /^[0-9a-f]{64}$/);
    assert.ok(call.micros > 0 && call.memoryBytes > 0);
  });

  test('of a refused draft is found by the requestId of its error', async () => {
    const { alice, bob, admin } = await moderated(server, REJECT);
    const refused = await alice.post(MESSAGES, draft(bob, { content: 'darn it' }));
    assertProblem(refused, 422, 'rejected');

    const { receipts } = await receiptsOf(admin, ofRefusal(refused.body.requestId));

    assertProblem(await admin.get(ofMessage(refused.body.requestId)), 404, 'not_found');
    assert.equal(receipts[0].messageId, null);
    assert.equal(receipts[0].calls[0].verdict, 'reject');
    assert.equal(receipts[0].calls[0].input.body.content, 'darn it');
    const audit = await bodyOf(admin.get('/admin/audit'));
    assert.ok(audit.some((entry) => entry.action === 'content.read' && entry.subject === refused.body.requestId));
  });

  test('of a refused draft can be read at once', async () => {
    const { alice, bob, admin } = await moderated(server, REJECT);

    for (let count = 0; count < 50; count++) {
      const refused = await alice.post(MESSAGES, draft(bob, { content: 'darn it' }));

      const answer = await admin.get(ofRefusal(refused.body.requestId));

      assert.equal(answer.status, 200, `${count}: ${answer.text}`);
    }
  });

  test('of a stored message can be read at once', async () => {
    const { alice, bob, admin } = await moderated(server, MASK);
    const { id } = await alice.send(bob, 'oh darn');

    const { receipts } = await bodyOf(admin.get(ofMessage(id)));

    assert.equal(receipts.length, 1);
  });

  test('is stored before the server stops', async (t) => {
    const postgres = await startPostgres();
    t.after(() => postgres.remove());
    const stopping = await startServer({ env: { DATABASE_URL: postgres.url } });
    const { alice, bob } = await moderated(stopping, MASK);

    await Promise.all(Array.from({ length: 20 }, (_, number) => alice.send(bob, `no. ${number}`)));
    await stopping.stop();

    const counted = await postgres.program('psql', '-XqAt', '-c', 'select count(*) from receipts');
    assert.equal(counted.trim(), '20');
  });

  test('is for the admins of its org, as far as adminReads goes', async () => {
    const { alice, bob, admin } = await moderated(server, REJECT, { adminReads: 'none' });
    const stranger = await (await server.org()).admin();
    const sent = await alice.send(bob, 'a clean one');
    const refused = await alice.post(MESSAGES, draft(bob, { content: 'darn it' }));
    const paths = [ofMessage(sent.id), ofRefusal(refused.body.requestId)];

    for (const path of paths) {
      const [receipt] = (await receiptsOf(admin, path)).receipts;
      assert.match(receipt.notReplayable, /adminReads/);
      const [call] = receipt.calls;
      assert.deepEqual([call.input, call.hostCalls, call.answer], [null, null, null]);
      assert.deepEqual([call.config, call.plugin], [REJECT, 'guard']);
      assertProblem(await stranger.get(path), 404, 'not_found');
      assertProblem(await alice.get(path), 403, 'forbidden');
    }
    const audit = await bodyOf(admin.get('/admin/audit'));
    assert.ok(!audit.some(({ action }) => action === 'content.read'));
  });

  test('loses its content when the message is deleted for everyone', async () => {
    const { alice, bob, admin } = await moderated(server, MASK, ALL);
    const sent = await alice.send(bob, 'a gone secret');
    const before = await receiptsOf(admin, ofMessage(sent.id));
    await succeed(alice.del(`${MESSAGES}/${sent.id}?scope=everyone`));

    const answer = await succeed(admin.get(ofMessage(sent.id)));

    const [receipt] = answer.body.receipts;
    assert.match(receipt.notReplayable, /deleted/);
    assert.equal(receipt.calls[0].run.inputSha256, before.receipts[0].calls[0].run.inputSha256);
    assert.ok(!answer.text.includes('gone secret'));
    const replayed = await replay(answer.body, GUARD);
    assert.equal(replayed.code, 1);
    assert.match(replayed.stderr, /nothing of this receipt/);
  });

  test('is not made where the org wants none, and a missing one is said to be missing', async () => {
    const { alice, bob, admin } = await moderated(server, MASK, { ...ALL, receiptDays: 0 });
    const silent = await alice.send(bob, 'one');
    await succeed(admin.patch('/admin/settings', { receiptDays: 7 }));
    const recorded = async () => (await admin.get(ofMessage((await alice.send(bob, 'two')).id))).status === 200;
    await until('receipts are made again', recorded);

    assertProblem(await admin.get(ofMessage(silent.id)), 404, 'not_found');
    const refused = await admin.patch('/admin/settings', { receiptDays: 366 });
    assertProblem(refused, 422, 'invalid');
  });
});

describe('A replay', () => {
  test('gives the same verdict without a server', async () => {
    for (const config of [MASK, REJECT]) {
      const { alice, bob, admin } = await moderated(server, config, ALL);
      const answer = await alice.post(MESSAGES, draft(bob, { content: 'darn it' }));
      const path = config === REJECT ? ofRefusal(answer.body.requestId) : ofMessage(answer.body.id);

      const { code, stdout, stderr } = await replay(await receiptsOf(admin, path), GUARD);

      assert.equal(code, 0, stderr);
      const verdict = config === REJECT ? 'reject' : 'modify';
      assert.match(stdout, new RegExp(`then ${verdict}, now ${verdict}, the same`));
    }
  });

  test('wants the version that was asked, unless it is told to go on', async () => {
    const { alice, bob, admin } = await moderated(server, MASK, ALL);
    const receipts = await receiptsOf(admin, ofMessage((await alice.send(bob, 'darn it')).id));

    const refused = await replay(receipts, OTHER);
    const anyway = await replay(receipts, OTHER, '--plugin', 'guard', '--any-version');
    receipts.receipts[0].calls[0].config.mode = 'reject';
    const changed = await replay(receipts, GUARD);
    receipts.receipts[0].calls[0].config.mode = 'mask';
    receipts.receipts[0].calls[0].run.answered = '\u001b[2Jpass';
    const reworded = await replay(receipts, GUARD);
    receipts.receipts[0].calls[0].input.body.content = 'oh dear';
    const forged = await replay(receipts, GUARD);

    assert.equal(refused.code, 1);
    assert.match(refused.stdout, /another version/);
    assert.equal(anyway.code, 0, anyway.stderr);
    assert.equal(changed.code, 1);
    assert.match(changed.stdout, /then modify, now reject: differs/);
    assert.equal(reworded.code, 1);
    assert.match(reworded.stdout, /then \\u\{1b\}\[2Jpass, now modify: differs/);
    assert.match(forged.stderr, /SHA-256 differs/);
  });

  test('leaves out the calls of other plugins', async () => {
    const { alice, bob, admin } = await moderated(server, MASK, ALL);
    const second = await Filter.install(admin, 'second', MASK);
    await second.upload(versionOf(WORD_FILTER, 'other'));
    await second.activate();
    const receipts = await receiptsOf(admin, ofMessage((await alice.send(bob, 'darn it')).id));

    const alone = await replay(receipts, GUARD);
    const named = await replay(receipts, OTHER, '--plugin', 'second');
    const unknown = await replay(receipts, GUARD, '--plugin', 'third');

    assert.equal(alone.code, 0, alone.stderr);
    assert.match(alone.stdout, /a call of second, another plugin's: left out/);
    assert.match(alone.stdout, /1 replayed, 0 differ, 0 could not be; 1 of other plugins left out/);
    assert.equal(named.code, 0, named.stderr);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /no plugin of this receipt is called third; it has guard, second/);
  });

  test('leaves nothing that people wrote in the log', () => {
    for (const written of ['darn it', 'oh darn', 'gone secret', 'a clean one']) {
      assert.ok(!server.output.includes(written), written);
    }
  });
});
