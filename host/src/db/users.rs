use time::OffsetDateTime;

use super::{DbError, OrgConn};
use crate::domain::{Email, Kind, User, UserId, UserProfile};

/// Which constraint keeps two people from one e-mail.
pub const EMAIL_KEY: &str = "users_email_key";
/// Which constraint keeps one subject from being two people.
pub const SUBJECT_KEY: &str = "users_subject_key";

/// A person and what their tokens are bound to.
pub struct BoundUser {
    pub user: User,
    pub issuer: Option<String>,
    pub subject: Option<String>,
    pub subject_is_email: bool,
    pub tokens_valid_from: Option<OffsetDateTime>,
    pub email_as_of: Option<OffsetDateTime>,
}

/// What a verified token says of its bearer, beside who they are.
pub struct Profile<'a> {
    pub email: &'a Email,
    pub issued_at: OffsetDateTime,
    pub kind: Kind,
    pub name: Option<&'a str>,
    pub picture: Option<&'a str>,
    pub zoneinfo: Option<&'a str>,
    pub locale: Option<&'a str>,
}

/// Whom a token names: an issuer's subject.
pub struct Subject<'a> {
    pub issuer: &'a str,
    pub subject: &'a str,
    /// The token had no `sub`; its e-mail stands in.
    pub is_email: bool,
}

struct UserRow {
    id: UserId,
    email: String,
    email_key: String,
    name: Option<String>,
    picture: Option<String>,
    first_seen_at: Option<OffsetDateTime>,
    last_seen_at: Option<OffsetDateTime>,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            email: Email::stored(row.email, row.email_key),
            name: row.name,
            picture: row.picture,
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
        }
    }
}

struct BoundRow {
    id: UserId,
    email: String,
    email_key: String,
    name: Option<String>,
    picture: Option<String>,
    first_seen_at: Option<OffsetDateTime>,
    last_seen_at: Option<OffsetDateTime>,
    issuer: Option<String>,
    subject: Option<String>,
    subject_is_email: bool,
    tokens_valid_from: Option<OffsetDateTime>,
    email_as_of: Option<OffsetDateTime>,
}

impl From<BoundRow> for BoundUser {
    fn from(row: BoundRow) -> Self {
        Self {
            user: User {
                id: row.id,
                email: Email::stored(row.email, row.email_key),
                name: row.name,
                picture: row.picture,
                first_seen_at: row.first_seen_at,
                last_seen_at: row.last_seen_at,
            },
            issuer: row.issuer,
            subject: row.subject,
            subject_is_email: row.subject_is_email,
            tokens_valid_from: row.tokens_valid_from,
            email_as_of: row.email_as_of,
        }
    }
}

macro_rules! select_bound {
    ($lock:literal, $conn:ident, $subject:ident, $email:ident) => {
        sqlx::query_as!(
            BoundRow,
            r#"
            select
                id as "id: UserId", email, email_key, name, picture, first_seen_at, last_seen_at,
                issuer, subject, subject_is_email, tokens_valid_from, email_as_of
            from users
            where org_id = $1 and (email_key = $2 or (issuer = $3 and subject = $4))
            order by id
            "# + $lock,
            $conn.org_id as _,
            $email.key(),
            $subject.issuer,
            $subject.subject,
        )
    };
}

