/** What Postgres alone does with the reference peer's tables, by pgbench: what bounds anyone. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { watched } from './accounts.mjs';

const DATABASE = 'limits';
const TEXT = 'lorem ipsum dolor sit amet '.repeat(4).slice(0, 100);
const NOTE = JSON.stringify({ from: 'x', preview: TEXT.slice(0, 80) });

/** Ids as servers make them, so that the primary key grows on the right. */
const IDS = `
create function new_id() returns uuid language sql volatile as $$
  select encode(overlay(uuid_send(gen_random_uuid())
    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
    from 1 for 6), 'hex')::uuid
$$`;

/** A message and its notification, as the reference peer stores them. */
const ONE = `
\\set a random(1, 200)
\\set b random(1, 200)
with message as (
  select new_id() id
), notification as (
  insert into notifications (org_id, email, kind, ref_id, body)
  select 'org-a', 'u' || :b || '@load.test', 'newMessage', id, '${NOTE}' from message
)
insert into dm_messages (id, org_id, from_email, to_email, content)
select id, 'org-a', 'u' || :a || '@load.test', 'u' || :b || '@load.test', '${TEXT}' from message
returning created_at;`;

/** So many of them in one statement. */
const many = (count) => `
with message as materialized (
  select new_id() id, 'u' || (random() * 200)::int || '@load.test' f, 'u' || (random() * 200)::int || '@load.test' t
  from generate_series(1, ${count})
), notification as (
  insert into notifications (org_id, email, kind, ref_id, body)
  select 'org-a', t, 'newMessage', id, '${NOTE}' from message
)
insert into dm_messages (id, org_id, from_email, to_email, content)
select id, 'org-a', f, t, '${TEXT}' from message
returning created_at;`;

const EMPTY = 'insert into one values (1);';

export async function measureLimits(run) {
  await run.database(DATABASE);
  const schema = readFileSync(join(import.meta.dirname, '../peer/schema.sql'), 'utf8');
  await run.sql(DATABASE, `${schema}; ${IDS}; create table one (id bigint)`);
  const tests = [
    ['commit of one small row', EMPTY, 1, 1],
    ['commit of one small row', EMPTY, 16, 1],
    ...[1, 16, 64].map((clients) => ['one message a statement', ONE, clients, 1]),
    ['16 messages a statement', many(16), 4, 16],
    ['64 messages a statement', many(64), 4, 64],
  ];
  const scripts = mkdtempSync(join(run.directory, 'pgbench-'));
  for (const [name, statement, clients, rows] of tests) {
    const script = join(scripts, 'script.sql');
    writeFileSync(script, `${statement}\n`);
    await run.inRounds((round) => pgbench(run, limit(name, clients), script, [clients, rows, round]));
  }
}

export const limit = (name, clients) => `${name}, ${clients} at once`;

async function pgbench(run, test, script, [clients, rows, round]) {
  const options = ['-n', '-M', 'prepared', '-c', `${clients}`, '-j', '1', '-T', `${run.secs}`, '-f', script];
  const { result: said, cpu } = await watched(run, () =>
    run.postgres.program('pgbench', ...options, DATABASE),
  );
  const number = (pattern) => Number(pattern.exec(said)[1]);
  const perSecond = number(/^tps = ([\d.]+)/m) * rows;
  const latency = { mean: number(/^latency average = ([\d.]+) ms/m) };
  run.add('Postgres alone', test, { perSecond, latency, cpu }, round);
  run.say(`  Postgres alone: ${test}: ${Math.round(perSecond)}/s`);
}
