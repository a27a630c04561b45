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

/** A Postgres of the test's own, on a Unix socket alone, that may be stopped and started. */
export async function startPostgres() {
  const postgres = new Postgres();
  await postgres.init();
  await postgres.start();
  return postgres;
}

class Postgres {
  #directory = makeDataDir();
  #bin = binaries();
  #options = { ...account(), cwd: '/' };
  #child = null;

  get url() {
    return `postgres://postgres@localhost/postgres?host=${this.#directory}&sslmode=disable`;
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
    const args = ['-D', this.data, '-k', this.#directory, '-c', 'listen_addresses='];
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
