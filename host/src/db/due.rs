//! Holds whose time has come: expired, to be asked about again, or kept long enough.

use std::time::Duration;

use sqlx::types::Json as Column;
use time::OffsetDateTime;

use super::{
    Db, DbError, OrgConn,
    held::{HeldRow, millis, select_held},
};
use crate::domain::{Decision, EntryId, Held, MessageId, PendingBody, ThreadId, UserId};

/// Whose time has run out, the longest ago first.
pub async fn list_expired(conn: &mut OrgConn<'_>, limit: i64) -> Result<Vec<Held>, DbError> {
    let rows = select_held!(
        "and state = 'pending' and expires_at is not null and expires_at <= now()
        order by expires_at limit $2",
        conn.org_id as _,
        limit,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    Ok(rows.into_iter().map(Held::from).collect())
}

/// Takes on the asking of plugins that gave no answer: of each thread the oldest, where its time
/// has come. No other server asks about the same for as long as `lease`.
pub async fn claim_unanswered(
    conn: &mut OrgConn<'_>,
    lease: Duration,
    limit: i64,
) -> Result<Vec<(MessageId, i32)>, DbError> {
    let rows = sqlx::query!(
        r#"
        with first as materialized (
            select distinct on (thread_id) thread_id, id
            from held_messages
            where org_id = $1 and state = 'pending' and cause = 'fault'
            order by thread_id, message_id
        ),
        due as materialized (
            select held.message_id, held.revision
            from held_messages as held
            join first on first.id = held.id
            where held.org_id = $1 and held.state = 'pending' and held.cause = 'fault'
                and held.ask_at <= now()
            order by held.message_id
            limit $3
            for update of held skip locked
        )
        update held_messages as held
        set ask_at = now() + $2::bigint * interval '1 millisecond'
        from due
        where held.org_id = $1
            and held.message_id = due.message_id
            and held.revision = due.revision
        returning held.message_id as "message_id: MessageId", held.revision
        "#,
        conn.org_id as _,
        millis(lease),
        limit,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.message_id, row.revision)).collect())
}

/// Notes that plugins gave no answer again, and when they are asked next.
pub async fn put_off(
    conn: &mut OrgConn<'_>,
    id: MessageId,
    revision: i32,
    pause: Duration,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update held_messages
        set attempts = attempts + 1, ask_at = now() + $4::bigint * interval '1 millisecond'
        where org_id = $1 and message_id = $2 and revision = $3 and state = 'pending'
        "#,
        conn.org_id as _,
        id as _,
        revision,
        millis(pause),
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// The public names of the orgs in which something has expired, or is to be asked again.
pub async fn list_due_orgs(db: &Db) -> Result<Vec<String>, DbError> {
    sqlx::query_scalar!(
        r#"
        select slug
        from orgs
        where suspended_at is null and (
            exists (
                select from held_messages as held
                where held.org_id = orgs.org_id and state = 'pending'
                    and expires_at is not null and expires_at <= now()
            )
            or exists (
                select from held_messages as held
                where held.org_id = orgs.org_id and state = 'pending' and cause = 'fault'
                    and ask_at <= now()
            )
        )
        "#,
    )
    .fetch_all(&mut *db.any().await?)
    .await
}

/// Removes the oldest decided holds from before a time, at most `limit`; how many.
pub async fn prune(
    conn: &mut OrgConn<'_>,
    before: OffsetDateTime,
    limit: i64,
) -> Result<u64, DbError> {
    let done = sqlx::query!(
        r#"
        delete from held_messages
        using (
            select id
            from held_messages
            where org_id = $1 and state <> 'pending'
            order by id
            limit $3
        ) as oldest
        where held_messages.org_id = $1 and held_messages.id = oldest.id
            and held_messages.state <> 'pending' and held_messages.decided_at < $2
        "#,
        conn.org_id as _,
        before,
        limit,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected())
}
