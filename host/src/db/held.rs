//! What waits, or has waited, for a review.

use std::time::Duration;

use serde_json::{Value as Json, json};
use sqlx::{PgConnection, types::Json as Column};
use time::OffsetDateTime;

use super::{
    DbError, OrgConn,
    batch::{Fate, NewMessage},
};
use crate::domain::{
    Decision, EntryId, Held, Hold, HoldCause, HoldState, Message, MessageId, OnExpiry, OrgId,
    PendingBody, ThreadId, UserId,
};

/// A hold on its way into the database.
#[derive(Clone, Debug)]
pub struct NewHold {
    pub hold: Hold,
    /// What it takes to ask the plugins again.
    pub asked: Json,
    /// How long plugins that gave no answer are left alone first.
    pub ask_after: Duration,
    pub quota: Quota,
}

/// How much may wait for a review; 0: any number.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    pub of_sender: u32,
    pub of_org: u32,
}

impl Quota {
    /// Whether one more may wait beside so many.
    pub fn admits(self, of_sender: i64, of_org: i64) -> bool {
        let has_room = |most: u32, waiting: i64| most == 0 || waiting < i64::from(most);
        has_room(self.of_sender, of_sender) && has_room(self.of_org, of_org)
    }
}

/// How much waits for a review.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub of_sender: i64,
    pub of_org: i64,
}

/// What an edit adds to the queue: the body stays away where the message itself is held.
pub struct NewRevision<'a> {
    pub revision: i32,
    pub body: Option<&'a PendingBody>,
    pub decision: Option<&'a Decision>,
}

pub(super) struct HeldRow {
    pub(super) id: EntryId,
    pub(super) message_id: MessageId,
    pub(super) revision: i32,
    pub(super) is_edit: bool,
    pub(super) thread_id: ThreadId,
    pub(super) sender_id: UserId,
    pub(super) cause: String,
    pub(super) plugin: String,
    pub(super) version: String,
    pub(super) reason: String,
    pub(super) shadow: bool,
    pub(super) body: Option<Column<PendingBody>>,
    pub(super) decision: Option<Column<Decision>>,
    pub(super) asked: Json,
    pub(super) expires_at: Option<OffsetDateTime>,
    pub(super) on_expiry: String,
    pub(super) attempts: i32,
    pub(super) ask_at: Option<OffsetDateTime>,
    pub(super) state: String,
    pub(super) decided_at: Option<OffsetDateTime>,
    pub(super) decided_by: Option<UserId>,
    pub(super) note: Option<String>,
    pub(super) created_at: OffsetDateTime,
}

impl From<HeldRow> for Held {
    fn from(row: HeldRow) -> Self {
        Self {
            id: row.id,
            message_id: row.message_id,
            revision: row.revision,
            is_edit: row.is_edit,
            thread_id: row.thread_id,
            sender_id: row.sender_id,
            // The columns' check constraints admit nothing else.
            cause: if row.cause == "fault" { HoldCause::Fault } else { HoldCause::Verdict },
            plugin: row.plugin,
            version: row.version,
            reason: row.reason,
            shadow: row.shadow,
            body: row.body.map(|body| body.0),
            decision: row.decision.map(|decision| decision.0),
            asked: row.asked,
            expires_at: row.expires_at,
            on_expiry: if row.on_expiry == "release" {
                OnExpiry::Release
            } else {
                OnExpiry::Refuse
            },
            attempts: row.attempts,
            ask_at: row.ask_at,
            state: HoldState::stored(&row.state),
            decided_at: row.decided_at,
            decided_by: row.decided_by,
            note: row.note,
            created_at: row.created_at,
        }
    }
}

macro_rules! select_held {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            HeldRow,
            r#"
            select
                id as "id: EntryId", message_id as "message_id: MessageId", revision, is_edit,
                thread_id as "thread_id: ThreadId", sender_id as "sender_id: UserId",
                cause, plugin, version, reason, shadow,
                body as "body: Column<PendingBody>", decision as "decision: Column<Decision>",
                asked, expires_at, on_expiry, attempts, ask_at, state, decided_at,
                decided_by as "decided_by: UserId", note, created_at
            from held_messages
            where org_id = $1
            "# + $rest,
            $($argument),+
        )
    };
}

pub(super) use select_held;

fn cause_text(cause: HoldCause) -> &'static str {
    match cause {
        HoldCause::Verdict => "verdict",
        HoldCause::Fault => "fault",
    }
}

