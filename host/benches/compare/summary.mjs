/** Of these no round may be outvoted. */
const WORST = ['lost', 'duplicates', 'outOfOrder', 'foreign', 'closedWhileIdle', 'errors', 'others'];

/** One row of several rounds: the median of each figure, and the most of what went wrong. */
export const summary = (rounds) => merged(rounds, median);

function merged(values, take) {
  const [first] = values;
  if (typeof first === 'number') return take(values);
  if (typeof first !== 'object' || first === null) return first;
  const names = new Set(values.flatMap((value) => Object.keys(value ?? {})));
  const of = (name) => values.map((value) => value?.[name]).filter((value) => value !== undefined);
  const entries = [...names].map((name) => [name, merged(of(name), WORST.includes(name) ? most : take)]);
  return Array.isArray(first) ? first : Object.fromEntries(entries);
}

const most = (values) => Math.max(...values);

function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
