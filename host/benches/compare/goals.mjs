/** What the product is to reach, and whether a run's rows show it. Nothing here is typed in after a run. */
import { PEER as GROWN, SMALLEST, TESTS as GROWTH, sizes, testOf } from './growth.mjs';
import { UPLOAD, ours as plugged, title } from './hooks.mjs';
import { limit } from './limits.mjs';
import { isNoisy } from './load.mjs';
import { RATE, sends } from './peers.mjs';

/** From so many milliseconds of a lone commit to a lone message's p50. */
const BEYOND_A_COMMIT_MS = 1;

const rate = (row) => row.perSecond;
const p50 = (row) => row.latency?.p50;
const p99 = (row) => row.latency?.p99;
const serverCpu = (row) => row.cpu.server.micros;
const postgresCpu = (row) => row.cpu.postgres.micros;
const hookedCpu = (row) => row.cpu.server.micros + (row.cpu.hook?.micros ?? 0);

const memory = (row) => {
  const { before, after } = row.residentMib;
  return ((after.server - before.server) * 1024) / row.connected;
};
const isSound = (row) =>
  row.lost + row.duplicates + row.outOfOrder + row.foreign === 0 || 'lost, repeated or out of order';
const allBack = ({ storm, closedWhileIdle }) =>
  (storm.stayed === storm.dropped && closedWhileIdle === 0) || 'not all stayed, or were back';

/**
 * One line: `value` of `ours` over that of `beside`, each a peer and a test, is at least or at most `floor`
 * and `goal`. `holds` answers true, or what is wrong with ours; `besideValue` is the value of the other where
 * it is another one, and `compare` what of both is held to the bounds, where that is no ratio.
 */
const atLeast = (measure, ours, beside, value, bounds) => ({ measure, ours, beside, value, bounds, sign: 1 });
const atMost = (measure, ours, beside, value, bounds) => ({ measure, ours, beside, value, bounds, sign: -1 });
const both = (test) => [
  ['ours', test],
  ['Node', test],
];
const plugin = (name, test) => [plugged(name), test];

function goals() {
  const single = ['Postgres alone', limit('one message a statement', 64)];
  return [
    atLeast('REST sends/s, 64 clients', ...both(sends(64)), rate, [2, 3]),
    atLeast('the same, beside one message a statement by pgbench', ['ours', sends(64)], single, rate, [
      null,
      1.8,
    ]),
    atLeast(
      'REST sends/s, 256 clients, beside Node at 64',
      ['ours', sends(256)],
      ['Node', sends(64)],
      rate,
      [2.5, 4],
    ),
    {
      ...atLeast(
        'socket to socket/s, 50 pairs × 4 in flight',
        ...both('50 pairs, 4 in flight'),
        rate,
        [2, 3],
      ),
      holds: isSound,
    },
    atMost('server CPU a message, µs', ...both(sends(64)), serverCpu, [1 / 4, 1 / 6]),
    atMost('Postgres CPU a message, µs', ...both(sends(64)), postgresCpu, [0.5, 0.35]),
    { ...atMost('p99 at 500/s over 100 pairs, ms', ...both(RATE), p99, [0.7, 0.5]), holds: isSound },
    {
      ...atMost(
        'p50 at 500/s, ms, beside one lone commit + 1 ms',
        ['ours', RATE],
        ['Postgres alone', limit('commit of one small row', 1)],
        p50,
        [null, 1],
      ),
      besideValue: (row) => row.latency.mean + BEYOND_A_COMMIT_MS,
    },
    atLeast('thread lists/s', ...both('read threads'), rate, [2, 4]),
    atLeast('history pages/s', ...both('read history'), rate, [2, 3]),
    atLeast('unread counts/s', ...both('read unread'), rate, [2, 3]),
    atMost('memory an idle socket, KiB', ...both('idle sockets'), memory, [1 / 2, 1 / 3]),
    atLeast('connects/s', ...both('idle sockets'), rate, [3, 5]),
    atLeast('reconnects/s in a storm', ...both('idle sockets'), (row) => row.storm.perSecond, [3, 5]),
    {
      ...atMost(
        'memory after a storm of reconnects, beside before, MiB',
        ['ours', 'idle sockets'],
        ['ours', 'idle sockets'],
        (row) => row.storm.residentMib.server,
        [Infinity, 1.2],
      ),
      besideValue: (row) => row.residentMib.after.server,
      holds: allBack,
    },
    atMost('CPU a connect, all in one org, µs', ...both('sockets in one org'), serverCpu, [1 / 4, 1 / 8]),
    ...['link-guard', 'no-receipts'].flatMap((org) => [
      atMost(
        `server CPU a message with a hook (${title(org)}; webhook), µs`,
        plugin(org, sends(64)),
        ['Node, webhook', sends(64)],
        hookedCpu,
        [1 / 5, 1 / 10],
      ),
      atLeast(
        `REST sends/s, 256 clients, with the ${title(org)}, beside none`,
        plugin(org, sends(256)),
        plugin('none', sends(256)),
        rate,
        [null, 0.85],
      ),
    ]),
    atMost(
      'p50 at 500/s with the link guard, ms, beside none',
      plugin('link-guard', RATE),
      plugin('none', RATE),
      p50,
      [null, 1.1],
    ),
  ];
}

