-- What plugins of the hook `on-notify` make of a notification. The row itself is the task.
alter table notifications
    -- When a server is to look at it next: to ask plugins, or to tell a person who was to be told
    -- later. Whoever takes it on moves this ahead. Null: there is nothing left to do.
    add column due_at    timestamptz,
    -- Plugins are still to be asked.
    add column undecided boolean not null default false,
    -- How often it was taken on.
    add column attempts  integer not null default 0,
    -- Where a plugin said so.
    add column priority  text    check (priority in ('low', 'normal', 'high')),
    -- The ways by which it goes out; null: all.
    add column channels  text[];

create index notifications_due on notifications (org_id, due_at) where due_at is not null;
