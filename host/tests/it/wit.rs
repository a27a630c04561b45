//! The plugin interface as it lies in `wit/`.

use std::path::Path;

use wit_parser::{Resolve, TypeDefKind};

/// What guests may ask of the host beside `log` and `config`.
#[test]
fn the_imports_are_there_and_can_be_read() {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).unwrap();
    let offered = [
        ("kv", &["get", "set", "delete", "increment"][..]),
        ("http", &["send"]),
        ("secrets", &["open"]),
        ("directory", &["find"]),
    ];

    for (interface, functions) in offered {
        let id = resolve.packages[package].interfaces[interface];
        let interface = &resolve.interfaces[id];

        let names: Vec<&str> = interface.functions.keys().map(String::as_str).collect();
        assert_eq!(names, functions);
        assert!(interface.docs.contents.is_some());
        assert!(interface.functions.values().all(|function| function.docs.contents.is_some()));
    }
    let secrets = &resolve.interfaces[resolve.packages[package].interfaces["secrets"]];
    assert_eq!(resolve.types[secrets.types["secret"]].kind, TypeDefKind::Resource);
}
