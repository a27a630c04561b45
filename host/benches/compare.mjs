/**
 * Measures the server beside a Node service and beside Postgres alone, all in one run, and writes what came
 * out to `RESULTS.md`. See `--help`, and `make bench`, which builds what this needs.
 */
import { parseArgs } from 'node:util';

import { measureGrowth } from './compare/growth.mjs';
import { measureHooks } from './compare/hooks.mjs';
import { measureHot } from './compare/hot.mjs';
import { measureLimits } from './compare/limits.mjs';
import { measurePeers } from './compare/peers.mjs';
import { writeReport } from './compare/report.mjs';
import { Run } from './compare/run.mjs';

const PARTS = {
  limits: measureLimits,
  peers: measurePeers,
  hooks: measureHooks,
  growth: measureGrowth,
  hot: measureHot,
};

const HELP = `usage: compare.mjs [OPTIONS]

  --secs N       how long each rate is measured, in each round (5)
  --rounds N     how often (3); the report has the medians
  --idle N       idle sockets (10000)
  --growth N     stored messages at most, from 10000 in tenfold steps (1000000)
  --parts A,B    of ${Object.keys(PARTS)} (all)
  --rows FILE    go on with the rows of an earlier run: what is measured again replaces them
                 (limits and peers belong together: measure both again, or none)
  --smoke        as short and small as can be, to see that all of it runs; the report stays beside the rows

Environment: DUOLOGUE_BIN, the server (target/release/duologue); DUOLOGUE_BENCH_DIR, where Postgres keeps its
data and the rows are left (/var/tmp).`;

const { values } = parseArgs({
  options: {
    secs: { type: 'string' },
    rounds: { type: 'string' },
    idle: { type: 'string' },
    growth: { type: 'string' },
    parts: { type: 'string', default: Object.keys(PARTS).join() },
    rows: { type: 'string' },
    smoke: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit();
}
const parts = values.parts.split(',');
const unknown = parts.filter((part) => !PARTS[part]);
if (unknown.length > 0) {
  console.error(`no such part: ${unknown}; there are ${Object.keys(PARTS)}`);
  process.exit(2);
}

const run = await Run.start(values);
try {
  for (const part of parts) {
    run.say(`part ${part}`);
    await PARTS[part](run);
  }
} finally {
  await run.stop();
}
run.say(`rows: ${run.rowsFile}`);
run.say(`report: ${await writeReport(run)}`);
