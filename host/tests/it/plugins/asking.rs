//! What guests ask of the server, and what they are told.

use std::{collections::BTreeMap, time::Duration};

use duologue::{
    plugin::Limits,
    service::{NewSecret, PluginTerms},
};
use serde_json::{Value as Json, json};

use super::{
    platform::{Org, plugins, refusal},
    support::{host_with, server},
};
use crate::{
    guests,
    outgoing::support::{Peer, host},
};

/// Counts under `n`, and tells how far it has come.
pub const COUNT: &str = "
    (call $increment
      (i32.const 2048) (i32.const 1) (i64.const 1) (i32.const 0) (i32.const 0) (i32.const 768))
    (call $digit (i32.wrap_i64 (i64.load (i32.const 776))))";

impl<const N: usize> Org<N> {
    pub async fn add(&self, name: &str, wasm: &[u8], grants: Json) {
        let admin = self.admin();
        self.plugins.upload(admin, name, wasm).await.unwrap();
        let grants: BTreeMap<String, Json> = serde_json::from_value(grants).unwrap();
        self.plugins.grant(admin, name, grants).await.unwrap();
        self.plugins.activate(admin, name, (None, None), PluginTerms::default()).await.unwrap();
    }

    /// What the plugins told about a message from the first person to the second.
    pub async fn told(&self) -> Vec<String> {
        let judgement = self.judge(&self.people[0], &self.people[1]).await.unwrap();
        let told = |step: duologue::domain::Step| step.explanation.or(step.fault);
        judgement.steps.into_iter().map(|step| told(step).unwrap_or_default()).collect()
    }
}

/// A guest that sends so many requests, with the secret `key` as a bearer where it has one, and
/// tells the last one's body, or the number of the error.
pub fn sender(url: &str, times: u32, with_secret: bool) -> Vec<u8> {
    let length = url.len();
    let (interfaces, open, headers) = if with_secret {
        let open = "
            (call $open (i32.const 2048) (i32.const 3) (i32.const 768))
            (i32.store (i32.const 512) (i32.const 2051))
            (i32.store (i32.const 516) (i32.const 13))
            (i32.store8 (i32.const 520) (i32.const 2))
            (i32.store (i32.const 524) (i32.load (i32.const 772)))";
        (&["http", "secrets"][..], open, 1)
    } else {
        (&["http"][..], "", 0)
    };
    let asking = format!(
        "{open}
        (local.set $left (i32.const {times}))
        (loop
          (call $send (i32.const 0) (i32.const 2064) (i32.const {length})
            (i32.const 512) (i32.const {headers}) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 768))
          (local.set $left (i32.sub (local.get $left) (i32.const 1)))
          (br_if 0 (local.get $left)))
        (if (i32.load8_u (i32.const 768))
          (then (call $digit (i32.load8_u (i32.const 772))))
          (else (call $say (i32.load (i32.const 784)) (i32.load (i32.const 788)))))"
    );
    guests::asking(interfaces, &["keyauthorization", url], &asking)
}

const DENIED: &str = "0";
const QUOTA_EXCEEDED: &str = "3";

fn granted(hosts: &Json) -> Json {
    json!({ "http": { "hosts": hosts } })
}

#[tokio::test]
async fn plugins_and_orgs_count_each_for_itself() {
    let org = Org::new(["alice", "bob"]).await;
    let counter = guests::asking(&["kv"], &["n"], COUNT);
    org.add("one", &counter, json!({ "kv": {} })).await;
    assert_eq!(org.told().await, ["1"]);

    org.add("two", &counter, json!({ "kv": {} })).await;
    assert_eq!(org.told().await, ["2", "1"]);

    let people = org.database.org("other", ["alice", "bob"]).await;
    let other = Org { people, ..org };
    other.add("one", &counter, json!({ "kv": {} })).await;
    assert_eq!(other.told().await, ["1"]);
}

