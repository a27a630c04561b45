/** How much of the machine others used, where no load generator counts it. */
import { readFileSync, readdirSync } from 'node:fs';

const TICK_MS = 10;

/**
 * Runs something, and answers what it answers and how many processors others used meanwhile. Postgres, this
 * process and all that it starts and waits for are no others.
 */
export async function watched(run, work) {
  const [before, began] = [ticks(run.postgres.pid), performance.now()];
  const result = await work();
  const [after, took] = [ticks(run.postgres.pid), performance.now() - began];
  const others = after.busy - before.busy - (after.known - before.known);
  return { result, cpu: { others: (Math.max(0, others) * TICK_MS) / took } };
}

/** What all processors have been busy so far, and what of that is known. */
function ticks(postmaster) {
  const [, ...all] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].trim().split(/\s+/).map(Number);
  const backends = readdirSync('/proc')
    .map((pid) => /^\d+$/.test(pid) && stat(pid))
    .filter((process) => process && process.parent === postmaster);
  const known = [stat('self'), stat(postmaster), ...backends];
  return {
    busy: [0, 1, 2, 5, 6].reduce((sum, index) => sum + all[index], 0),
    known: known.reduce((sum, process) => sum + (process?.ticks ?? 0), 0),
  };
}

/** A process's parent, and its ticks with those of the children that it has waited for. */
function stat(pid) {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = line
      .slice(line.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    return { parent: fields[1], ticks: fields.slice(11, 15).reduce((sum, ticks) => sum + ticks) };
  } catch {
    // It has ended meanwhile.
    return null;
  }
}
