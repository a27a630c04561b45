// From `duologue plugin new` to a decided message, in each language, in a folder of its own.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import { assertProblem } from './harness/assertions.mjs';
import { draft } from './harness/drafts.mjs';
import { runBinary, startServer } from './harness/server.mjs';
import { MESSAGES } from './harness/user.mjs';

const server = await startServer();
const folder = mkdtempSync(join(tmpdir(), 'duologue-templates-'));
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

/** Compilers are fetched and made where there are none. */
const PATIENCE = { timeout: 15 * 60_000 };

async function duologue(args, env) {
  const done = await runBinary(['plugin', ...args], env, PATIENCE);
  assert.equal(done.code, 0, `${args.join(' ')}: ${done.stdout}${done.stderr}`);
  return done;
}

for (const language of ['rust', 'javascript', 'python']) {
  describe(`The template in ${language}`, () => {
    const name = `shy-${language}`;
    const plugin = join(folder, name);

    test('builds, passes check and test, and decides as soon as it is pushed', PATIENCE, async () => {
      const org = await server.org();
      const [alice, bob] = await org.people('alice', 'bob');
      const admin = await org.admin();
      const env = { DUOLOGUE_URL: server.url, DUOLOGUE_ORG: org.id, DUOLOGUE_TOKEN: admin.token };

      await duologue(['new', name, '--language', language, '--path', plugin]);
      await duologue(['build', plugin]);
      assert.ok(existsSync(join(plugin, `${name}.wasm`)));
      assert.match((await duologue(['check', plugin])).stdout, /before-send/);
      const tested = await duologue(['test', plugin]);
      for (const fixture of ['passes', 'refuses']) assert.match(tested.stdout, new RegExp(fixture));

      const early = await runBinary(['plugin', 'push', plugin, '--activate'], env, PATIENCE);
      assert.notEqual(early.code, 0);
      assert.match(early.stderr, /set `word` to what is refused/);
      const pushed = await duologue(['push', plugin, '--configure', '{"word": "darn"}', '--activate'], env);
      assert.match(pushed.stdout, /imports: .*config/);
      assert.match(pushed.stdout, /hooks: before-send/);

      assertProblem(await alice.post(MESSAGES, draft(bob, { content: 'Darn it' })), 422, 'rejected');
      await alice.send(bob, 'hello');
    });
  });
}

test('A folder that is not empty is left as it is', async () => {
  const refused = await runBinary(['plugin', 'new', 'again', '--path', folder]);

  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /is there and not empty/);
});

test('A name must be one that an org can give a plugin', async () => {
  const refused = await runBinary(['plugin', 'new', 'No Name', '--path', join(folder, 'none')]);

  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /1 to 64 characters of a-z 0-9 -/);
  assert.ok(!existsSync(join(folder, 'none')));
});