#[tokio::test]
async fn a_call_reads_what_it_has_set_and_compares_before_it_sets() {
    let org = Org::new(["alice", "bob"]).await;
    // Sets `n` to `x` where there is nothing, then again where there is still nothing.
    let set = "
        (call $set (i32.const 2048) (i32.const 1) (i32.const 2049) (i32.const 1)
          (i32.const 0) (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 768))";
    let read = "
        (call $get (i32.const 2048) (i32.const 1) (i32.const 768))
        (call $say (i32.load (i32.const 784)) (i32.load (i32.const 788)))";
    let again = "(call $digit (i32.load8_u (i32.const 776)))";
    let reader = guests::asking(&["kv"], &["nx"], &format!("{set} {read}"));
    org.add("reader", &reader, json!({ "kv": {} })).await;
    let loser = guests::asking(&["kv"], &["nx"], &format!("{set} {set} {again}"));
    org.add("loser", &loser, json!({ "kv": {} })).await;

    // 3 is `conflict`.
    assert_eq!(org.told().await, ["x", "3"]);
}

#[tokio::test]
async fn a_key_that_breaks_a_rule_is_invalid_and_no_fault() {
    let org = Org::new(["alice", "bob"]).await;
    let asking = "
        (call $delete (i32.const 2048) (i32.const 0) (i32.const 768))
        (call $digit (i32.add (i32.load8_u (i32.const 768)) (i32.load8_u (i32.const 772))))";
    org.add("guest", &guests::asking(&["kv"], &["n"], asking), json!({ "kv": {} })).await;

    assert_eq!(org.told().await, ["1"]);
}

#[tokio::test]
async fn a_guest_finds_people_of_its_own_org_alone() {
    let org = Org::new(["alice", "bob"]).await;
    org.database.org("other", ["carol"]).await;
    let find = |email: &str| {
        let asking = format!(
            "(call $find (i32.const 2048) (i32.const {}) (i32.const 768))
            (if (i32.load8_u (i32.const 776))
              (then (call $say (i32.load (i32.const 784)) (i32.load (i32.const 788))))
              (else (call $digit (i32.load8_u (i32.const 768)))))",
            email.len()
        );
        guests::asking(&["directory"], &[email], &asking)
    };
    org.add("known", &find("BOB@acme.example"), json!({ "directory": {} })).await;
    org.add("unknown", &find("carol@other.example"), json!({ "directory": {} })).await;

    assert_eq!(org.told().await, ["bob@acme.example", "0"]);
}

#[tokio::test]
async fn a_guest_spends_a_secret_at_a_granted_host() {
    let org = Org::new(["alice", "bob"]).await;
    let peer = Peer::answering("200 OK", "clean").await;
    let at = json!([peer.grant().to_string()]);
    let grants = json!({ "http": { "hosts": at }, "secrets": {} });
    org.add("guest", &sender(&peer.url("/check"), 1, true), grants).await;
    let new = NewSecret { value: "hush".to_owned().into(), hosts: vec![peer.grant().to_string()] };
    server(&org.database).secrets.set(org.admin(), "guest", "key", &new).await.unwrap();

    assert_eq!(org.told().await, ["clean"]);

    let sent = peer.requests.lock().unwrap()[0].clone();
    assert!(sent.starts_with("GET /check HTTP/1.1\r\n"), "{sent}");
    assert!(sent.contains("authorization: Bearer hush\r\n"), "{sent}");
}

