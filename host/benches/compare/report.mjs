/** Writes what a run measured as Markdown. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { join } from 'node:path';

import { judge } from './goals.mjs';
import { SIZE } from './hooks.mjs';
import { MOST_OTHERS, isNoisy } from './load.mjs';
import { POSTGRES_SETTINGS } from './run.mjs';

const HERE = join(import.meta.dirname, '..');

/** Answers where the report is: in the tree, unless it was only tried. */
export async function writeReport(run) {
  const file = join(run.smoke ? run.directory : HERE, 'RESULTS.md');
  writeFileSync(file, [head(run), rates(run), connects(run), pieces(run), verdicts(run)].join('\n\n') + '\n');
  return file;
}

const said = (program, ...args) => execFileSync(program, args, { encoding: 'utf8', cwd: HERE }).trim();

function head(run) {
  const settings = Object.entries(POSTGRES_SETTINGS).map(([name, value]) => `${name} = ${value}`);
  const [, disk, system] = said('df', '--output=source,fstype', run.directory).match(/\n(\S+)\s+(\S+)/);
  const changed = said('git', 'status', '--porcelain', '--untracked-files=no') ? ', with changes' : '';
  return `# Results

Measured ${run.began.toISOString().slice(0, 16).replace('T', ' ')} UTC by \`make bench\`, which writes this file.

- Machine: ${cpus().length} × ${cpus()[0].model}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${type()} ${release()}, ${system} on ${disk}. Servers, Postgres and the load share it.
- Versions: commit ${said('git', 'rev-parse', '--short', 'HEAD')}${changed}; ${said('rustc', '--version')}; Node ${process.version}; ${run.postgresVersion}.
- Postgres: ${settings.join(', ')}; on a Unix socket.
- Ours: defaults, the orgs' limits off. Node: the reference peer in \`peer/\`, its limits off, 16 connections.
- Each figure is the median of ${run.rounds} rounds, in which those that are compared take turns; of sockets, uploads and the seed it is one. What others disturbed is tried up to three times, and the quietest try counts.
- Each rate over ${run.secs} s after ${Math.min(2, run.secs)} s of warming up; ${run.idle} idle sockets; messages of 100 bytes, of ${SIZE} where there are hooks.
- Where processes that are none of this used more than ${MOST_OTHERS} processors, the row is marked ‡ and not judged.
- Stolen is what the hypervisor gave to other machines while there was work here, in processors. It lengthens every time, and cannot be seen from processor time alone.`;
}

/** Three figures where they count. */
function number(value) {
  if (value === undefined || value === null) return '';
  const places = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: places, maximumFractionDigits: places });
}

const table = (columns, rows) =>
  [columns, columns.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

const troubles = (row) =>
  [
    ...['lost', 'duplicates', 'outOfOrder', 'foreign', 'closedWhileIdle'].map((name) => [name, row[name]]),
    ...Object.entries(row.errors ?? {}),
  ]
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${what}: ${count}`)
    .join(', ')
    .replaceAll('|', '/');

function rates(run) {
  const columns = [
    'test',
    'who',
    'per s',
    'p50 ms',
    'p99 ms',
    'server µs',
    'hook µs',
    'Postgres µs',
    'load µs',
    'others',
    'stolen',
    'trouble',
  ];
  const rows = run.rows
    .filter((row) => row.perSecond !== undefined)
    .sort((one, other) => order(run, one) - order(run, other))
    .map((row) => [
      row.test,
      row.peer,
      number(row.perSecond),
      number(row.latency?.p50 ?? row.latency?.mean),
      number(row.latency?.p99),
      ...['server', 'hook', 'postgres', 'load'].map((name) => number(row.cpu?.[name]?.micros)),
      `${number(row.cpu?.others)}${isNoisy(row) ? ' ‡' : ''}`,
      number(row.cpu?.stolen),
      troubles(row),
    ]);
  return `## All that was measured

µs are processor time for each operation. Postgres alone has the mean in the place of p50.

${table(columns, rows)}`;
}

/** Rows of one test stand together. */
const order = (run, row) => run.rows.findIndex((other) => other.test === row.test);

function connects(run) {
  const rows = run.rows
    .filter((row) => row.residentMib)
    .map((row) => {
      const { before, after } = row.residentMib;
      const storm =
        row.storm && `${row.storm.stayed} of ${row.storm.dropped} back, ${number(row.storm.perSecond)}/s`;
      return [
        row.test,
        row.peer,
        row.connected,
        `${number(before.server)} → ${number(after.server)}`,
        number(((after.server - before.server) * 1024) / row.connected),
        storm ?? '',
        row.storm ? number(row.storm.residentMib.server) : '',
        row.storm ? troubles(row.storm) : '',
      ];
    });
  const columns = [
    'test',
    'who',
    'connected',
    'MiB before → after',
    'KiB each',
    'storm',
    'MiB after it',
    'trouble',
  ];
  return `## Sockets\n\n${table(columns, rows)}`;
}

function pieces(run) {
  const micros = run.rows
    .filter((row) => row.peer === 'criterion')
    .map((row) => [row.test, `${number(row.micros)}${isNoisy(row) ? ' ‡' : ''}`]);
  const uploads = run.rows
    .filter((row) => row.ms !== undefined)
    .map((row) => [`${row.peer}: ${row.test} (${Math.round(row.bytes / 1024)} KiB)`, number(row.ms * 1000)]);
  return `## Single pieces\n\nMedians by criterion (\`host/benches/hot.rs\`).\n\n${table(['piece', 'µs'], [...micros, ...uploads])}`;
}

function verdicts(run) {
  const bound = (goal, index) => {
    const value = goal.bounds[index];
    if (value === null) return '–';
    if (value === Infinity) return 'all back';
    const parts = Math.round(1 / value);
    const shown = parts > 2 && Math.abs(1 / value - parts) < 1e-9 ? `1/${parts}` : Number(value.toFixed(2));
    return `${goal.sign > 0 ? '≥' : '≤'} ${shown}`;
  };
  const rows = judge(run).map((goal) => [
    goal.measure,
    bound(goal, 0),
    bound(goal, 1),
    number(goal.oursValue),
    number(goal.besideValue),
    number(goal.ratio),
    goal.met,
  ]);
  const columns = ['measure', 'floor', 'goal', 'ours', 'Node, or as said', 'ratio, or beyond', 'met'];
  return `## What is to hold

Goals that are missed are **short**; floor: the goal is missed, the floor is not. Flat growth within 1.5 × and 1.1 × is the
same as at most, or at least the inverse, of the smallest size.

${table(columns, rows)}`;
}
