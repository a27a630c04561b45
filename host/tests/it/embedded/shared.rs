//! One server for many test processes.

use duologue::embedded::Embedded;

use super::support::{Host, TestDirectory, is_alive, query, wait_for};

#[test]
fn a_shared_server_serves_all_and_ends_by_itself_after_its_last_user() {
    let directory = TestDirectory::new();
    let options = directory.options();
    // A process of its own starts it, and does not take it along when it is killed.
    let mut starter = Host::spawn(&directory.server(), "shared");
    wait_for("the shared server", || Embedded::running(&directory.server()));

    let first = Embedded::shared(&options).unwrap();
    let second = Embedded::shared(&options).unwrap();
    let pid = first.pid();
    starter.kill();
    drop(first);

    assert_eq!(pid, second.pid());
    assert_eq!(query(&second.url("postgres"), "show fsync"), "off");
    assert_eq!(query(&second.url("postgres"), "show synchronous_commit"), "on");
    drop(second);
    wait_for("the shared server to end", || (!is_alive(pid)).then_some(()));
    let next = Embedded::shared(&options).unwrap();
    assert_ne!(next.pid(), pid);
    assert_eq!(query(&next.url("postgres"), "select 1"), "1");
    let pid = next.pid();
    drop(next);
    wait_for("the next one to end", || (!is_alive(pid)).then_some(()));
}
