import { execFile, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { makeDataDir } from './server.mjs';
import { until, within } from './until.mjs';

const run = promisify(execFile);

/** Where `initdb` and `postgres` lie: the newest that is installed. */
function binaries() {
  const root = '/usr/lib/postgresql';
  const majors = existsSync(root)
    ? readdirSync(root)
        .map(Number)
        .sort((one, other) => other - one)
    : [];
  const candidates = [process.env.PG_BIN_DIR, ...majors.map((major) => join(root, `${major}`, 'bin'))];
  const found = candidates.find((directory) => directory && existsSync(join(directory, 'initdb')));
  if (!found) throw new Error('no Postgres found: install postgresql, or set PG_BIN_DIR');
  return found;
}

/** Postgres refuses to run as root, so root lends it the account `postgres`. */
function account() {
  if (process.getuid() !== 0) return {};
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('postgres:'));
  const [, , uid, gid] = line.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}

/**
 * A Postgres of the test's own, on a Unix socket alone, that may be stopped and started. It lives in a
 * new directory, or in `directory`; `settings` are its own, by name.
 */
export async function startPostgres({ directory = makeDataDir(), settings = {} } = {}) {
  const postgres = new Postgres(directory, settings);
  await postgres.init();
  await postgres.start();
  return postgres;
}

class Postgres {
  #directory;
  #settings;
  #bin = binaries();
  #options = { ...account(), cwd: '/' };
  #child = null;

  constructor(directory, settings) {
    this.#directory = directory;
    this.#settings = { listen_addresses: '', ...settings };
  }

  get url() {
    return this.urlOf('postgres');
  }

  urlOf(database) {
    return `postgres://postgres@localhost/${database}?host=${this.#directory}&sslmode=disable`;
  }

  get pid() {
    return this.#child.pid;
  }

  /** Runs one of Postgres' own programs against it and answers what that prints. */
  async program(name, ...args) {
    const installed = join(this.#bin, name);
    const connection = ['-h', this.#directory, '-U', 'postgres'];
    const { stdout } = await run(existsSync(installed) ? installed : name, [...connection, ...args]);
    return stdout;
  }

  /** Where its processes work. */
  get data() {
    return join(this.#directory, 'data');
  }

  async init() {
    mkdirSync(this.data, { mode: 0o700 });
    const { uid, gid } = this.#options;
    if (uid) for (const path of [this.#directory, this.data]) chownSync(path, uid, gid);
    await run(
      join(this.#bin, 'initdb'),
      ['-D', this.data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'],
      this.#options,
    );
    process.once('exit', this.#discard);
  }

  async start() {
    const settings = Object.entries(this.#settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const args = ['-D', this.data, '-k', this.#directory, ...settings];
    const child = spawn(join(this.#bin, 'postgres'), args, { ...this.#options, stdio: 'ignore' });
    child.exited = new Promise((done) => child.once('exit', done));
    this.#child = child;
    const isReady = () =>
      run(join(this.#bin, 'pg_isready'), ['-h', this.#directory], this.#options).then(
        () => true,
        () => false,
      );
    await until('Postgres is ready', isReady, 30_000);
  }

  /** Ends it at once, as a crash would: `SIGQUIT` is its immediate stop. */
  async crash() {
    this.#child.kill('SIGQUIT');
    await within(20_000, 'the end of Postgres', this.#child.exited);
  }

  #discard = () => {
    this.#child?.kill('SIGQUIT');
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  };

  async remove() {
    await this.crash();
    process.off('exit', this.#discard);
    this.#discard();
  }
}

/** Every live process that works in a directory: a postmaster and all its children. */
export function processesIn(directory) {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`) === directory;
    } catch {
      return false;
    }
  });
}
