import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { BINARY, cleanEnvironment, startServer } from './harness/server.mjs';
import { until, within } from './harness/until.mjs';

const ROOT = join(import.meta.dirname, '..');
const DOCUMENTS = ['README.md', 'CHANGELOG.md', 'host/API.md', 'host/ARCHITECTURE.md', 'plugins/README.md'];
const read = (path) => readFileSync(join(ROOT, path), 'utf8');

/** The blocks between the two comments of the README, each with its language and its line. */
function steps() {
  const readme = read('README.md');
  const [start, end] = [readme.indexOf('<!-- tests/readme.test.mjs'), readme.indexOf('<!-- end of the')];
  assert.ok(start >= 0 && end > start, 'the README marks its tested part');
  const fences = readme.slice(start, end).matchAll(/^```(sh|js|json|text)\n(.*?)^```$/gms);
  return Array.from(fences, ({ 1: language, 2: text, index }) => {
    const line = readme.slice(0, start + index).split('\n').length;
    return { language, text, line };
  });
}

/** Holds an answer to what the README shows of it, where `…` stands for anything. */
function assertShown(actual, shown, path = 'answer') {
  if (shown === '…') return;
  if (shown === null || typeof shown !== 'object') return assert.deepEqual(actual, shown, path);
  assert.ok(actual && typeof actual === 'object', `${path} is ${JSON.stringify(actual)}`);
  const keys = Object.keys(shown).filter((key) => key !== '…');
  if (keys.length === Object.keys(shown).length) {
    assert.deepEqual(Object.keys(actual).sort(), keys.sort(), path);
  }
  for (const key of keys) assertShown(actual[key], shown[key], `${path}.${key}`);
}

/** A reader of the README: a shell in its folder, and another folder with a script that goes on. */
class Reader {
  #folder = mkdtempSync(join(tmpdir(), 'duologue-readme-'));
  #script = null;
  #said = '';

  constructor(server) {
    symlinkSync(join(import.meta.dirname, 'node_modules'), join(this.#folder, 'node_modules'));
    symlinkSync(BINARY, join(this.#folder, 'duologue'));
    const pasted = server.output.matchAll(/^ *export (\w+)=(\S+)$/gm);
    this.env = {
      ...cleanEnvironment(),
      ...Object.fromEntries(Array.from(pasted, ([, name, value]) => [name, value])),
      DUOLOGUE_DATA_DIR: server.dataDir,
      PATH: this.#folder + delimiter + process.env.PATH,
    };
  }

  /** Runs a block to its end, and answers what it printed. */
  async sh(block) {
    const shell = spawn('bash', ['-euo', 'pipefail', '-c', block], { cwd: ROOT, env: this.env });
    let [stdout, stderr] = ['', ''];
    shell.stdout.on('data', (bytes) => (stdout += bytes));
    shell.stderr.on('data', (bytes) => (stderr += bytes));
    const ended = new Promise((done) => shell.once('close', done));
    try {
      const code = await within(60_000, `an end of ${block}`, ended);
      assert.equal(code, 0, `${block}\n${stdout}${stderr}`);
    } finally {
      shell.kill();
    }
    return stdout;
  }

  /** Saves a script under the name in its first line and lets it run. */
  start(source) {
    const name = /^\/\/ (\S+\.mjs)$/m.exec(source)?.[1];
    assert.ok(name, 'the first line of a script is its name');
    writeFileSync(join(this.#folder, name), source);
    this.#script = spawn(process.execPath, [name], { cwd: this.#folder, env: this.env });
    for (const stream of [this.#script.stdout, this.#script.stderr]) {
      stream.on('data', (bytes) => (this.#said += bytes));
    }
  }

  /** Waits until the script has printed these lines, after those of the call before. */
  async hear(lines) {
    const heard = () => {
      const at = this.#said.indexOf(lines);
      if (at >= 0) this.#said = this.#said.slice(at + lines.length);
      return at >= 0;
    };
    await until('the script says so', heard).catch((error) => {
      throw new Error(`${error.message}:\n${lines}what it said:\n${this.#said}`);
    });
  }

  leave() {
    this.#script?.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The block with the filter that these tests are given, if they are given one; else it must be built. */
function withFilter(block) {
  return block.replace(/@(plugins\/\S+\.wasm)/, (_, path) => {
    const filter = resolve(process.env.DUOLOGUE_WORD_FILTER ?? join(ROOT, path));
    assert.ok(existsSync(filter), `${filter} is there: plugins/build.sh makes it`);
    return `@${filter}`;
  });
}

describe('The README', () => {
  let server, reader;
  let answer = '';
  before(async () => {
    server = await startServer({ args: ['--demo'] });
    reader = new Reader(server);
  });
  after(async () => {
    reader?.leave();
    await server?.stop();
  });

  const run = {
    sh: async (block) => (answer = await reader.sh(withFilter(block))),
    json: (shown) => assertShown(JSON.parse(answer), JSON.parse(shown)),
    js: (source) => reader.start(source),
    text: (lines) => reader.hear(lines),
  };
  for (const { language, text, line } of steps()) {
    test(`holds in line ${line}: ${text.split('\n')[0]}`, () => run[language](text));
  }
});

test('documents link to what exists', () => {
  for (const path of DOCUMENTS) {
    const links = Array.from(read(path).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g), ([, target]) => target);
    for (const target of links) {
      assert.ok(existsSync(join(ROOT, dirname(path), target)), `${path} links to ${target}`);
    }
  }
});
