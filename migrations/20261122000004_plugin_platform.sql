-- What interface 0.2 adds to installed plugins.
alter table plugins
    -- Transforms are asked before guards; within a phase the lower position first.
    add column phase            text    not null default 'transform',
    add column position         integer not null default 1,
    add column config_revision  bigint  not null default 1,
    -- The version that decided before the active one.
    add column previous_version bytea,
    -- What the org lets the plugin import beyond `log` and `config`, by name.
    add column grants           jsonb   not null default '{}',
    add column auto_rollback    boolean not null default false,
    add constraint plugins_phase_check check (phase in ('transform', 'guard')),
    add constraint plugins_previous_version_fkey
        foreign key (org_id, id, previous_version)
        references plugin_versions (org_id, plugin_id, sha256);

alter table plugins drop constraint plugins_on_fault_check;
alter table plugins
    add constraint plugins_on_fault_check check (on_fault in ('allow', 'reject', 'hold')),
    alter column on_fault set default 'hold';

-- Plugins so far were asked in the order of their first upload.
update plugins
set position = placed.position
from (
    select
        org_id, id,
        row_number() over (partition by org_id order by created_at, id) as position
    from plugins
) placed
where (plugins.org_id, plugins.id) = (placed.org_id, placed.id);
