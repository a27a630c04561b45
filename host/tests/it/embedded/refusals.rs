//! What is refused says what to do, and changes nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use duologue::embedded::{Embedded, EmbeddedError, Options};

use super::support::{Host, TestDirectory, is_root, query};

#[test]
fn a_second_server_on_one_directory_is_refused_and_the_first_one_stays() {
    let directory = TestDirectory::new();
    let (_host, url) = Host::start(&directory.server());

    let error = Embedded::start(&directory.options()).unwrap_err();

    assert!(matches!(error, EmbeddedError::InUse(_)));
    assert!(error.to_string().contains("is in use by another server"), "{error}");
    assert_eq!(query(&url, "select 1"), "1");
}

#[test]
fn a_link_in_place_of_the_socket_directory_is_refused() {
    let directory = TestDirectory::new();
    fs::create_dir(directory.server()).unwrap();
    symlink("/etc", directory.server().join("s")).unwrap();

    let error = Embedded::start(&directory.options()).unwrap_err();

    assert!(matches!(error, EmbeddedError::SocketsNotPrivate(_)), "{error}");
}

#[test]
fn as_root_a_directory_that_postgres_cannot_enter_is_named() {
    if !is_root() {
        return; // Postgres then enters whatever we enter.
    }
    let directory = TestDirectory::new();
    let closed = directory.0.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();

    let options = Options { directory: closed.join("deeper/pg"), ..directory.options() };
    let error = Embedded::start(&options).unwrap_err();

    let EmbeddedError::CannotEnter { directory, .. } = &error else { panic!("{error}") };
    assert_eq!(*directory, closed);
}

#[test]
fn what_is_no_cluster_is_left_alone() {
    let directory = TestDirectory::new();
    let precious = directory.server().join("data/precious");
    fs::create_dir_all(precious.parent().unwrap()).unwrap();
    fs::write(&precious, "text").unwrap();

    let error = Embedded::start(&directory.options()).unwrap_err();

    assert!(matches!(error, EmbeddedError::NoCluster(_)), "{error}");
    assert_eq!(fs::read_to_string(precious).unwrap(), "text");
}

#[test]
fn a_postgres_that_cannot_start_says_why() {
    let directory = TestDirectory::new();
    let settings = vec![("max_connections".to_owned(), "many".to_owned())];

    let error = Embedded::start(&Options { settings, ..directory.options() }).unwrap_err();

    assert!(error.to_string().contains("max_connections"), "{error}");
    assert_eq!(error.to_string().lines().count(), 1);
}
