-- A plugin as an org has installed it.
create table plugins (
    org_id         uuid        not null references orgs on delete cascade,
    id             uuid        not null,
    name           text        not null,
    config         jsonb       not null default '{}',
    on_fault       text        not null default 'reject' check (on_fault in ('allow', 'reject')),
    -- The version that decides; null: none does.
    active_version bytea,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    primary key (org_id, id),
    constraint plugins_name_key unique (org_id, name)
);

-- What was uploaded: immutable, named by its SHA-256.
create table plugin_versions (
    org_id      uuid        not null,
    plugin_id   uuid        not null,
    sha256      bytea       not null,
    component   bytea       not null,
    -- What the check found: hooks, imports, sizes.
    report      jsonb       not null,
    uploaded_by uuid        not null,
    created_at  timestamptz not null default now(),
    primary key (org_id, plugin_id, sha256),
    foreign key (org_id, plugin_id) references plugins on delete cascade
);

alter table plugins
    add constraint plugins_active_version_fkey
    foreign key (org_id, id, active_version) references plugin_versions (org_id, plugin_id, sha256);
