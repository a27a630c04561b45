-- Decision receipts: what plugins were asked about a draft, what they were told and answered.
-- Written behind the answer; whoever writes or blanks them holds the thread's advisory lock.
create table receipts (
    org_id     uuid        not null references orgs on delete cascade,
    id         uuid        not null,
    thread_id  uuid        not null,
    -- Null: a draft that was refused, so that it never became a message.
    message_id uuid,
    -- What a refused sender read as `requestId`.
    request_id uuid,
    is_edit    boolean     not null,
    -- More than 1: the server had asked before.
    attempt    integer     not null,
    -- Who was asked, on what terms, and hashes; no content.
    calls      jsonb       not null,
    -- What may hold content, as a JSON text. Null: a message that it shows was deleted.
    content    bytea,
    -- The earlier messages that plugins were shown.
    shown      uuid[]      not null,
    created_at timestamptz not null,
    primary key (org_id, id)
);

create index receipts_by_message on receipts (org_id, message_id, id)
    where message_id is not null;
create index receipts_by_request on receipts (org_id, request_id, id)
    where request_id is not null;
create index receipts_with_history on receipts (org_id, thread_id) where shown <> '{}';

-- The configurations that receipts name, each once.
create table receipt_configs (
    org_id  uuid        not null references orgs on delete cascade,
    sha256  text        not null,
    config  jsonb       not null,
    -- Moved on once a day while receipts go on to name it.
    used_at timestamptz not null default now(),
    primary key (org_id, sha256)
);
