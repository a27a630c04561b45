// From `duologue plugin new` to a decided message, in each language, in a folder of its own.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { promisify } from 'node:util';

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
      const { stdout: checked } = await duologue(['check', plugin]);
      assert.match(checked, /before-send: no answer \(declined\)/);
      assert.match(checked, /log: .*set `word` to what is refused/);
      assert.match(checked, /It was given no configuration; that stops nothing/);
      const unfit = await runBinary(['plugin', 'check', plugin, '--configure', '{}'], {}, PATIENCE);
      assert.equal(unfit.code, 1);
      assert.match(unfit.stderr, /config is not taken: set `word` to what is refused/);
      const tested = await duologue(['test', plugin]);
      for (const fixture of ['passes', 'refuses']) assert.match(tested.stdout, new RegExp(fixture));

      const early = await runBinary(['plugin', 'push', plugin, '--activate'], env, PATIENCE);
      assert.notEqual(early.code, 0);
      assert.match(early.stderr, /set `word` to what is refused/);
      assert.match(early.stderr, /The version stays uploaded; what is active and its configuration are as before/);
      const pushed = await duologue(['push', plugin, '--configure', '{"word": "darn"}', '--activate'], env);
      assert.match(pushed.stdout, /imports: .*config/);
      assert.match(pushed.stdout, /hooks: before-send/);
      assert.match(pushed.stdout, /dry run: +before-send: no answer \(declined\)/);
      assert.match(pushed.stdout, /configuration: set \(the active version reads it from now on\)/);

      assertProblem(await alice.post(MESSAGES, draft(bob, { content: 'Darn it' })), 422, 'rejected');
      await alice.send(bob, 'hello');
    });
  });
}

test('The types of the template in JavaScript are true, and a hook that is missing is an error', PATIENCE, async () => {
  const plugin = join(folder, 'shy-javascript');
  const run = promisify(execFile);
  const typecheck = () => run('npm', ['run', '--silent', 'typecheck'], { cwd: plugin, ...PATIENCE });
  const source = readFileSync(join(plugin, 'plugin.js'), 'utf8');
  await typecheck();

  writeFileSync(
    join(plugin, 'plugin.js'),
    `${source.replace('const lifecycle', 'const lifecycl')}
      /** @type {typeof import('duologue:plugin/before-send@0.2.0').beforeSend} */
      export const probe = (context, draft, previous) => {
        /** @type {number} */ const now = context.nowMs;
        /** @type {string | undefined} */ const key = get('key');
        console.log(new URL(draft.to));
        throw [now, key, previous];
      };`,
  );
  const { stdout } = await typecheck().then(() => assert.fail('it passes'), (failed) => failed);

  const errors = stdout.split('\n').filter((line) => line.includes('error TS'));
  assert.match(stdout, /exports\.ts[^]*Property 'lifecycle' is missing/);
  assert.match(stdout, /Cannot find name 'console'/);
  assert.match(stdout, /Cannot find name 'URL'/);
  assert.match(stdout, /Type 'string \| null' is not assignable to type 'string \| undefined'/);
  assert.equal(errors.length, 4, stdout);
  writeFileSync(join(plugin, 'plugin.js'), source);
});

test('A plugin in Python may have requirements, and one that does not build leaves nothing to push', PATIENCE, async () => {
  const plugin = join(folder, 'zoned');
  const code = join(plugin, 'plugin.py');
  await duologue(['new', 'zoned', '--language', 'python', '--path', plugin]);
  appendFileSync(join(plugin, 'requirements.txt'), 'tzdata\n');
  const zone = 'import tzdata\nfrom zoneinfo import ZoneInfo, reset_tzpath\nreset_tzpath(to=[])\nBERLIN = ZoneInfo("Europe/Berlin")\n';
  writeFileSync(code, zone + readFileSync(code, 'utf8'));

  await duologue(['build', plugin]);
  assert.ok(existsSync(join(plugin, 'zoned.wasm')));

  writeFileSync(code, 'import not_there\n' + readFileSync(code, 'utf8'));
  assert.equal((await runBinary(['plugin', 'build', plugin], {}, PATIENCE)).code, 1);
  assert.ok(!existsSync(join(plugin, 'zoned.wasm')));
});

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
