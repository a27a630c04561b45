import assert from 'node:assert/strict';
import test from 'node:test';

import { judge } from '../host/benches/compare/goals.mjs';

const SENDS = 'REST sends, 64 clients';
const QUIET = { others: 0.05, server: { micros: 10 }, postgres: { micros: 10 } };

/** What is said of `REST sends/s, 64 clients` and the line `name` after a run with these rows. */
function said(rows, name = 'REST sends/s, 64 clients') {
  const row = (peer, test) => rows.find((row) => row.peer === peer && row.test === test);
  return judge({ row }).find((goal) => goal.measure.startsWith(name)).met;
}

const sent = (peer, perSecond, more) => ({ peer, test: SENDS, perSecond, cpu: QUIET, errors: {}, ...more });

test('a goal is told as met, as its floor alone, or as missed', () => {
  const beside = sent('Node', 1000);

  assert.equal(said([beside, sent('ours', 3000)]), 'goal');
  assert.equal(said([beside, sent('ours', 2999)]), 'floor');
  assert.equal(said([beside, sent('ours', 1999)]), '**short**');
});

test('what has a goal and no floor is met or missed', () => {
  const alone = {
    peer: 'Postgres alone',
    test: 'one message a statement, 64 at once',
    perSecond: 1000,
    cpu: QUIET,
  };
  const name = 'the same, beside one message a statement';

  assert.equal(said([alone, sent('ours', 1800)], name), 'goal');
  assert.equal(said([alone, sent('ours', 1799)], name), '**short**');
});

test('a row is not judged while others use the machine, whoever it is about', () => {
  const noisy = { cpu: { ...QUIET, others: 0.11 } };

  assert.match(said([sent('Node', 1000), sent('ours', 9000, noisy)]), /not judged/);
  assert.match(said([sent('Node', 1000, noisy), sent('ours', 9000)]), /not judged/);
});

test('errors of ours are no rate', () => {
  const failing = { errors: { 'status 503': 1 } };

  assert.match(said([sent('Node', 1000), sent('ours', 9000, failing)]), /short.*errors/);
  assert.equal(said([sent('Node', 1000, failing), sent('ours', 9000)]), 'goal');
});

test('messages out of order are no rate either', () => {
  const pairs = (peer, perSecond, outOfOrder) => ({
    ...sent(peer, perSecond),
    ...{ test: '50 pairs, 4 in flight', lost: 0, duplicates: 0, foreign: 0, outOfOrder },
  });
  const name = 'socket to socket/s';

  assert.equal(said([pairs('Node', 1000, 50), pairs('ours', 3000, 0)], name), 'goal');
  assert.match(said([pairs('Node', 1000, 50), pairs('ours', 3000, 1)], name), /short.*out of order/);
});

test('growth is judged at the size at which it came out worst', () => {
  const at = (size, perSecond) => sent('ours, growth', perSecond, { test: `${size} messages: ${SENDS}` });
  const name = `rate, /s: ${SENDS}`;

  assert.equal(said([at(10_000, 1000), at(100_000, 990), at(1_000_000, 920)], name), 'goal');
  assert.equal(said([at(10_000, 1000), at(100_000, 700), at(1_000_000, 920)], name), 'floor');
});

test('what was not measured is neither met nor missed', () => {
  assert.equal(said([sent('ours', 9000)]), 'not measured');
});
