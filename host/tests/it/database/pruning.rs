//! Old changes go; a cursor that would miss them says so.

use std::{sync::Arc, time::Duration};

use duologue::{
    db::changes,
    domain::{Caller, ChangeKind, UserId},
    service::{Services, Sync, Via},
};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::support::{TestDatabase, letter};

const MONTH: Duration = Duration::from_hours(30 * 24);

#[tokio::test]
async fn a_cursor_from_before_removed_changes_must_load_anew_and_later_ones_go_on() {
    let database = TestDatabase::create().await;
    let [alice, bob] = database.org("acme", ["alice", "bob"]).await;
    let services = database.services();
    let before_all = cursor(&services, &bob).await;
    send(&services, &alice, &bob, "old").await;
    let after_old = cursor(&services, &bob).await;
    age_all(&database).await;
    send(&services, &alice, &bob, "new").await;
    let after_new = cursor(&services, &bob).await;

    let gone = prune(&database, &alice, 100).await;

    // One for each side.
    assert_eq!(gone, 2);
    assert_eq!(contents_since(&services, &bob, &before_all).await, None);
    assert_eq!(contents_since(&services, &bob, &after_old).await, Some(vec!["new".to_owned()]));
    assert_eq!(contents_since(&services, &bob, &after_new).await, Some(Vec::new()));
}

#[tokio::test]
async fn pruning_keeps_young_changes_and_those_of_other_orgs() {
    let database = TestDatabase::create().await;
    let [alice, bob] = database.org("acme", ["alice", "bob"]).await;
    let [carol, dan] = database.org("globex", ["carol", "dan"]).await;
    let services = database.services();
    let [theirs, ours] = [cursor(&services, &dan).await, cursor(&services, &bob).await];
    send(&services, &carol, &dan, "old at globex").await;
    age_all(&database).await;
    send(&services, &alice, &bob, "young at acme").await;

    let gone = prune(&database, &alice, 100).await;

    assert_eq!(gone, 0);
    let [theirs, ours] = [
        contents_since(&services, &dan, &theirs).await,
        contents_since(&services, &bob, &ours).await,
    ];
    assert_eq!(theirs, Some(vec!["old at globex".to_owned()]));
    assert_eq!(ours, Some(vec!["young at acme".to_owned()]));
}

#[tokio::test]
async fn pruning_in_parts_never_shows_half_a_list() {
    let database = TestDatabase::create().await;
    let [alice, bob] = database.org("acme", ["alice", "bob"]).await;
    let services = database.services();
    let mut cursors = Vec::new();
    for content in ["one", "two", "three"] {
        cursors.push(cursor(&services, &bob).await);
        send(&services, &alice, &bob, content).await;
    }
    age_all(&database).await;

    while prune(&database, &alice, 1).await > 0 {
        for (since, all) in cursors.iter().zip([3, 2, 1]) {
            let seen = contents_since(&services, &bob, since).await;
            assert!(seen.as_ref().is_none_or(|contents| contents.len() == all), "{seen:?}");
        }
    }

    for since in &cursors {
        assert_eq!(contents_since(&services, &bob, since).await, None);
    }
}

#[tokio::test]
async fn pruning_locks_people_in_the_order_of_their_ids_as_the_writer_does() {
    let database = TestDatabase::create().await;
    let [alice] = database.org("acme", ["alice"]).await;
    // So many that Postgres reads the whole table, in which they lie the wrong way round.
    sqlx::raw_sql(
        "
        insert into user_states (org_id, user_id, position)
        select org_id, ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 20
        from orgs, generate_series(200, 1, -1) as n;

        insert into changes (org_id, user_id, position, kind, created_at)
        select org_id, user_id, n, 'message', now() - interval '31 days'
        from user_states, generate_series(1, 20) as n;

        analyze;
        ",
    )
    .execute(&database.raw)
    .await
    .unwrap();
    let database = Arc::new(database);
    let [first, last] = ["000000000001", "000000000200"]
        .map(|end| format!("00000000-0000-0000-0000-{end}").parse::<UserId>().unwrap());
    let mut writer = database.raw.begin().await.unwrap();
    lock(&mut writer, first).await.unwrap();
    let pruning = tokio::spawn({
        let database = database.clone();
        async move { prune(&database, &alice, 10_000).await }
    });
    database.blocked(1).await;

    let next = lock(&mut writer, last).await;

    assert!(next.is_ok(), "{next:?}");
    writer.rollback().await.unwrap();
    assert_eq!(pruning.await.unwrap(), 200 * 20);
}

/// Locks somebody's state unless somebody else has it.
#[expect(clippy::disallowed_methods, reason = "`.sqlx` holds the product's queries alone")]
async fn lock(connection: &mut PgConnection, user: UserId) -> sqlx::Result<()> {
    sqlx::query("select from user_states where user_id = $1 for update nowait")
        .bind(user)
        .execute(connection)
        .await
        .map(drop)
}

async fn send(services: &Services, from: &Caller, to: &Caller, content: &str) {
    services.sending.send(from, Via::Rest, letter(to, content)).await.unwrap();
}

/// Makes all changes so far older than a cursor may get.
async fn age_all(database: &TestDatabase) {
    sqlx::raw_sql("update changes set created_at = created_at - interval '31 days'")
        .execute(&database.raw)
        .await
        .unwrap();
}

async fn prune(database: &TestDatabase, of: &Caller, limit: i64) -> i64 {
    let mut tx = database.db.begin(of.org.id).await.unwrap();
    let before = OffsetDateTime::now_utc() - MONTH;
    let gone = changes::prune(&mut tx.conn(), before, limit).await.unwrap();
    tx.commit().await.unwrap();
    gone
}

async fn cursor(services: &Services, caller: &Caller) -> String {
    let Sync::Start { cursor } = services.sync.sync(caller, None).await.unwrap() else {
        panic!("no start");
    };
    cursor
}

/// The messages that somebody is told of; `None` where they must load anew.
async fn contents_since(services: &Services, caller: &Caller, since: &str) -> Option<Vec<String>> {
    match services.sync.sync(caller, Some(since)).await.unwrap() {
        Sync::Resync => None,
        Sync::Start { .. } => panic!("no page"),
        Sync::Page { changes, .. } => {
            let contents = changes.into_iter().map(|change| match change.kind {
                ChangeKind::Message(message) => message.body.content,
                other => panic!("no message: {other:?}"),
            });
            Some(contents.collect())
        }
    }
}
