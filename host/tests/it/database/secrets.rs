//! Secrets of plugins: sealed in the database, opened only where they belong.

use std::{os::unix::fs::PermissionsExt, path::PathBuf};

use duologue::{
    Error,
    db::plugins,
    domain::{Caller, Installed},
    service::{NewSecret, SecretSettings, Secrets},
};
use zeroize::Zeroizing;

use super::support::{TestDatabase, guests};

/// 32 bytes in base64, each of another kind.
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const OTHER_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

fn keyed(key: &str) -> SecretSettings {
    SecretSettings { key: Some(Zeroizing::new(key.to_owned())), ..guests().secrets }
}

fn secrets(database: &TestDatabase, settings: SecretSettings) -> Secrets {
    Secrets::new(database.db.clone(), settings).unwrap()
}

fn new(value: &str, hosts: &[&str]) -> NewSecret {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    NewSecret { value: Zeroizing::new(value.to_owned()), hosts }
}

async fn install(database: &TestDatabase, caller: &Caller, name: &str) -> Installed {
    let org_id = caller.org.id;
    let mut handle = database.db.org(org_id).await.unwrap();
    let plugin_id = plugins::upsert(&mut handle.conn(), name).await.unwrap();
    Installed { org_id, plugin_id }
}

async fn opened(secrets: &Secrets, plugin: Installed, name: &str) -> Option<String> {
    secrets.open(plugin, name).await.unwrap().map(|secret| secret.value.to_string())
}

#[tokio::test]
async fn a_secret_comes_back_to_its_plugin_and_lies_sealed() {
    let database = TestDatabase::create().await;
    let [admin] = database.org("acme", ["admin"]).await;
    let plugin = install(&database, &admin, "filter").await;
    let secrets = secrets(&database, keyed(KEY));

    let value = new("hush-hush", &["API.example.com", "*.example.org:8443"]);
    let (entry, is_new) = secrets.set(&admin, "filter", "token", &value).await.unwrap();
    let found = secrets.open(plugin, "token").await.unwrap().unwrap();

    assert!(is_new);
    assert_eq!(entry.hosts, ["api.example.com", "*.example.org:8443"]);
    assert_eq!(*found.value, "hush-hush");
    assert!(found.hosts[1].grants("a.example.org", 8443));
    assert_eq!(opened(&secrets, plugin, "other").await, None);
    let rows: Vec<(String,)> =
        database.rows("select plugin_secrets::text from plugin_secrets").await;
    // Bytes are shown in hex.
    assert!(!rows[0].0.contains("hush") && !rows[0].0.contains("68757368"));
    let (_, is_new) = secrets.set(&admin, "filter", "token", &new("new", &["a.b"])).await.unwrap();
    assert!(!is_new);
    assert_eq!(opened(&secrets, plugin, "token").await.as_deref(), Some("new"));
    secrets.remove(&admin, "filter", "token").await.unwrap();
    assert_eq!(opened(&secrets, plugin, "token").await, None);
}

#[tokio::test]
async fn another_key_opens_nothing() {
    let database = TestDatabase::create().await;
    let [admin] = database.org("acme", ["admin"]).await;
    let plugin = install(&database, &admin, "filter").await;
    let value = new("hush", &["a.example"]);
    secrets(&database, keyed(KEY)).set(&admin, "filter", "token", &value).await.unwrap();

    let answer = secrets(&database, keyed(OTHER_KEY)).open(plugin, "token").await;

    assert!(matches!(answer, Err(Error::Internal(_))), "{answer:?}");
}

#[tokio::test]
async fn a_row_that_was_swapped_or_sent_elsewhere_does_not_open() {
    let database = TestDatabase::create().await;
    let [admin] = database.org("acme", ["admin"]).await;
    let plugin = install(&database, &admin, "filter").await;
    install(&database, &admin, "other").await;
    let secrets = secrets(&database, keyed(KEY));
    for (plugin, name) in [("filter", "token"), ("filter", "second"), ("other", "token")] {
        let value = new(&format!("{name} of {plugin}"), &["a.example"]);
        secrets.set(&admin, plugin, name, &value).await.unwrap();
    }
    let swaps = [
        "update plugin_secrets set (ciphertext, nonce) = (
            select ciphertext, nonce from plugin_secrets where name = 'second')
         where name = 'token'",
        "update plugin_secrets as mine set (ciphertext, nonce) = (
            select ciphertext, nonce from plugin_secrets as theirs
            where name = 'token' and theirs.plugin_id <> mine.plugin_id)
         where name = 'token'",
        "update plugin_secrets set hosts = '{evil.example}'",
    ];

    for swap in swaps {
        let mut tx = database.raw.begin().await.unwrap();
        sqlx::raw_sql("create table kept as table plugin_secrets").execute(&mut *tx).await.unwrap();
        sqlx::raw_sql(swap).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();

        let answer = secrets.open(plugin, "token").await;

        assert!(matches!(answer, Err(Error::Internal(_))), "{swap}: {answer:?}");
        sqlx::raw_sql(
            "delete from plugin_secrets; insert into plugin_secrets table kept; drop table kept",
        )
        .execute(&database.raw)
        .await
        .unwrap();
        assert_eq!(opened(&secrets, plugin, "token").await.as_deref(), Some("token of filter"));
    }
}

