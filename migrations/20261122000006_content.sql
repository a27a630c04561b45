-- Content types that plugins own, or tighten.
alter table messages
    -- What lists show in the place of the content, as the owner of its type has it.
    add column preview text;

alter table plugins
    -- What a message meets where this plugin cannot say whether its content is valid.
    add column on_content_fault text not null default 'reject'
        constraint plugins_on_content_fault_check
        check (on_content_fault in ('allow', 'reject', 'hold'));