fn on_expiry_text(on_expiry: OnExpiry) -> &'static str {
    match on_expiry {
        OnExpiry::Release => "release",
        OnExpiry::Refuse => "refuse",
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What all holds are stored from; the statement below reads it.
fn row(hold: &NewHold, message: (OrgId, MessageId, ThreadId, UserId)) -> Json {
    let (org_id, message_id, thread_id, sender_id) = message;
    let NewHold { hold, asked, ask_after, .. } = hold;
    let is_fault = hold.cause == HoldCause::Fault;
    json!({
        "org_id": org_id,
        "id": EntryId::new(),
        "message_id": message_id,
        "thread_id": thread_id,
        "sender_id": sender_id,
        "revision": 0,
        "is_edit": false,
        "cause": cause_text(hold.cause),
        "plugin": hold.plugin,
        "version": hold.version,
        "reason": hold.reason,
        "shadow": hold.shadow,
        "asked": asked,
        // A fault's hold does not end by itself.
        "ttl_ms": hold.ttl.filter(|_| !is_fault).map(millis),
        "on_expiry": on_expiry_text(hold.on_expiry),
        "ask_ms": is_fault.then_some(millis(*ask_after)),
    })
}

/// Stores the holds of a batch, in its transaction.
pub(super) async fn insert_batch(
    conn: &mut PgConnection,
    batch: &[NewMessage],
) -> Result<(), DbError> {
    let rows = batch.iter().filter_map(|new| {
        let Fate::Held(hold) = &new.fate else { return None };
        let message = (new.org_id, new.id, new.draft.thread_id(), new.draft.sender_id);
        let mut row = row(hold, message);
        row["decision"] = json!(new.decision);
        Some(row)
    });
    insert_rows(conn, &Json::Array(rows.collect())).await
}

/// Queues a new revision; the one before it has been ended.
pub async fn insert_revision(
    conn: &mut OrgConn<'_>,
    message: &Message,
    new: NewRevision<'_>,
    hold: &NewHold,
) -> Result<(), DbError> {
    let mut row = row(hold, (conn.org_id, message.id, message.thread_id, message.sender_id));
    row["revision"] = json!(new.revision);
    row["is_edit"] = json!(new.body.is_some());
    row["body"] = json!(new.body);
    row["decision"] = json!(new.decision);
    insert_rows(conn.conn, &Json::Array(vec![row])).await
}

async fn insert_rows(conn: &mut PgConnection, rows: &Json) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        insert into held_messages
            (org_id, id, message_id, revision, is_edit, thread_id, sender_id, cause, plugin, version,
             reason, shadow, body, decision, asked, expires_at, on_expiry, ask_at)
        select
            org_id, id, message_id, revision, is_edit, thread_id, sender_id, cause, plugin, version,
            reason, shadow, nullif(body, 'null'), nullif(decision, 'null'), asked,
            now() + ttl_ms * interval '1 millisecond', on_expiry,
            now() + ask_ms * interval '1 millisecond'
        from jsonb_to_recordset($1) as row (
            org_id uuid, id uuid, message_id uuid, revision integer, is_edit boolean, thread_id uuid,
            sender_id uuid, cause text, plugin text, version text, reason text,
            shadow boolean, body jsonb, decision jsonb, asked jsonb, ttl_ms bigint,
            on_expiry text, ask_ms bigint
        )
        "#,
        rows,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// How much of a sender's, and of their org's, waits; at hand only up to the quota.
pub async fn count_waiting(
    conn: &mut OrgConn<'_>,
    sender: UserId,
    quota: Quota,
) -> Result<Waiting, DbError> {
    sqlx::query_as!(
        Waiting,
        r#"
        select
            (select count(*) from (
                select from held_messages
                where org_id = $1 and sender_id = $2 and state = 'pending'
                limit $3
            ) as theirs) as "of_sender!",
            (select count(*) from (
                select from held_messages
                where org_id = $1 and state = 'pending'
                limit $4
            ) as everybodys) as "of_org!"
        "#,
        conn.org_id as _,
        sender as _,
        i64::from(quota.of_sender),
        i64::from(quota.of_org),
    )
    .fetch_one(&mut *conn.conn)
    .await
}

/// What waits of a message, locked; the message's own row has been locked before.
pub async fn lock_pending(conn: &mut OrgConn<'_>, id: MessageId) -> Result<Option<Held>, DbError> {
    let row = select_held!(
        "and message_id = $2 and state = 'pending' for update",
        conn.org_id as _,
        id as _,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(row.map(Held::from))
}

/// What waits of a message.
pub async fn find_pending(conn: &mut OrgConn<'_>, id: MessageId) -> Result<Option<Held>, DbError> {
    let row = select_held!("and message_id = $2 and state = 'pending'", conn.org_id as _, id as _,)
        .fetch_optional(&mut *conn.conn)
        .await?;
    Ok(row.map(Held::from))
}

/// The revision that a message's next edit has.
pub async fn next_revision(conn: &mut OrgConn<'_>, id: MessageId) -> Result<i32, DbError> {
    sqlx::query_scalar!(
        r#"
        select coalesce(max(revision), 0) + 1 as "next!"
        from held_messages
        where org_id = $1 and message_id = $2
        "#,
        conn.org_id as _,
        id as _,
    )
    .fetch_one(&mut *conn.conn)
    .await
}

/// Who ended a hold, and what they noted.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    pub by: Option<UserId>,
    pub note: Option<String>,
}

/// Ends what waits of a message; whether anything did. What an edit wanted is not kept.
pub async fn end(
    conn: &mut OrgConn<'_>,
    id: MessageId,
    state: HoldState,
    ending: &Ending,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        r#"
        update held_messages
        set state = $3, decided_at = now(), decided_by = $4, note = $5, body = null, ask_at = null
        where org_id = $1 and message_id = $2 and state = 'pending'
        "#,
        conn.org_id as _,
        id as _,
        state.as_str(),
        ending.by as Option<UserId>,
        ending.note,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The queue above a place, oldest first: what waits, or what came to another end.
pub async fn list(
    conn: &mut OrgConn<'_>,
    state: HoldState,
    after: Option<EntryId>,
    limit: i64,
) -> Result<Vec<Held>, DbError> {
    let rows = if state == HoldState::Pending {
        select_held!(
            "and id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000')
            and state = 'pending' order by id limit $3",
            conn.org_id as _,
            after as Option<EntryId>,
            limit,
        )
        .fetch_all(&mut *conn.conn)
        .await?
    } else {
        select_held!(
            "and id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000')
            and state <> 'pending' and state = $4 order by id limit $3",
            conn.org_id as _,
            after as Option<EntryId>,
            limit,
            state.as_str(),
        )
        .fetch_all(&mut *conn.conn)
        .await?
    };
    Ok(rows.into_iter().map(Held::from).collect())
}