#[tokio::test]
async fn a_handle_that_was_never_given_out_is_a_fault() {
    let org = Org::new(["alice", "bob"]).await;
    let peer = Peer::answering("200 OK", "clean").await;
    let grants = json!({ "http": { "hosts": [peer.grant().to_string()] }, "secrets": {} });
    // There is no secret `key`, so what it takes for a handle is none.
    org.add("guest", &sender(&peer.url("/"), 1, true), grants).await;

    let told = org.told().await;

    assert!(["trapped", "invalid_answer"].contains(&told[0].as_str()), "{told:?}");
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_guest_holds_only_so_many_open_secrets() {
    let open = "(call $open (i32.const 2048) (i32.const 3) (i32.const 768))";
    let close = "(call $close (i32.load (i32.const 772)))";
    let done = "(call $digit (i32.const 0))";
    let org = Org::new(["alice", "bob"]).await;
    let limits = Limits {
        open_secrets: 2,
        call_timeout: Duration::from_secs(10),
        chain_timeout: Duration::from_secs(20),
        wait_for_instance: Duration::from_secs(10),
        ..Limits::default()
    };
    let org = Org { plugins: plugins(&org.database, &host_with(limits)), ..org };
    for (name, asking) in [
        ("two", [open, open, done].concat()),
        ("one-after-another", [open, close, open, close, open, close, done].concat()),
        ("three", [open, open, open, done].concat()),
    ] {
        let wasm = guests::asking(&["secrets"], &["key"], &asking);
        org.add(name, &wasm, json!({ "secrets": {} })).await;
        let new = NewSecret { value: "hush".to_owned().into(), hosts: vec!["a.b".to_owned()] };
        server(&org.database).secrets.set(org.admin(), name, "key", &new).await.unwrap();
    }

    assert_eq!(org.told().await, ["0", "0", "trapped"]);
}

#[tokio::test]
async fn a_host_that_was_not_granted_is_denied() {
    let org = Org::new(["alice", "bob"]).await;
    let peer = Peer::answering("200 OK", "clean").await;
    org.add("guest", &sender(&peer.url("/"), 1, false), granted(&json!(["api.test"]))).await;

    // The port is another.
    assert_eq!(org.told().await, [DENIED]);
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_call_makes_only_so_many_requests() {
    let org = Org::new(["alice", "bob"]).await;
    let peer = Peer::answering("200 OK", "clean").await;
    let grants = granted(&json!([peer.grant().to_string()]));
    org.add("guest", &sender(&peer.url("/"), 6, false), grants).await;

    assert_eq!(org.told().await, [QUOTA_EXCEEDED]);
    assert_eq!(peer.connections(), 5);
}

#[tokio::test]
async fn a_plugin_that_was_granted_hosts_may_take_longer() {
    let brief = Duration::from_millis(1);
    let limits = Limits {
        call_timeout: brief,
        chain_timeout: brief,
        http_call_timeout: Duration::from_secs(10),
        http_chain_timeout: Duration::from_secs(20),
        wait_for_instance: Duration::from_secs(10),
        ..Limits::default()
    };
    let org = Org::new(["alice", "bob"]).await;
    let org = Org { plugins: plugins(&org.database, &host_with(limits)), ..org };
    let peer = Peer::answering("200 OK", "clean").await;
    let grants = granted(&json!([peer.grant().to_string()]));
    org.add("guest", &sender(&peer.url("/"), 1, false), grants).await;

    assert_eq!(org.told().await, ["clean"]);
}

#[tokio::test]
async fn a_plugin_that_makes_requests_is_not_activated_before_it_is_granted_hosts() {
    let org = Org::new(["alice", "bob"]).await;
    let admin = org.admin();
    let wasm = sender("https://api.test/", 1, false);
    let (entry, _) = org.plugins.upload(admin, "guest", &wasm).await.unwrap();
    // The type of secrets is a word of `http`, and asks for nothing.
    assert_eq!(entry.versions[0].report["imports"], json!(["http"]));
    let activate = org.plugins.activate(admin, "guest", (None, None), PluginTerms::default());
    assert!(refusal(activate.await).contains("lack http"));

    let many = vec!["a.test"; 51];
    for (bad, says) in [
        (json!({}), "must be an object such as"),
        (json!({ "hosts": [] }), "must name 1 to 50 hosts"),
        (json!({ "hosts": many }), "must name 1 to 50 hosts"),
        (json!({ "hosts": ["127.0.0.1"] }), "must be a host such as"),
        (json!({ "hosts": ["a.test"], "methods": [] }), "unknown field"),
    ] {
        let grants = BTreeMap::from([("http".to_owned(), bad)]);
        let refused = refusal(org.plugins.grant(admin, "guest", grants).await);
        assert!(refused.contains(says), "{refused}");
    }

    org.add("guest", &wasm, granted(&json!(["*.api.test:8443", host("api.test")]))).await;
}
