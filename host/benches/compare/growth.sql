-- What a server has stored after a while: `messages` messages of the org `org`, and a tenth of that in one
-- long thread. One person has 10 000 threads, and everything in them is unread: up to 100 000 messages. All
-- other messages lie in threads of ten and are read. One came every tenth of a second.
set work_mem = '256MB';
select (extract(epoch from now()) * 1000)::bigint - 200 * :messages - 3600000 as start \gset

begin;

create temporary table person as
select number, md5('person' || number)::uuid as id,
    case when number = 0 then 'reader' else 'p' || number end || '@load.test' as email
from generate_series(0, 10000) as number;
create index on person (number);

insert into users (org_id, id, email, email_key)
select :'org'::uuid, id, email, email
from person;

-- A message's number is its place among all of them; one is stored each millisecond.
create function pg_temp.message_id(number bigint) returns uuid language sql immutable
    return (lpad(to_hex(number), 12, '0') || '7' || substr(md5(number::text), 1, 3)
        || '8' || substr(md5(number::text), 4, 15))::uuid;

-- As `ThreadId::of` has it.
create function pg_temp.thread_id(one uuid, other uuid) returns uuid language plpgsql immutable as $$
declare
    hash bytea := sha256(uuid_send(least(one, other)) || uuid_send(greatest(one, other)));
begin
    hash := set_byte(hash, 6, get_byte(hash, 6) & 15 | 128);
    hash := set_byte(hash, 8, get_byte(hash, 8) & 63 | 128);
    return encode(substring(hash for 16), 'hex')::uuid;
end
$$;

-- The threads: the messages of each are `step` numbers apart, from `first` on.
create temporary table thread as
with pair (one, other, first, step, size, unread) as (
    select 0, peer, peer::bigint, 10000, (least(:messages, 100000) - peer) / 10000 + 1, true
    from generate_series(1, 10000) as peer
    union all
    select
        1 + number % 10000, 1 + (number % 10000 + 1 + number / 10000) % 10000,
        100001 + 10 * number::bigint, 1, 10, false
    from generate_series(0, (:messages - 100000) / 10 - 1) as number
    union all
    select 1, 5001, :messages + 1::bigint, 1, :messages / 10, false
)
select
    pg_temp.thread_id(one.id, other.id) as id, one.id as one, other.id as other,
    :start + 100 * first as first, 100 * step as step, size, unread,
    pg_temp.message_id(:start + 100 * (first + (size - 1) * step)) as last_message_id
from pair
join person as one on one.number = pair.one
join person as other on other.number = pair.other;

-- What is unread comes from the other; else they take turns.
create temporary table sent as
select
    thread.id as thread_id, seq, number, unread,
    pg_temp.message_id(number) as id,
    to_timestamp(number / 1000.0) as created_at,
    case when unread or seq % 2 = 0 then other else one end as sender_id,
    case when unread or seq % 2 = 0 then one else other end as recipient_id
from thread
cross join generate_series(1, size) as seq
cross join lateral (select first + (seq - 1) * step as number) as numbered;

insert into threads (org_id, id, last_seq)
select :'org'::uuid, id, size
from thread;

insert into thread_states
    (org_id, user_id, thread_id, peer_id, given_seq, former_given_seq, read_seq, unread_count,
     last_message_id, active_id, active_second, opened)
select :'org'::uuid, one, id, other, size, size - 1,
    case when unread then 0 else size end, case when unread then size else 0 end,
    last_message_id, last_message_id, (first + (size - 1) * step) / 1000, not unread
from thread
union all
select :'org'::uuid, other, id, one, size, size - 1, case when unread then 0 else size end, 0,
    last_message_id, last_message_id, (first + (size - 1) * step) / 1000, unread
from thread;

insert into messages
    (org_id, id, thread_id, seq, sender_id, recipient_id, request_hash, content, content_type,
     created_at, read_at)
select :'org'::uuid, id, thread_id, seq, sender_id, recipient_id, sha256(uuid_send(id)),
    rpad('', 100, 'lorem ipsum dolor sit amet '), 'text',
    created_at, case when not unread then created_at end
from sent
order by number;

insert into notifications (org_id, user_id, id, created_at, read_at)
select :'org'::uuid, recipient_id, id, created_at, case when not unread then created_at end
from sent
order by number;

create temporary table change as
select
    user_id, id, created_at, unread,
    row_number() over (partition by user_id order by number) as position
from (
    select sender_id as user_id, id, number, created_at, false as unread from sent
    union all
    select recipient_id, id, number, created_at, unread from sent
) as side;

insert into changes (org_id, user_id, position, kind, message_id, created_at)
select :'org'::uuid, user_id, position, 'message', id, created_at
from change
order by created_at;

insert into user_states (org_id, user_id, position, unread_count)
select :'org'::uuid, user_id, count(*), count(*) filter (where unread)
from change
group by user_id;

commit;

vacuum (analyze) messages, threads, thread_states, user_states, changes, notifications, users;
checkpoint;
