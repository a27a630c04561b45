-- Every table is led by `org_id`, so that Postgres sharded by org stays open.
-- Times are UTC. The tables that the writer touches for every message have no foreign
-- keys: its one statement makes each row together with what the row refers to.

create table orgs (
    org_id            uuid        not null primary key,
    slug              text        not null,
    name              text        not null,
    -- What the org changed; absent fields take the server's defaults.
    settings          jsonb       not null default '{}',
    -- Counts every change of the org, its keys, plugins and revocations.
    revision          bigint      not null default 0,
    suspended_at      timestamptz,
    -- Tokens issued before this are refused.
    tokens_valid_from timestamptz,
    created_at        timestamptz not null default now(),
    constraint orgs_slug_key unique (slug)
);

create table org_keys (
    org_id      uuid        not null references orgs on delete cascade,
    id          uuid        not null,
    kind        text        not null check (kind in ('secret', 'public', 'jwks')),
    algorithm   text,
    kid         text,
    -- The secret, the PEM text or the URL.
    material    bytea       not null,
    fingerprint bytea       not null,
    issuer      text,
    audience    text,
    may_admin   boolean     not null default false,
    not_before  timestamptz,
    not_after   timestamptz,
    retired_at  timestamptz,
    created_at  timestamptz not null default now(),
    primary key (org_id, id)
);

-- The keys last seen behind a JWKS address.
create table jwks_keys (
    org_id      uuid  not null,
    key_id      uuid  not null,
    fingerprint bytea not null,
    primary key (org_id, key_id, fingerprint),
    foreign key (org_id, key_id) references org_keys on delete cascade
);

-- These two alone are not led by the org: they answer which orgs hold a key.
create index org_keys_by_fingerprint on org_keys (fingerprint);
create index jwks_keys_by_fingerprint on jwks_keys (fingerprint);

create table users (
    org_id             uuid        not null references orgs on delete cascade,
    id                 uuid        not null,
    -- As its owner writes it, and as it compares.
    email              text        not null,
    email_key          text        not null,
    -- Null until the person first signs in.
    issuer             text,
    subject            text,
    -- The subject was taken from the e-mail, for want of a `sub`.
    subject_is_email   boolean     not null default false,
    -- When the token was issued that gave the e-mail: an older one does not take it back.
    email_as_of        timestamptz,
    kind               text        not null default 'customer' check (kind in ('customer', 'staff')),
    name               text,
    picture            text,
    zoneinfo           text,
    locale             text,
    tokens_valid_from  timestamptz,
    first_seen_at      timestamptz,
    last_seen_at       timestamptz,
    created_at         timestamptz not null default now(),
    primary key (org_id, id),
    constraint users_email_key unique (org_id, email_key),
    constraint users_subject_key unique (org_id, issuer, subject)
);

-- One row a person: where their changes have got to, and their badge.
create table user_states (
    org_id          uuid   not null,
    user_id         uuid   not null,
    position        bigint not null default 0,
    -- Changes at or below this have been removed.
    pruned_position bigint not null default 0,
    unread_count    bigint not null default 0,
    primary key (org_id, user_id)
) with (fillfactor = 50);

create table threads (
    org_id   uuid   not null,
    id       uuid   not null,
    last_seq bigint not null,
    primary key (org_id, id)
) with (fillfactor = 50);

-- One row a person and thread: what a list of threads shows.
create table thread_states (
    org_id           uuid        not null,
    user_id          uuid        not null,
    thread_id        uuid        not null,
    peer_id          uuid        not null,
    -- The highest seq that this person has been given, and the one before the last batch.
    given_seq        bigint      not null,
    former_given_seq bigint      not null default 0,
    -- Everything received at or below this is read.
    read_seq         bigint      not null default 0,
    unread_count     bigint      not null default 0,
    -- The newest visible message that is no tombstone.
    last_message_id  uuid,
    -- Orders the list: the last message given, deleted or not.
    active_id        uuid        not null,
    -- This person wrote first.
    opened           boolean     not null,
    created_at       timestamptz not null default now(),
    primary key (org_id, user_id, thread_id)
) with (fillfactor = 70);

create index thread_states_by_activity on thread_states (org_id, user_id, active_id desc);

create table messages (
    org_id               uuid        not null,
    id                   uuid        not null,
    thread_id            uuid        not null,
    -- Null while a message is held.
    seq                  bigint,
    sender_id            uuid        not null,
    recipient_id         uuid        not null,
    client_id            text,
    request_hash         bytea       not null,
    content              text        not null,
    content_type         text        not null,
    attachments          jsonb       not null default '[]',
    metadata             jsonb       not null default '{}',
    reply_to             uuid,
    state                text        not null default 'sent' check (state in ('sent', 'held', 'refused')),
    hidden_for_sender    boolean     not null default false,
    hidden_for_recipient boolean     not null default false,
    created_at           timestamptz not null,
    edited_at            timestamptz,
    deleted_at           timestamptz,
    read_at              timestamptz,
    primary key (org_id, id)
) with (fillfactor = 85);

create unique index messages_seq_key on messages (org_id, thread_id, seq);

-- A retried send finds the first message instead of making a second.
create unique index messages_client_id_key on messages (org_id, sender_id, client_id)
    where client_id is not null;

-- The one rule of who may know of a message; `Message::visible_to` is its twin.
create function visible(reader uuid, message messages) returns boolean
    language sql immutable
    return (reader = message.sender_id and not message.hidden_for_sender)
        or (reader = message.recipient_id and not message.hidden_for_recipient and message.state = 'sent');

-- What each person's apps must learn, in the order of commits.
create table changes (
    org_id     uuid        not null,
    user_id    uuid        not null,
    position   bigint      not null,
    kind       text        not null,
    message_id uuid,
    -- What the kind needs beside the message.
    detail     jsonb,
    created_at timestamptz not null default now(),
    primary key (org_id, user_id, position)
);

create index changes_by_time on changes using brin (org_id, created_at);

-- One for each message, under the message's id.
create table notifications (
    org_id            uuid        not null,
    user_id           uuid        not null,
    id                uuid        not null,
    -- Null where the message speaks for itself; a plugin may put its own words here.
    title             text,
    body              text,
    data              jsonb,
    suppressed_reason text,
    created_at        timestamptz not null default now(),
    read_at           timestamptz,
    primary key (org_id, user_id, id)
);
