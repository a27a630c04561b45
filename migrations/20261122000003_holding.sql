-- What is not simply sent: held, shadowed and refused messages, and what reviewers do.

alter table messages
    -- Sent as its sender sees it; for everybody else it does not exist.
    add column shadowed         boolean not null default false,
    -- Why a held message was refused.
    add column refused_reason   text,
    -- An edit that waits for a review, beside what stands.
    add column pending_revision integer,
    -- What plugins noted about the newest revision (labels, steps), never content; null where none was asked.
    add column decision         jsonb;

create index messages_flagged on messages (org_id, id)
    where decision -> 'labels' <> '[]';

create or replace function visible(reader uuid, message messages) returns boolean
    language sql immutable
    return (reader = message.sender_id and not message.hidden_for_sender)
        or (reader = message.recipient_id and not message.hidden_for_recipient
            and message.state = 'sent' and not message.shadowed);

-- Each thing that waits, or waited, for a review: a message, or an edit of one.
-- Written with the message, so it has no foreign keys either.
create table held_messages (
    org_id     uuid        not null,
    -- In the order of holding.
    id         uuid        not null,
    message_id uuid        not null,
    -- 0 is the message as it was sent, n its n-th edit that was held.
    revision   integer     not null,
    -- An edit of a message that stands; else the message itself waits.
    is_edit    boolean     not null,
    thread_id  uuid        not null,
    sender_id  uuid        not null,
    cause      text        not null check (cause in ('verdict', 'fault')),
    plugin     text        not null,
    version    text        not null,
    reason     text        not null,
    -- Where it is released, it is shadowed.
    shadow     boolean     not null,
    -- What a pending edit wants; null for a message itself, and once the edit is decided.
    body       jsonb,
    decision   jsonb,
    -- What it takes to ask the plugins again: the door, and what the token said.
    asked      jsonb       not null,
    expires_at timestamptz,
    on_expiry  text        not null check (on_expiry in ('release', 'refuse')),
    -- How often the plugins have been asked, and when they are next where they gave no answer.
    attempts   integer     not null default 1,
    ask_at     timestamptz,
    state      text        not null default 'pending'
        check (state in ('pending', 'released', 'refused', 'withdrawn', 'superseded')),
    decided_at timestamptz,
    -- Null where nobody decided but the time, or plugins that were asked again.
    decided_by uuid,
    note       text,
    created_at timestamptz not null default now(),
    primary key (org_id, message_id, revision)
);

create unique index held_messages_pending_key on held_messages (org_id, message_id)
    where state = 'pending';
create index held_messages_queue on held_messages (org_id, id) where state = 'pending';
create index held_messages_decided on held_messages (org_id, id) where state <> 'pending';
create index held_messages_by_sender on held_messages (org_id, sender_id) where state = 'pending';
create index held_messages_expiring on held_messages (org_id, expires_at)
    where state = 'pending' and expires_at is not null;
create index held_messages_unanswered on held_messages (org_id, thread_id, message_id)
    where state = 'pending' and cause = 'fault';

-- Drafts and edits that plugins refused: why, never what they said.
create table refusals (
    org_id       uuid        not null references orgs on delete cascade,
    id           uuid        not null,
    sender_id    uuid        not null,
    recipient_id uuid        not null,
    -- The message that an edit was to change.
    message_id   uuid,
    reason       text        not null,
    decision     jsonb       not null,
    created_at   timestamptz not null,
    primary key (org_id, id)
);

-- Who did what to what. Ids sort by time.
create table audit_log (
    org_id     uuid        not null references orgs on delete cascade,
    id         uuid        not null,
    -- A user's id, or `system`.
    actor      text        not null,
    action     text        not null,
    subject    text        not null,
    detail     jsonb       not null,
    created_at timestamptz not null default now(),
    primary key (org_id, id)
);
