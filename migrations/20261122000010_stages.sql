-- How a version is tried before it decides: a trial beside live messages, or a backtest over
-- stored ones.
create table plugin_runs (
    org_id     uuid        not null,
    id         uuid        not null,
    plugin_id  uuid        not null,
    sha256     bytea       not null,
    stage      text        not null check (stage in ('trial', 'backtest')),
    state      text        not null default 'running'
        check (state in ('running', 'finished', 'ended', 'broken_off')),
    -- The most messages that it is asked about.
    wanted     bigint      not null,
    asked      bigint      not null default 0,
    -- Messages of a trial that went by unasked.
    dropped    bigint      not null default 0,
    -- A backtest that goes by another configuration than the plugin's.
    own_config boolean     not null,
    started_by uuid        not null,
    started_at timestamptz not null default now(),
    -- When a server last said that it is at work.
    seen_at    timestamptz not null default now(),
    ended_at   timestamptz,
    primary key (org_id, id),
    foreign key (org_id, plugin_id, sha256)
        references plugin_versions (org_id, plugin_id, sha256) on delete cascade
);

create unique index plugin_runs_trial_key on plugin_runs (org_id, plugin_id)
    where stage = 'trial' and state = 'running';
create unique index plugin_runs_backtest_key on plugin_runs (org_id)
    where stage = 'backtest' and state = 'running';

-- What the version made of each message; never what a message says.
create table plugin_run_results (
    org_id         uuid        not null,
    run_id         uuid        not null,
    id             uuid        not null,
    -- What `subject_id` names: a message, a message that was edited, or a refusal.
    subject        text        not null check (subject in ('message', 'edit', 'refusal')),
    subject_id     uuid        not null,
    verdict        text        not null,
    fault          text,
    -- Null: the plugin had no active version that was asked.
    active_verdict text,
    agrees         boolean     not null,
    labels         jsonb       not null,
    changed        jsonb       not null,
    micros         bigint      not null,
    memory_bytes   bigint      not null,
    created_at     timestamptz not null default now(),
    primary key (org_id, run_id, id),
    foreign key (org_id, run_id) references plugin_runs on delete cascade
);

create index plugin_run_results_differing on plugin_run_results (org_id, run_id, id)
    where not agrees;

-- How what the version asked of the server was answered.
create table plugin_run_imports (
    org_id   uuid   not null,
    run_id   uuid   not null,
    import   text   not null,
    answered text   not null,
    count    bigint not null,
    primary key (org_id, run_id, import, answered),
    foreign key (org_id, run_id) references plugin_runs on delete cascade
);

-- Where plugins keep keys: each plugin's own store, and one that lies over it for a canary. What
-- is not in the upper one is read from the lower.
create table plugin_stores (
    org_id    uuid not null,
    -- A plugin's own has the plugin's id.
    id        uuid not null,
    plugin_id uuid not null,
    primary key (org_id, id),
    foreign key (org_id, plugin_id) references plugins on delete cascade
);

insert into plugin_stores (org_id, id, plugin_id)
select org_id, id, id
from plugins;

alter table plugin_kv
    drop constraint plugin_kv_org_id_plugin_id_fkey,
    add constraint plugin_kv_store_fkey
        foreign key (org_id, plugin_id) references plugin_stores on delete cascade;

alter table plugin_kv_usage
    drop constraint plugin_kv_usage_org_id_plugin_id_fkey,
    add constraint plugin_kv_usage_store_fkey
        foreign key (org_id, plugin_id) references plugin_stores on delete cascade;

-- A version that decides in a share of the threads; all null: none does.
alter table plugins
    add column canary_version bytea,
    add column canary_percent smallint check (canary_percent between 1 and 100),
    -- Where it keeps its keys.
    add column canary_store   uuid,
    add column canary_since   timestamptz,
    add constraint plugins_canary_version_fkey
        foreign key (org_id, id, canary_version)
        references plugin_versions (org_id, plugin_id, sha256);
