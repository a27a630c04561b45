import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';

import { ORG, SECRET } from './servers.mjs';

const LOAD = resolve(import.meta.dirname, '../../../target/load/release/duologue-load');
/** How many processors others may use before a figure says nothing. */
export const MOST_OTHERS = 0.1;
const TRIES = 3;

const launch = promisify(execFile);

/** Whether others used so much of the machine that a row says nothing. */
export const isNoisy = (row) => [row.cpu, row.storm?.cpu].some((cpu) => cpu?.others > MOST_OTHERS);

/** How many processors others had of it, here or on the machine that this one is a part of. */
const disturbed = (row) => (row.cpu?.others ?? 0) + (row.cpu?.stolen ?? 0);

/**
 * Puts one kind of load on a server and keeps what comes out under its name, or `as`. What can be measured
 * again is, while others use the machine; the quietest try counts.
 */
export async function measure(run, server, test, args, options = {}) {
  const { as = server.name, org = ORG, again = true, round } = options;
  const tries = again && !run.smoke ? TRIES : 1;
  let seen;
  for (let tried = 0; tried < tries && (!seen || disturbed(seen) > MOST_OTHERS); tried++) {
    const now = await once(run, server, args, org);
    if (!seen || disturbed(now) < disturbed(seen)) seen = now;
  }
  const row = run.add(as, test, seen, round);
  const rate = row.perSecond === undefined ? '' : `${Math.round(row.perSecond)}/s`;
  run.say(`  ${as}: ${test}: ${rate}${isNoisy(row) ? ' (others use the machine)' : ''}`);
  return row;
}

async function once(run, server, args, org) {
  const accounts = Object.entries({ ...server.processes, postgres: run.postgres.pid });
  // What stands by is no stranger either.
  const beside = [...run.servers].filter((other) => other !== server);
  for (const other of beside) accounts.push(...Object.values(other.processes).map((pid) => ['beside', pid]));
  const options = [
    ...['--address', server.address, '--secret', SECRET, '--org', org],
    ...['--secs', `${run.secs}`, '--warm', `${Math.min(2, run.secs)}`],
    ...accounts.flatMap(([name, pid]) => ['--pid', `${name}=${pid}`]),
  ];
  const { stdout } = await launch(LOAD, [...options, ...args], { timeout: 300_000 });
  return JSON.parse(stdout);
}
