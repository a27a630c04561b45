//! People, as plugins look them up.

use duologue::{
    db::users::{self, Profile, Subject},
    domain::{Kind, UserId},
    service::Directory,
};
use time::OffsetDateTime;

use super::support::TestDatabase;

#[tokio::test]
async fn a_plugin_finds_the_people_of_its_own_org_alone() {
    let database = TestDatabase::create().await;
    let [alice, waiting] = database.org("acme", ["alice", "waiting"]).await;
    let [stranger] = database.org("globex", ["carol"]).await;
    let profile = Profile {
        email: &alice.user.email,
        issued_at: OffsetDateTime::now_utc(),
        kind: Kind::Staff,
        name: Some("Alice"),
        picture: None,
        zoneinfo: Some("Europe/Berlin"),
        locale: Some("de-DE"),
    };
    let subject = Subject { issuer: "issuer", subject: "a-1", is_email: false };
    let mut handle = database.db.org(alice.org.id).await.unwrap();
    let id: UserId = alice.user.id;
    users::upsert_bound(&mut handle.conn(), id, &subject, &profile).await.unwrap();
    let directory = Directory::new(database.db.clone());
    let find = async |email: &str| directory.find(alice.org.id, email).await.unwrap();

    let found = find(&alice.user.email.as_str().to_uppercase()).await.unwrap();
    let unseen = find(waiting.user.email.as_str()).await.unwrap();

    assert_eq!((found.kind, found.name.as_deref()), (Kind::Staff, Some("Alice")));
    assert_eq!(found.zoneinfo.as_deref(), Some("Europe/Berlin"));
    assert_eq!((found.locale.as_deref(), found.picture), (Some("de-DE"), None));
    assert!(found.first_seen_at.is_some() && unseen.first_seen_at.is_none());
    assert!(find(stranger.user.email.as_str()).await.is_none());
    assert!(find("nobody@acme.example").await.is_none());
    assert!(find("no e-mail").await.is_none());
}
