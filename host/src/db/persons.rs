//! People as plugins are told of them.

use std::collections::HashMap;

use super::{DbError, OrgConn};
use crate::domain::{Email, Kind, Person, User, UserId};

/// Those of the people that exist.
pub async fn map(
    conn: &mut OrgConn<'_>,
    ids: &[UserId],
) -> Result<HashMap<UserId, Person>, DbError> {
    let rows = sqlx::query!(
        r#"
        select id as "id: UserId", email, email_key, kind, name
        from users
        where org_id = $1 and id = any($2)
        "#,
        conn.org_id as _,
        ids as &[UserId],
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    let people = rows.into_iter().map(|row| {
        let person = Person {
            email: Email::stored(row.email, row.email_key),
            // The column's check constraint admits nothing else.
            kind: if row.kind == "staff" { Kind::Staff } else { Kind::Customer },
            name: row.name,
        };
        (row.id, person)
    });
    Ok(people.collect())
}

/// The org's bot: made where there is none, and nobody's but the server's where somebody had
/// written to it before.
pub async fn upsert_bot(conn: &mut OrgConn<'_>) -> Result<User, DbError> {
    let email = Email::bot();
    let row = sqlx::query!(
        r#"
        insert into users (org_id, id, email, email_key, kind, name, first_seen_at)
        values ($1, $2, $3, $4, 'staff', $5, now())
        on conflict on constraint users_email_key do update set
            kind = excluded.kind,
            name = excluded.name,
            issuer = null,
            subject = null,
            first_seen_at = coalesce(users.first_seen_at, excluded.first_seen_at)
        returning id as "id: UserId", first_seen_at
        "#,
        conn.org_id as _,
        UserId::new() as _,
        email.as_str(),
        email.key(),
        BOT_NAME,
    )
    .fetch_one(&mut *conn.conn)
    .await?;
    Ok(User {
        id: row.id,
        email,
        name: Some(BOT_NAME.to_owned()),
        picture: None,
        first_seen_at: row.first_seen_at,
        last_seen_at: None,
    })
}

const BOT_NAME: &str = "Bot";