pub async fn list(conn: &mut OrgConn<'_>, ids: &[UserId]) -> Result<Vec<User>, DbError> {
    let rows = sqlx::query_as!(
        UserRow,
        r#"
        select id as "id: UserId", email, email_key, name, picture, first_seen_at, last_seen_at
        from users
        where org_id = $1 and id = any($2)
        "#,
        conn.org_id as _,
        ids as &[UserId],
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    Ok(rows.into_iter().map(User::from).collect())
}

pub async fn find_by_email(conn: &mut OrgConn<'_>, email: &Email) -> Result<Option<User>, DbError> {
    let row = sqlx::query_as!(
        UserRow,
        r#"
        select id as "id: UserId", email, email_key, name, picture, first_seen_at, last_seen_at
        from users
        where org_id = $1 and email_key = $2
        "#,
        conn.org_id as _,
        email.key(),
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(row.map(User::from))
}

/// What tokens have said of the person with this e-mail.
pub async fn find_profile(
    conn: &mut OrgConn<'_>,
    email: &Email,
) -> Result<Option<UserProfile>, DbError> {
    let row = sqlx::query!(
        r#"
        select email, email_key, kind, name, picture, zoneinfo, locale, first_seen_at
        from users
        where org_id = $1 and email_key = $2
        "#,
        conn.org_id as _,
        email.key(),
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(row.map(|row| UserProfile {
        email: Email::stored(row.email, row.email_key),
        // The column's check constraint admits nothing else.
        kind: if row.kind == "staff" { Kind::Staff } else { Kind::Customer },
        name: row.name,
        picture: row.picture,
        zoneinfo: row.zoneinfo,
        locale: row.locale,
        first_seen_at: row.first_seen_at,
    }))
}

/// The person with this e-mail, made where there is none: they wait for their first sign-in.
pub async fn insert_waiting(conn: &mut OrgConn<'_>, email: &Email) -> Result<User, DbError> {
    sqlx::query!(
        r#"
        insert into users (org_id, id, email, email_key)
        values ($1, $2, $3, $4)
        on conflict on constraint users_email_key do nothing
        "#,
        conn.org_id as _,
        UserId::new() as _,
        email.as_str(),
        email.key(),
    )
    .execute(&mut *conn.conn)
    .await?;
    find_by_email(conn, email).await?.ok_or(DbError::RowNotFound)
}

/// The people that a token might mean: its subject's and its e-mail's.
pub async fn list_candidates(
    conn: &mut OrgConn<'_>,
    subject: &Subject<'_>,
    email: &Email,
) -> Result<Vec<BoundUser>, DbError> {
    let rows = select_bound!("", conn, subject, email).fetch_all(&mut *conn.conn).await?;
    Ok(rows.into_iter().map(BoundUser::from).collect())
}

/// The same, locked for a change.
pub async fn lock_candidates(
    conn: &mut OrgConn<'_>,
    subject: &Subject<'_>,
    email: &Email,
) -> Result<Vec<BoundUser>, DbError> {
    let rows = select_bound!("for update", conn, subject, email).fetch_all(&mut *conn.conn).await?;
    Ok(rows.into_iter().map(BoundUser::from).collect())
}

/// Stores who a person is and what their token says of them.
pub async fn upsert_bound(
    conn: &mut OrgConn<'_>,
    id: UserId,
    subject: &Subject<'_>,
    profile: &Profile<'_>,
) -> Result<User, DbError> {
    let row = sqlx::query_as!(
        UserRow,
        r#"
        insert into users as u
            (org_id, id, email, email_key, issuer, subject, subject_is_email,
             kind, name, picture, zoneinfo, locale, email_as_of, first_seen_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, now())
        on conflict (org_id, id) do update set
            email = excluded.email,
            email_key = excluded.email_key,
            issuer = excluded.issuer,
            subject = excluded.subject,
            subject_is_email = excluded.subject_is_email,
            kind = excluded.kind,
            name = coalesce(excluded.name, u.name),
            picture = coalesce(excluded.picture, u.picture),
            zoneinfo = coalesce(excluded.zoneinfo, u.zoneinfo),
            locale = coalesce(excluded.locale, u.locale),
            email_as_of = greatest(u.email_as_of, excluded.email_as_of),
            first_seen_at = coalesce(u.first_seen_at, excluded.first_seen_at)
        returning id as "id: UserId", email, email_key, name, picture, first_seen_at, last_seen_at
        "#,
        conn.org_id as _,
        id as _,
        profile.email.as_str(),
        profile.email.key(),
        subject.issuer,
        subject.subject,
        subject.is_email,
        match profile.kind {
            Kind::Customer => "customer",
            Kind::Staff => "staff",
        },
        profile.name,
        profile.picture,
        profile.zoneinfo,
        profile.locale,
        profile.issued_at,
    )
    .fetch_one(&mut *conn.conn)
    .await?;
    Ok(row.into())
}

/// Takes a subject off whatever other e-mail it is bound to: that one is free again.
pub async fn unbind(
    conn: &mut OrgConn<'_>,
    email: &Email,
    issuer: &str,
    subject: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update users
        set issuer = null, subject = null
        where org_id = $1 and issuer = $3 and subject = $4 and email_key <> $2
        "#,
        conn.org_id as _,
        email.key(),
        issuer,
        subject,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// Binds an e-mail to another subject, or says that nobody has it.
pub async fn rebind(
    conn: &mut OrgConn<'_>,
    email: &Email,
    issuer: &str,
    subject: &str,
) -> Result<Option<UserId>, DbError> {
    sqlx::query_scalar!(
        r#"
        update users
        set issuer = $3, subject = $4, subject_is_email = false
        where org_id = $1 and email_key = $2
        returning id as "id: UserId"
        "#,
        conn.org_id as _,
        email.key(),
        issuer,
        subject,
    )
    .fetch_optional(&mut *conn.conn)
    .await
}

/// From now on the person's earlier tokens are refused.
pub async fn revoke_tokens(
    conn: &mut OrgConn<'_>,
    email: &Email,
) -> Result<Option<UserId>, DbError> {
    sqlx::query_scalar!(
        r#"
        update users
        set tokens_valid_from = now()
        where org_id = $1 and email_key = $2
        returning id as "id: UserId"
        "#,
        conn.org_id as _,
        email.key(),
    )
    .fetch_optional(&mut *conn.conn)
    .await
}

/// Whose tokens count for a person, and since when.
pub struct Standing {
    pub id: UserId,
    pub issuer: Option<String>,
    pub subject: Option<String>,
    pub tokens_valid_from: Option<OffsetDateTime>,
}

pub async fn list_standings(
    conn: &mut OrgConn<'_>,
    ids: &[UserId],
) -> Result<Vec<Standing>, DbError> {
    sqlx::query_as!(
        Standing,
        r#"
        select id as "id: UserId", issuer, subject, tokens_valid_from
        from users
        where org_id = $1 and id = any($2)
        "#,
        conn.org_id as _,
        ids as &[UserId],
    )
    .fetch_all(&mut *conn.conn)
    .await
}

pub async fn update_last_seen(
    conn: &mut OrgConn<'_>,
    id: UserId,
    at: OffsetDateTime,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update users
        set last_seen_at = greatest(last_seen_at, $3)
        where org_id = $1 and id = $2
        "#,
        conn.org_id as _,
        id as _,
        at,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}
