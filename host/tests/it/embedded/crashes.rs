//! What is killed comes back, or goes, but never stays half.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use duologue::embedded::{Embedded, Notice, Options};

use super::support::{Host, TestDirectory, is_alive, pid_on_file, psql, query, signal, wait_for};

#[test]
fn a_stale_pid_file_with_the_pid_of_another_process_does_not_matter() {
    let directory = TestDirectory::new();
    drop(Embedded::start(&directory.options()).unwrap());
    let (data, sockets) = (directory.server().join("data"), directory.server().join("s"));
    // Ourselves: alive, and no Postgres.
    let pid = std::process::id();
    let text = format!(
        "{pid}\n{}\n1700000000\n5432\n{}\n\n 5432001 1\nready\n",
        data.display(),
        sockets.display()
    );
    fs::write(data.join("postmaster.pid"), text).unwrap();

    assert_eq!(Embedded::running(&directory.server()), None);
    let server = Embedded::start(&directory.options()).unwrap();

    assert_ne!(server.pid(), pid);
    assert_eq!(query(&server.url("postgres"), "select 1"), "1");
}

#[test]
fn postgres_ends_cleanly_when_its_host_is_killed() {
    let directory = TestDirectory::new();
    let (mut host, url) = Host::start(&directory.server());
    query(&url, "create table kept as select 7 as answer");
    let postgres = pid_on_file(&directory.server()).unwrap();

    host.kill();
    wait_for("Postgres to end", || (!is_alive(postgres)).then_some(()));

    // It removes the file itself when it ends well.
    assert_eq!(pid_on_file(&directory.server()), None);
    let server = Embedded::start(&directory.options()).unwrap();
    assert_eq!(query(&server.url("postgres"), "select answer from kept"), "7");
}

#[test]
fn a_server_that_outlived_host_and_wrapper_is_ended_by_the_next_start() {
    let directory = TestDirectory::new();
    let (mut host, _) = Host::start(&directory.server());
    let postgres = pid_on_file(&directory.server()).unwrap();
    // The wrapper's group, but not Postgres: the shell and its watcher share the group.
    let listing = Command::new("ps").args(["-eo", "pid=,pgid=,ppid=,comm="]).output().unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    let rows: Vec<Vec<&str>> =
        listing.lines().map(|line| line.split_whitespace().collect()).collect();
    let postgres_text = postgres.to_string();
    let group = rows.iter().find(|row| row[0] == postgres_text).unwrap()[1];
    let wrapper = rows.iter().filter(|row| row[1] == group && row[3] == "sh");
    let wrapper: Vec<u32> = wrapper.map(|row| row[0].parse().unwrap()).collect();
    assert_eq!(wrapper.len(), 2);
    // The host first, stopped, so that neither restarts nor ends anything.
    signal(host.0.id(), "-STOP");
    for pid in wrapper {
        signal(pid, "-9");
    }
    host.kill();
    assert!(is_alive(postgres));

    let server = Embedded::start(&directory.options()).unwrap();

    assert!(!is_alive(postgres));
    assert_ne!(server.pid(), postgres);
    assert_eq!(query(&server.url("postgres"), "select 1"), "1");
}

#[test]
fn a_paused_server_of_a_killed_host_is_ended_by_the_next_start() {
    let directory = TestDirectory::new();
    let (mut host, _) = Host::start(&directory.server());
    let postgres = pid_on_file(&directory.server()).unwrap();
    signal(postgres, "-STOP");
    host.kill();

    let server = Embedded::start(&directory.options()).unwrap();

    assert!(!is_alive(postgres));
    assert_eq!(query(&server.url("postgres"), "select 1"), "1");
}

#[test]
fn killed_postgres_comes_back_by_itself_each_time_with_every_commit() {
    static ENDED: AtomicU32 = AtomicU32::new(0);
    static RESTARTED: AtomicU32 = AtomicU32::new(0);
    let directory = TestDirectory::new();
    let notify = |notice: &Notice| match notice {
        Notice::Ended { .. } => drop(ENDED.fetch_add(1, Ordering::Relaxed)),
        Notice::Restarted { .. } => drop(RESTARTED.fetch_add(1, Ordering::Relaxed)),
        _ => {}
    };
    let mut server = Embedded::start(&Options { notify, ..directory.options() }).unwrap();
    let url = server.url("postgres");
    query(&url, "create table kept (round int)");

    for round in 1..=3 {
        query(&url, &format!("insert into kept values ({round})"));
        let killed = server.pid();
        signal(killed, "-9");
        wait_for("Postgres to be back", || (server.pid() != killed).then_some(()));

        assert_eq!(query(&url, "select count(*) from kept"), round.to_string());
    }

    let last = server.pid();
    server.stop();
    assert!(!is_alive(last));
    assert_eq!(ENDED.load(Ordering::Relaxed), 3);
    assert_eq!(RESTARTED.load(Ordering::Relaxed), 3);
}

#[test]
fn a_backend_that_outlives_the_killed_postmaster_is_ended_before_the_restart() {
    let directory = TestDirectory::new();
    let server = Embedded::start(&directory.options()).unwrap();
    let url = server.url("postgres");
    // Never waits, so it does not notice that the postmaster is gone.
    let endless = "do $$ begin loop end loop; end $$";
    let mut client =
        Command::new(psql()).args(["-XAtqc", endless, &url]).stderr(Stdio::null()).spawn().unwrap();
    let find =
        "select pid from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()";
    let busy: u32 = wait_for("the endless loop", || query(&url, find).parse().ok());
    let killed = server.pid();

    signal(killed, "-9");
    wait_for("Postgres to be back", || (server.pid() != killed).then_some(()));

    assert!(!is_alive(busy));
    assert_eq!(query(&url, "select 1"), "1");
    client.wait().unwrap();
}

#[test]
fn a_server_can_be_stopped_while_it_waits_to_restart_postgres() {
    let directory = TestDirectory::new();
    let mut server = Embedded::start(&directory.options()).unwrap();
    let aside = directory.server().join("aside");
    fs::rename(directory.server().join("data"), &aside).unwrap();
    signal(server.pid(), "-9");

    server.stop();
    drop(server);

    fs::rename(&aside, directory.server().join("data")).unwrap();
    let server = Embedded::start(&directory.options()).unwrap();
    assert_eq!(query(&server.url("postgres"), "select 1"), "1");
}
