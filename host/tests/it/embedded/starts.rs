//! What each start finds or makes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use duologue::embedded::{Embedded, Options};

use super::support::{TestDirectory, is_alive, pid_on_file, query, try_query, wait_for};

#[test]
fn a_first_start_makes_a_durable_cluster_that_only_its_socket_reaches() {
    let directory = TestDirectory::new();

    let server = Embedded::start(&Options::new(directory.server())).unwrap();

    let url = server.url("postgres");
    let setting = |name: &str| query(&url, &format!("show {name}"));
    for name in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(setting(name), "on", "{name}");
    }
    assert_eq!(setting("listen_addresses"), "");
    assert_eq!(setting("unix_socket_permissions"), "0700");
    assert_eq!(query(&url, "select lower('ÄÖ')"), "äö");
    assert_eq!(server.directory(), directory.server());
    assert_eq!(Some(server.pid()), pid_on_file(&directory.server()));
}

#[test]
fn a_warm_start_finds_what_was_stored_at_the_same_url() {
    let directory = TestDirectory::new();
    let mut first = Embedded::start(&directory.options()).unwrap();
    let url = first.url("postgres");
    query(&url, "create table kept as select 42 as answer");
    let first_pid = first.pid();
    first.stop();
    first.stop();
    assert!(!is_alive(first_pid));
    drop(first);

    let second = Embedded::start(&directory.options()).unwrap();

    assert_eq!(second.url("postgres"), url);
    assert_eq!(query(&url, "select answer from kept"), "42");
    assert!(second.started_in() > Duration::ZERO);
}

#[test]
fn a_dropped_server_frees_its_directory_at_once_also_while_other_threads_start_commands() {
    let directory = TestDirectory::new();
    let is_done = AtomicBool::new(false);

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    Command::new("true").status().unwrap();
                }
            });
        }
        let starts: Vec<_> =
            (0..10).map(|_| Embedded::start(&directory.options()).map(drop)).collect();
        is_done.store(true, Ordering::Relaxed);
        assert!(starts.iter().all(Result::is_ok), "{starts:?}");
    });
}

#[test]
fn a_callers_setting_wins_over_ours() {
    let directory = TestDirectory::new();
    let settings = vec![("max_connections".to_owned(), "30".to_owned())];

    let server = Embedded::start(&Options { settings, ..directory.options() }).unwrap();

    assert_eq!(query(&server.url("postgres"), "show max_connections"), "30");
}

#[test]
fn another_processs_server_is_found_only_while_it_runs() {
    let directory = TestDirectory::new();
    assert_eq!(Embedded::running(&directory.server()), None);

    let mut server = Embedded::start(&directory.options()).unwrap();
    let found = Embedded::running(&directory.server());
    let url = server.url("postgres");
    server.stop();

    assert_eq!(found.map(|address| address.url("postgres")), Some(url));
    assert_eq!(Embedded::running(&directory.server()), None);
}

#[test]
fn a_directory_too_long_for_a_socket_works_and_leaves_no_socket_behind() {
    let directory = TestDirectory::new();
    let long = directory.0.join("x".repeat(90)).join("ä b+c");
    let mut server = Embedded::start(&Options { directory: long, ..directory.options() }).unwrap();
    let url = server.url("postgres");

    let sockets = query(&url, "show unix_socket_directories");
    server.stop();

    assert!(Path::new(&sockets).starts_with(std::env::temp_dir()), "{sockets}");
    assert!(!Path::new(&sockets).exists());
}

#[test]
fn a_killed_initdb_leaves_nothing_in_the_way() {
    let directory = TestDirectory::new();
    fs::create_dir_all(directory.server().join("data.new-1/base")).unwrap();

    let server = Embedded::start(&directory.options()).unwrap();

    assert_eq!(query(&server.url("postgres"), "select 1"), "1");
    assert!(!directory.server().join("data.new-1").exists());
}

#[test]
fn a_log_that_has_grown_is_put_aside_at_the_next_start() {
    let directory = TestDirectory::new();
    fs::create_dir(directory.server()).unwrap();
    let log = directory.server().join("postgres.log");
    fs::write(&log, vec![b'x'; (10 << 20) + 1]).unwrap();

    let _server = Embedded::start(&directory.options()).unwrap();

    assert!(fs::metadata(&log).unwrap().len() < 10_000);
    assert!(fs::metadata(log.with_extension("log.1")).unwrap().len() > 10 << 20);
}

#[test]
fn the_log_holds_no_values_and_no_statements() {
    let directory = TestDirectory::new();
    let server = Embedded::start(&directory.options()).unwrap();
    let url = server.url("postgres");

    query(&url, "create table users (email text primary key)");
    let insert = "insert into users values ('ann@example.org')";
    query(&url, insert);
    assert!(try_query(&url, insert).is_err());

    let log = directory.server().join("postgres.log");
    let text = wait_for("the error in the log", || {
        fs::read_to_string(&log).ok().filter(|text| text.contains("duplicate key"))
    });
    assert!(!text.contains("ann@"), "{text}");
}
