import { appendFileSync, chmodSync, copyFileSync, existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { startPostgres } from '../../../tests/harness/postgres.mjs';
import { makeDataDir } from '../../../tests/harness/server.mjs';
import { summary } from './summary.mjs';

/** As an operator with 8 GB for Postgres would have it; whatever is acknowledged is on disk. */
export const POSTGRES_SETTINGS = {
  max_connections: 200,
  shared_buffers: '1GB',
  effective_cache_size: '4GB',
  wal_compression: 'on',
  max_wal_size: '4GB',
  checkpoint_timeout: '15min',
  synchronous_commit: 'on',
  fsync: 'on',
  full_page_writes: 'on',
};

/** One run: its options, its Postgres, the servers that are up, and the rows so far. */
export class Run {
  /** All servers that are up; those that are not measured are still known to the accounts. */
  servers = new Set();
  #rows = new Map();

  static async start(options) {
    const run = new Run(options);
    run.postgres = await startPostgres({
      directory: makeDataDir(run.directory),
      settings: POSTGRES_SETTINGS,
    });
    run.postgresVersion = `Postgres ${(await run.sql('postgres', 'show server_version')).trim()}`;
    return run;
  }

  constructor({ secs, rounds, idle, growth, rows, smoke }) {
    this.smoke = smoke;
    this.secs = Number(secs ?? (smoke ? 1 : 5));
    this.rounds = Number(rounds ?? (smoke ? 1 : 3));
    this.idle = Number(idle ?? (smoke ? 200 : 10_000));
    this.growth = Number(growth ?? (smoke ? 10_000 : 1_000_000));
    this.began = new Date();
    this.directory = mkdtempSync(join(process.env.DUOLOGUE_BENCH_DIR ?? '/var/tmp', 'duologue-bench-'));
    // Postgres' own user goes through it.
    chmodSync(this.directory, 0o755);
    this.rowsFile = join(this.directory, 'rows.jsonl');
    if (rows) copyFileSync(rows, this.rowsFile);
    const earlier = existsSync(this.rowsFile) ? readFileSync(this.rowsFile, 'utf8') : '';
    for (const line of earlier.split('\n').filter(Boolean)) this.#keep(JSON.parse(line));
  }

  say(text) {
    console.log(`${new Date().toISOString().slice(11, 19)} ${text}`);
  }

  /** Does it once for each round: whoever is compared takes turns, for a machine is not always as fast. */
  async inRounds(work) {
    for (let round = 0; round < this.rounds; round++) await work(round);
  }

  /** Keeps what was measured of `peer` in a round, and puts it down at once. */
  add(peer, test, measured, round = 0) {
    const row = { peer, test, round, ...measured };
    appendFileSync(this.rowsFile, `${JSON.stringify(row)}\n`);
    this.#keep(row);
    return row;
  }

  /** The first round of a test takes the place of what was measured before. */
  #keep(row) {
    const key = `${row.peer}\n${row.test}`;
    const earlier = row.round > 0 ? (this.#rows.get(key) ?? []) : [];
    this.#rows.set(key, [...earlier, row]);
  }

  /** What came out of a test's rounds. */
  row(peer, test) {
    const rounds = this.#rows.get(`${peer}\n${test}`);
    return rounds && summary(rounds);
  }

  get rows() {
    return [...this.#rows.values()].map(summary);
  }

  /** A new database of this name, in the place of an old one. */
  async database(name) {
    await this.sql('postgres', `drop database if exists ${name} with (force)`);
    await this.sql('postgres', `create database ${name}`);
    return this.postgres.urlOf(name);
  }

  /** Runs one statement, or several, and answers what it selects, without names. */
  sql(database, statements) {
    return this.postgres.program('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', database, '-c', statements);
  }

  async stop() {
    for (const server of this.servers) await server.stop();
    await this.postgres.remove();
  }
}
