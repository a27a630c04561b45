//! Notifications about which plugins decide, from being taken on to going out.

use std::time::Duration;

use serde_json::Value as Json;
use time::OffsetDateTime;

use super::{Db, DbError, OrgConn, held::millis};
use crate::domain::{
    Channels, Delivery, Email, Kind, MessageId, Notified, Priority, UserId, UserProfile, Words,
};

/// A notification that a server has taken on. Who takes it on again makes this one stale.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub recipient: UserId,
    pub id: MessageId,
    /// Plugins are still to be asked; else its time has come.
    pub undecided: bool,
    /// How often it has been taken on.
    pub attempts: i32,
}

/// A person as plugins are shown them, and how it stands with them.
pub struct Party {
    pub profile: UserProfile,
    pub last_seen_at: Option<OffsetDateTime>,
    pub unread: i64,
}

/// Takes on what is due, the longest first, with or without what plugins are still to be asked
/// about. No other server does for as long as `lease`.
pub async fn claim(
    conn: &mut OrgConn<'_>,
    (lease, undecided): (Duration, bool),
    limit: i64,
) -> Result<Vec<Claim>, DbError> {
    sqlx::query_as!(
        Claim,
        r#"
        with due as materialized (
            select user_id, id
            from notifications
            where org_id = $1 and due_at <= now() and (not undecided or $4)
            order by due_at, id
            limit $3
            for update skip locked
        )
        update notifications as notification
        set
            due_at = now() + $2::bigint * interval '1 millisecond',
            attempts = notification.attempts + 1
        from due
        where notification.org_id = $1
            and notification.user_id = due.user_id
            and notification.id = due.id
        returning
            notification.user_id as "recipient: UserId", notification.id as "id: MessageId",
            notification.undecided, notification.attempts
        "#,
        conn.org_id as _,
        millis(lease),
        limit,
        undecided,
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// What plugins made of it when they were asked.
pub async fn load_decided(conn: &mut OrgConn<'_>, claim: &Claim) -> Result<Notified, DbError> {
    let row = sqlx::query!(
        r#"
        select title, body, data, priority, channels
        from notifications
        where org_id = $1 and user_id = $2 and id = $3
        "#,
        conn.org_id as _,
        claim.recipient as _,
        claim.id as _,
    )
    .fetch_one(&mut *conn.conn)
    .await?;
    let priority = row.priority.as_deref().map(Priority::stored);
    Ok(Notified {
        words: Words { title: row.title, body: row.body, data: row.data, priority },
        channels: row.channels.as_deref().and_then(Channels::parse),
        delivery: Delivery::Now,
        faulted: false,
    })
}

/// Stores what is to become of it; false: it is somebody else's by now, or gone.
pub async fn settle(
    conn: &mut OrgConn<'_>,
    claim: &Claim,
    notified: &Notified,
) -> Result<bool, DbError> {
    let Words { title, body, data, priority } = &notified.words;
    let (due_at, reason) = match &notified.delivery {
        Delivery::Now => (None, None),
        Delivery::Later(until) => (Some(*until), None),
        Delivery::Suppressed(reason) => (None, Some(reason.as_str())),
    };
    // What is suppressed keeps its record, whatever was said of ways before.
    let channels = notified.channels.filter(|_| reason.is_none()).map(Channels::names);
    let done = sqlx::query!(
        r#"
        update notifications
        set
            title = $6, body = $7, data = $8, priority = $9, channels = $10,
            suppressed_reason = $11, due_at = $12, undecided = false
        where org_id = $1 and user_id = $2 and id = $3
            and undecided = $4 and attempts = $5 and due_at is not null
        "#,
        conn.org_id as _,
        claim.recipient as _,
        claim.id as _,
        claim.undecided,
        claim.attempts,
        title.as_deref(),
        body.as_deref(),
        data.as_ref() as Option<&Json>,
        priority.map(Priority::as_str),
        channels.as_deref() as Option<&[&str]>,
        reason,
        due_at,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes one that nobody needs any more.
pub async fn discard(conn: &mut OrgConn<'_>, claim: &Claim) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        delete from notifications
        where org_id = $1 and user_id = $2 and id = $3
            and undecided = $4 and attempts = $5 and due_at is not null
        "#,
        conn.org_id as _,
        claim.recipient as _,
        claim.id as _,
        claim.undecided,
        claim.attempts,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

pub async fn load_party(conn: &mut OrgConn<'_>, user: UserId) -> Result<Party, DbError> {
    let row = sqlx::query!(
        r#"
        select
            email, email_key, kind, name, picture, zoneinfo, locale, first_seen_at, last_seen_at,
            coalesce(state.unread_count, 0) as "unread!"
        from users
        left join user_states as state
            on state.org_id = users.org_id and state.user_id = users.id
        where users.org_id = $1 and users.id = $2
        "#,
        conn.org_id as _,
        user as _,
    )
    .fetch_one(&mut *conn.conn)
    .await?;
    let profile = UserProfile {
        email: Email::stored(row.email, row.email_key),
        kind: if row.kind == "staff" { Kind::Staff } else { Kind::Customer },
        name: row.name,
        picture: row.picture,
        zoneinfo: row.zoneinfo,
        locale: row.locale,
        first_seen_at: row.first_seen_at,
    };
    Ok(Party { profile, last_seen_at: row.last_seen_at, unread: row.unread })
}

/// The public names of the orgs in which something is due.
pub async fn list_due_orgs(db: &Db) -> Result<Vec<String>, DbError> {
    sqlx::query_scalar!(
        r#"
        select slug
        from orgs
        where suspended_at is null and exists (
            select from notifications
            where notifications.org_id = orgs.org_id and due_at <= now()
        )
        "#,
    )
    .fetch_all(&mut *db.any().await?)
    .await
}
