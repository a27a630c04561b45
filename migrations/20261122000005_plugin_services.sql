-- What a plugin keeps: keys and values of its own, which outlive its versions.
create table plugin_kv (
    org_id     uuid               not null,
    plugin_id  uuid               not null,
    key        text collate "C"   not null,
    value      bytea              not null,
    -- Goes up with each write. A key that was removed never gets an old one again.
    revision   bigint             not null,
    -- What the entry counts in the plugin's usage.
    bytes      bigint             not null,
    -- Null: it stays. After this the entry reads as absent.
    expires_at timestamptz,
    primary key (org_id, plugin_id, key),
    foreign key (org_id, plugin_id) references plugins on delete cascade
) with (fillfactor = 70);

create index plugin_kv_by_expiry on plugin_kv (org_id, plugin_id, expires_at)
    where expires_at is not null;

-- How much of that there is, so that no write has to count. Whoever makes or removes an
-- entry, or changes its size, holds this row's lock.
create table plugin_kv_usage (
    org_id    uuid   not null,
    plugin_id uuid   not null,
    keys      bigint not null default 0,
    bytes     bigint not null default 0,
    -- The highest revision of any entry that was removed.
    revision  bigint not null default 0,
    primary key (org_id, plugin_id),
    foreign key (org_id, plugin_id) references plugins on delete cascade
) with (fillfactor = 50);

-- Values that only requests of a plugin can spend, sealed under a key of the server.
create table plugin_secrets (
    org_id     uuid        not null,
    plugin_id  uuid        not null,
    name       text        not null,
    -- Where the value may go.
    hosts      text[]      not null,
    ciphertext bytea       not null,
    nonce      bytea       not null,
    -- Which server key sealed it.
    key_id     text        not null,
    created_at timestamptz not null default now(),
    primary key (org_id, plugin_id, name),
    foreign key (org_id, plugin_id) references plugins on delete cascade
);
