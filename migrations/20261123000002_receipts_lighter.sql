-- A receipt is written with each message of an org that has plugins, so it is to cost little: one
-- index for most, no look at `orgs`, and no JSON that Postgres would take apart for nobody.
alter table receipts
    drop constraint receipts_org_id_fkey,
    drop constraint receipts_pkey,
    alter column calls type bytea using convert_to(calls::text, 'UTF8');

drop index receipts_by_message;

-- A receipt has at least one of the two; both are UUIDv7, so what is old comes first.
create unique index receipts_by_subject on receipts (org_id, (coalesce(message_id, request_id)), id);

drop index receipts_by_request;
create index receipts_by_refused_edit on receipts (org_id, request_id, id)
    where request_id is not null and message_id is not null;