#[tokio::test]
async fn without_a_key_a_secret_is_refused_with_what_to_do() {
    let database = TestDatabase::create().await;
    let [admin] = database.org("acme", ["admin"]).await;
    install(&database, &admin, "filter").await;
    let secrets = secrets(&database, guests().secrets);

    let refused = secrets.set(&admin, "filter", "token", &new("hush", &["a.example"])).await;

    let text = refused.map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("DUOLOGUE_SECRETS_KEY") && text.contains("openssl rand"), "{text}");
}

#[tokio::test]
async fn a_server_of_its_own_makes_a_key_that_only_its_user_can_read() {
    let database = TestDatabase::create().await;
    let [admin] = database.org("acme", ["admin"]).await;
    let plugin = install(&database, &admin, "filter").await;
    let path = temporary("kept").join("secrets.key");
    let settings = SecretSettings { kept_in: Some(path.clone()), ..guests().secrets };

    let first = secrets(&database, settings.clone());
    assert!(!path.exists(), "not before it is needed");
    first.set(&admin, "filter", "token", &new("hush", &["a.example"])).await.unwrap();
    let after_a_restart = secrets(&database, settings);

    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(opened(&after_a_restart, plugin, "token").await.as_deref(), Some("hush"));
    let more = new("more", &["a.example"]);
    after_a_restart.set(&admin, "filter", "second", &more).await.unwrap();
    assert_eq!(opened(&first, plugin, "token").await.as_deref(), Some("hush"));
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[tokio::test]
async fn a_former_key_opens_and_can_go_once_what_it_sealed_is_sealed_anew() {
    let database = TestDatabase::create().await;
    let [admin] = database.org("acme", ["admin"]).await;
    let plugin = install(&database, &admin, "filter").await;
    let value = new("hush", &["a.example"]);
    secrets(&database, keyed(KEY)).set(&admin, "filter", "token", &value).await.unwrap();
    let both = secrets(&database, keyed(&format!("{OTHER_KEY},{KEY}")));
    let changed = secrets(&database, keyed(OTHER_KEY));

    assert_eq!(opened(&both, plugin, "token").await.as_deref(), Some("hush"));
    changed.renew(plugin.org_id).await.unwrap();
    assert!(changed.open(plugin, "token").await.is_err(), "it needs the former key still");
    both.renew(plugin.org_id).await.unwrap();

    assert_eq!(opened(&changed, plugin, "token").await.as_deref(), Some("hush"));
    assert!(secrets(&database, keyed(KEY)).open(plugin, "token").await.is_err());
    let sealed = "select encode(nonce, 'hex') from plugin_secrets";
    let before: Vec<(String,)> = database.rows(sealed).await;
    both.renew(plugin.org_id).await.unwrap();
    assert_eq!(database.rows::<(String,)>(sealed).await, before, "once is enough");
}

#[tokio::test]
async fn a_key_file_is_read_and_one_that_is_none_stops_the_server() {
    let database = TestDatabase::create().await;
    let directory = temporary("file");
    let (good, bad) = (directory.join("good"), directory.join("bad"));
    std::fs::write(&good, format!("{KEY}\n")).unwrap();
    std::fs::write(&bad, "hello").unwrap();
    let from = |path: PathBuf| {
        let settings = SecretSettings { key_file: Some(path), ..guests().secrets };
        Secrets::new(database.db.clone(), settings).map(|_| ()).map_err(|error| error.to_string())
    };

    assert_eq!(from(good), Ok(()));
    for refused in [from(bad), from(directory.join("none"))] {
        assert!(
            refused.as_ref().is_err_and(|text| text.contains("secrets.key_file")),
            "{refused:?}"
        );
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn what_is_no_secret_is_refused_and_never_repeated() {
    let database = TestDatabase::create().await;
    let [admin] = database.org("acme", ["admin"]).await;
    install(&database, &admin, "filter").await;
    let secrets = secrets(&database, SecretSettings { max_per_plugin: 1, ..keyed(KEY) });
    let hosts: &[&str] = &["a.example"];
    let refusals = [
        ("token", new("", hosts)),
        ("token", new("s3cret\n", hosts)),
        ("token", new(&"s3cret".repeat(1000), hosts)),
        ("token", new("s3cret", &[])),
        ("token", new("s3cret", &["127.0.0.1"])),
        ("Token", new("s3cret", hosts)),
    ];

    for (name, secret) in &refusals {
        let error = secrets.set(&admin, "filter", name, secret).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
        assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    }
    secrets.set(&admin, "filter", "one", &new("x", hosts)).await.unwrap();
    let second = secrets.set(&admin, "filter", "two", &new("x", hosts)).await;
    assert!(matches!(second.map(|_| ()), Err(Error::Conflict(_))));
    assert_eq!(secrets.list(&admin, "filter").await.map(|all| all.len()).unwrap(), 1);
}

fn temporary(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("duologue-secrets-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}
