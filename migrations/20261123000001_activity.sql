-- A thread's place in its persons' lists by the second of its last message, for the index alone:
-- with each message's id in it, no update of the row could do without new index entries.
alter table thread_states
    add column active_second bigint not null default 0;

-- The first 48 bits of a message's id are its milliseconds since 1970.
update thread_states
set active_second =
    ('x' || substr(replace(active_id::text, '-', ''), 1, 12))::bit(48)::bigint / 1000;

alter table thread_states alter column active_second drop default;

drop index thread_states_by_activity;
create index thread_states_by_activity on thread_states (org_id, user_id, active_second desc);

-- Room in each page for the next version of a row.
alter table thread_states set (fillfactor = 50);