/** A test at the size at which it came out worst, beside the smallest size. */
function growthGoals(run) {
  const measured = (test) =>
    sizes(1e12)
      .slice(1)
      .filter((size) => run.row(GROWN, testOf(size, test)));
  return Object.entries(GROWTH).map(([test, [kind]]) => {
    const name = `${kind === 'p99' ? 'p99, ms' : 'rate, /s'}: ${test}`;
    const [make, value, bounds] =
      kind === 'p99' ? [atMost, p99, [1.5, 1.1]] : [atLeast, rate, [1 / 1.5, 1 / 1.1]];
    const smallest = [GROWN, testOf(SMALLEST, test)];
    const goal = (size) => make(name, [GROWN, testOf(size, test)], smallest, value, bounds);
    const candidates = measured(test).map((size) => ({ size, ...judged(run, goal(size)) }));
    const [worst] = candidates.sort((one, other) => goal(0).sign * (one.ratio - other.ratio));
    if (!worst) return judged(run, goal(SMALLEST * 10));
    return { ...worst, measure: `${name}, ${worst.size} stored, beside ${SMALLEST}` };
  });
}

/** What single pieces may cost by themselves, or beyond the same without them. */
function pieceGoals() {
  const micros = (row) => row.micros;
  const piece = (name) => ['criterion', `hook call/${name}`];
  const most = (measure, ours, beside, value, bound) => ({
    ...atMost(measure, ours, beside, value, [bound, bound]),
    compare: (own, other) => own - other,
  });
  const alone = { besideValue: () => 0 };
  const upload = [plugged('word-filter'), UPLOAD];
  return [
    {
      ...most('hooks of an org without plugins, µs', piece('no plugin'), piece('no plugin'), micros, 1),
      ...alone,
    },
    most(
      'hook call, Rust link guard, µs beyond no plugin',
      piece('rust, link guard'),
      piece('no plugin'),
      micros,
      20,
    ),
    most('hook call, JavaScript, µs beyond no plugin', piece('javascript'), piece('no plugin'), micros, 300),
    { ...most('from upload to active, ms', upload, upload, (row) => row.ms, 1000), ...alone },
  ];
}

/** Every goal with what came out: both values, their ratio, and `met`. */
export const judge = (run) => [
  ...goals().map((goal) => judged(run, goal)),
  ...growthGoals(run),
  ...pieceGoals().map((goal) => judged(run, goal)),
];

function judged(run, goal) {
  const { value, besideValue = value, compare = (own, other) => own / other, sign, bounds } = goal;
  const [ours, beside] = [run.row(...goal.ours), run.row(...goal.beside)];
  if (!ours || !beside) return { ...goal, besideValue: null, met: 'not measured' };
  const result = { ...goal, oursValue: value(ours), besideValue: besideValue(beside) };
  result.ratio = compare(result.oursValue, result.besideValue);
  if (isNoisy(ours) || isNoisy(beside)) return { ...result, met: 'not judged: others used the machine' };
  const errors = [ours.errors, ours.storm?.errors].some((errors) => Object.keys(errors ?? {}).length > 0);
  const wrong = errors ? 'errors' : goal.holds && goal.holds(ours) !== true && goal.holds(ours);
  if (wrong) return { ...result, met: `**short**: ${wrong}` };
  const [floor, aim] = bounds.map((bound) => bound === null || sign * (result.ratio - bound) >= 0);
  return { ...result, met: aim && floor ? 'goal' : floor && bounds[0] !== null ? 'floor' : '**short**' };
}
