-- What plugins are to be told of, one row a plugin and event: written with what happened, gone
-- once the plugin has been told. Like the messages' own tables it has no foreign keys.
create table plugin_events (
    org_id    uuid        not null,
    id        uuid        not null,
    plugin_id uuid        not null,
    -- What happened: its `kind`, ids and words of plugins, never content.
    what      jsonb       not null,
    -- How many plugins' messages, each an answer to the one before, led to it.
    depth     smallint    not null,
    at        timestamptz not null default now(),
    -- When it is told next; whoever tells it moves this on by the time that it may take.
    due_at    timestamptz not null default now(),
    -- How often it has been told, the running call included.
    attempts  integer     not null default 0,
    primary key (org_id, id)
);

create index plugin_events_due on plugin_events (org_id, due_at);

-- Which messages plugins sent, so that none is told of its own, and answers to answers end.
create table plugin_messages (
    org_id     uuid     not null,
    message_id uuid     not null,
    plugin_id  uuid     not null,
    depth      smallint not null,
    primary key (org_id, message_id)
);
