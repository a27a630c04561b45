use serde_json::Value as Json;
use time::OffsetDateTime;

use super::{DbError, OrgConn};
use crate::domain::{MessageId, UserId};

/// A change on its way into one person's list.
#[derive(Clone, Debug)]
pub struct NewChange {
    pub user_id: UserId,
    pub kind: &'static str,
    pub message_id: Option<MessageId>,
    /// What the kind needs beside the message.
    pub detail: Option<Json>,
    /// What the change adds to the person's badge.
    pub unread: i64,
}

/// A change as stored.
pub struct ChangeRow {
    pub position: i64,
    pub kind: String,
    pub message_id: Option<MessageId>,
    pub detail: Option<Json>,
}

/// Gives each change the next position of its person, in their order here.
///
/// The positions are counters in rows that stay locked until the commit: nothing that
/// commits late can get a position below one that was already handed out.
pub async fn insert(conn: &mut OrgConn<'_>, changes: &[NewChange]) -> Result<(), DbError> {
    let users: Vec<UserId> = changes.iter().map(|change| change.user_id).collect();
    let kinds: Vec<&str> = changes.iter().map(|change| change.kind).collect();
    let messages: Vec<Option<MessageId>> = changes.iter().map(|change| change.message_id).collect();
    let details: Vec<Option<Json>> = changes.iter().map(|change| change.detail.clone()).collect();
    let unread: Vec<i64> = changes.iter().map(|change| change.unread).collect();
    sqlx::query!(
        r#"
        with change as materialized (
            select *
            from unnest($2::uuid[], $3::text[], $4::uuid[], $5::jsonb[], $6::bigint[])
                with ordinality as row (user_id, kind, message_id, detail, unread, ord)
        ),
        state as (
            insert into user_states (org_id, user_id, position, unread_count)
            select $1, user_id, count(*), greatest(0, sum(unread))::bigint
            from change
            group by user_id
            order by user_id
            on conflict (org_id, user_id) do update set
                position = user_states.position + excluded.position,
                unread_count = greatest(0, user_states.unread_count + (
                    select sum(unread)::bigint from change where change.user_id = user_states.user_id
                ))
            returning user_id, position
        )
        insert into changes (org_id, user_id, position, kind, message_id, detail)
        select
            $1,
            change.user_id,
            state.position
                - count(*) over (partition by change.user_id)
                + row_number() over (partition by change.user_id order by change.ord),
            change.kind,
            change.message_id,
            change.detail
        from change
        join state using (user_id)
        "#,
        conn.org_id as _,
        &users as &[UserId],
        &kinds as &[&str],
        &messages as &[Option<MessageId>],
        &details as &[Option<Json>],
        &unread,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// How far one person's changes go: the newest position, and the newest removed one.
pub struct Extent {
    pub position: i64,
    pub pruned_position: i64,
}

pub async fn load_extent(conn: &mut OrgConn<'_>, user: UserId) -> Result<Extent, DbError> {
    let extent = sqlx::query_as!(
        Extent,
        r#"
        select position, pruned_position
        from user_states
        where org_id = $1 and user_id = $2
        "#,
        conn.org_id as _,
        user as _,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(extent.unwrap_or(Extent { position: 0, pruned_position: 0 }))
}

/// Part of a person's changes.
pub struct ChangePage {
    pub changes: Vec<ChangeRow>,
    /// There are changes beyond these.
    pub more: bool,
}

/// A person's changes above a position, oldest first: at most `limit`, and no more once
/// their messages come to `bytes`.
pub async fn list(
    conn: &mut OrgConn<'_>,
    user: UserId,
    since: i64,
    limit: i64,
    bytes: i64,
) -> Result<ChangePage, DbError> {
    let rows = sqlx::query!(
        r#"
        with next as materialized (
            select
                change.position, change.kind, change.message_id, change.detail,
                case when change.kind in ('message', 'updated')
                    then octet_length(message.content) + pg_column_size(message.attachments)
                    else 0
                end as size
            from changes as change
            left join messages as message
                on message.org_id = change.org_id and message.id = change.message_id
            where change.org_id = $1 and change.user_id = $2 and change.position > $3
            order by change.position
            limit $4::bigint + 1
        ),
        measured as (
            select
                next.*,
                sum(size) over (order by position) - size as size_before,
                row_number() over (order by position) as ord,
                count(*) over () as found
            from next
        )
        select
            position as "position!", kind as "kind!",
            message_id as "message_id?: MessageId", detail as "detail?",
            found as "found!"
        from measured
        where ord <= $4 and (ord = 1 or size_before < $5)
        order by position
        "#,
        conn.org_id as _,
        user as _,
        since,
        limit,
        bytes,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    let found = rows.first().map_or(0, |row| row.found);
    let more = usize::try_from(found).is_ok_and(|found| found > rows.len());
    let changes = rows.into_iter().map(|row| ChangeRow {
        position: row.position,
        kind: row.kind,
        message_id: row.message_id,
        detail: row.detail,
    });
    Ok(ChangePage { changes: changes.collect(), more })
}

/// Removes changes from before a time, at most `limit`, and remembers how far; how many went. In a
/// transaction of its own. The rows of `user_states` are locked in the writer's order.
pub async fn prune(
    conn: &mut OrgConn<'_>,
    before: OffsetDateTime,
    limit: i64,
) -> Result<i64, DbError> {
    // Planned for any time it might go through all changes to find the first old one.
    sqlx::query!("select set_config('plan_cache_mode', 'force_custom_plan', true) as mode")
        .fetch_one(&mut *conn.conn)
        .await?;
    sqlx::query_scalar!(
        r#"
        with old as materialized (
            select user_id, position
            from changes
            where org_id = $1 and created_at < $2
            limit $3
        ),
        reached as materialized (
            select state.user_id, highest.position
            from user_states as state
            join (
                select user_id, max(position) as position
                from old
                group by user_id
            ) as highest on highest.user_id = state.user_id
            where state.org_id = $1
            order by state.user_id
            for update of state
        ),
        pruned as (
            update user_states
            set pruned_position = greatest(pruned_position, reached.position)
            from reached
            where user_states.org_id = $1 and user_states.user_id = reached.user_id
        ),
        gone as (
            delete from changes
            using old
            where changes.org_id = $1
                and changes.user_id = old.user_id
                and changes.position = old.position
            returning 1
        )
        select count(*) as "count!" from gone
        "#,
        conn.org_id as _,
        before,
        limit,
    )
    .fetch_one(&mut *conn.conn)
    .await
}
