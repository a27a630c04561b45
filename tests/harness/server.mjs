import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { request } from './http.mjs';
import { createOrg } from './org.mjs';
import { within } from './until.mjs';

export const BINARY = resolve(
  process.env.DUOLOGUE_BIN ?? join(import.meta.dirname, '../../target/debug/duologue'),
);
/** The settings of servers to which a test gives none. */
const PATIENT = join(import.meta.dirname, 'patient.toml');
// A test run that is interrupted ends what it started: its exit handlers see to that.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));

const READY = /^duologue is ready on (http:\/\/\S+)$/m;

/** The tests' own environment, without what would steer the server. */
export const cleanEnvironment = () =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(DATABASE_URL|DUOLOGUE_|PG(?!_BIN_DIR))/.test(name)),
  );

/** Runs one command to its end: `{ code, stdout, stderr }`, with `json` parsed from stdout on demand. */
export function runBinary(args, env = {}, { timeout = 30_000 } = {}) {
  return new Promise((done) => {
    const options = { env: { ...cleanEnvironment(), ...env }, timeout };
    execFile(BINARY, args, options, (error, stdout, stderr) => {
      done({
        code: error ? (error.code ?? error.signal) : 0,
        stdout,
        stderr,
        get json() {
          return JSON.parse(stdout);
        },
      });
    });
  });
}

/** A data directory that the database's user can enter, also where the tests run as root. */
export function makeDataDir(parent = tmpdir()) {
  const directory = mkdtempSync(join(parent, 'duologue-'));
  chmodSync(directory, 0o755);
  return directory;
}

/**
 * A server of its own on a free port. `env` adds to its environment (`DATABASE_URL`);
 * without that it keeps its Postgres in its own new data directory. `args` go to `serve`.
 */
export async function startServer({ env = {}, args = [], binary = BINARY } = {}) {
  const server = new Server(binary, env, args);
  try {
    await server.start();
  } catch (error) {
    await server.stop().catch(() => {});
    throw error;
  }
  return server;
}

class Server {
  #binary;
  #env;
  #args;
  #child = null;
  #clients = new Set();

  constructor(binary, env, args) {
    this.#binary = binary;
    this.#args = args;
    this.dataDir = makeDataDir();
    this.operatorToken = randomBytes(24).toString('hex');
    this.url = null;
    /** All that the server ever wrote, stdout and stderr. */
    this.output = '';
    this.#env = { ...env, DUOLOGUE_OPERATOR_TOKEN: this.operatorToken };
    process.once('exit', this.#discard);
  }

  #discard = () => {
    this.#child?.kill('SIGKILL');
    // Its Postgres needs a moment more, and may write until then.
    rmSync(this.dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  };

  async start() {
    if (!existsSync(this.#binary)) {
      throw new Error(`${this.#binary} does not exist: build it, or set DUOLOGUE_BIN`);
    }
    const settings = this.#args.includes('--config') ? [] : ['--config', PATIENT];
    const args = ['serve', '--listen', '127.0.0.1:0', '--data-dir', this.dataDir, ...settings, ...this.#args];
    const child = spawn(this.#binary, args, {
      env: { ...cleanEnvironment(), ...this.#env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    child.exited = new Promise((done) => child.once('exit', (code, signal) => done(code ?? signal)));

    let stdout = '';
    const ready = new Promise((found, failed) => {
      child.stdout.on('data', (bytes) => {
        this.#keep(bytes);
        stdout += bytes;
        const url = READY.exec(stdout)?.[1];
        if (url) found(url);
      });
      child.stderr.on('data', (bytes) => this.#keep(bytes));
      child.exited.then((code) =>
        failed(new Error(`the server ended (${code}) before it was ready:\n${this.output.slice(-4000)}`)),
      );
    });
    this.url = await within(60_000, 'the ready line of the server', ready);
  }

  #keep(bytes) {
    this.output += bytes;
    if (process.env.DUOLOGUE_TEST_LOG) process.stderr.write(bytes);
  }

  /** Asks the server to end and answers its exit code. */
  async terminate() {
    const child = this.#child;
    child.kill('SIGTERM');
    const code = await within(15_000, 'the end of the server after SIGTERM', child.exited);
    this.#child = null;
    return code;
  }

  async kill9() {
    this.#child.kill('SIGKILL');
    await this.#child.exited;
    this.#child = null;
  }

  /** On the same data directory, at another port: open a new client afterwards. */
  async restart() {
    if (this.#child) await this.terminate();
    await this.start();
  }

  /** Ends all that a test file started: its clients, the server, the data directory. */
  async stop() {
    for (const client of this.#clients) client.close();
    try {
      if (this.#child && this.#child.exitCode === null) await this.terminate();
    } finally {
      process.off('exit', this.#discard);
      this.#discard();
    }
  }

  /** So that `stop` closes it. */
  track(client) {
    this.#clients.add(client);
    return client;
  }

  cli(...args) {
    return runBinary(args, { ...this.#env, DUOLOGUE_DATA_DIR: this.dataDir });
  }

  request(path, options) {
    return request(this.url + path, options);
  }

  operator(method, path, body) {
    const headers = { authorization: `Bearer ${this.operatorToken}` };
    return this.request(path, { method, headers, body });
  }

  /** A new org with every limit off; `settings` go over that. `names` may name it and its secret. */
  org(settings = {}, names = {}) {
    return createOrg(this, settings, names);
  }

  /** People of an org of their own, each signed in once. */
  async people(...names) {
    return (await this.org()).people(...names);
  }

  get pid() {
    return this.#child.pid;
  }

  /** The process id of the Postgres that this server supervises; null while there is none. */
  get postgresPid() {
    const file = join(this.postgresDir, 'postmaster.pid');
    return existsSync(file) ? Number(readFileSync(file, 'utf8').split('\n')[0]) : null;
  }

  get postgresDir() {
    return join(this.dataDir, 'postgres', 'data');
  }
}
