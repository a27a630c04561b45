//! Which module may use which, which crate is named where, and how long a file may get.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every module of `src`, and the modules that it may use beside itself.
const MODULES: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("error", &["domain"]),
    ("events", &["domain"]),
    ("settings", &["domain"]),
    ("auth", &["domain", "error", "settings"]),
    ("db", &["domain"]),
    ("plugin", &["domain", "error"]),
    ("service", &["domain", "error", "events", "settings", "auth", "db", "plugin"]),
    ("wire", &["domain", "error", "service"]),
    ("http", &["domain", "error", "service", "wire"]),
    ("socket", &["domain", "error", "events", "service", "wire"]),
    ("embedded", &[]),
];

/// Commands, and what builds it all and runs it: these use everything.
const TOP: &[&str] = &["app", "cli", "lib", "main"];

/// The crates that have a home, and the folders and files that are it.
const CRATES: &[(&str, &[&str])] = &[
    ("axum", &["http", "app"]),
    ("socketioxide", &["socket", "app"]),
    ("wasmtime", &["plugin"]),
    ("sqlx", &["db", "domain/ids.rs"]),
];

const MOST_LINES: usize = 400;

#[test]
fn modules_use_only_what_they_may() {
    let breaches = breaches(|source| {
        let allowed = MODULES.iter().find(|(name, _)| *name == source.module);
        let Some((_, allowed)) = allowed else { return Vec::new() };
        source
            .used_modules()
            .into_iter()
            .filter(|used| *used != source.module && !allowed.contains(&used.as_str()))
            .map(|used| format!("uses {used}"))
            .collect()
    });

    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn every_module_has_its_row() {
    let breaches = breaches(|source| {
        let module = source.module.as_str();
        let is_known = TOP.contains(&module) || MODULES.iter().any(|(name, _)| *name == module);
        if is_known { Vec::new() } else { vec![format!("is of {module}, which has no row")] }
    });

    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn crates_stay_home() {
    let breaches = breaches(|source| {
        CRATES
            .iter()
            .filter(|(_, homes)| !homes.iter().any(|home| source.path.starts_with(home)))
            .filter(|(name, _)| source.names_crate(name))
            .map(|(name, _)| format!("names {name}"))
            .collect()
    });

    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn files_stay_short_before_their_tests() {
    let breaches = breaches(|source| {
        let lines = source.text.lines().take_while(|line| *line != "mod tests {").count();
        if lines <= MOST_LINES { Vec::new() } else { vec![format!("has {lines} lines")] }
    });

    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn what_a_source_uses_is_seen_however_it_is_written() {
    let source = Source::new(
        "http/mod.rs",
        r"
        use crate::{
            Error, db::{self, Db},
            events,
        };
        //! A word about crate::cli.
        pub(in crate::http) fn try_it() -> crate::service::Page { crate::wire::page() }
        use axum as web;
        ",
    );

    assert_eq!(source.module, "http");
    assert_eq!(source.used_modules(), ["db", "error", "events", "http", "service", "wire"]);
    assert!(source.names_crate("axum"));
    assert!(!source.names_crate("xum"));
    assert!(!Source::new("wire/mod.rs", "use my_axum::x; // axum::Json").names_crate("axum"));
}

/// What is wrong with the sources, each with its path.
fn breaches(of: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    sources()
        .iter()
        .flat_map(|source| {
            of(source).into_iter().map(|breach| format!("{} {breach}", source.path.display()))
        })
        .collect()
}

struct Source {
    /// Below `src`.
    path: PathBuf,
    module: String,
    /// Without comments.
    text: String,
}

impl Source {
    fn new(path: impl Into<PathBuf>, text: &str) -> Self {
        let path = path.into();
        let first = Path::new(path.iter().next().unwrap());
        let module = first.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = text.lines().map(|line| line.split("//").next().unwrap());
        Self { path, module, text: text.collect::<Vec<_>>().join("\n") }
    }

    /// The modules behind each `crate::…` and each `crate::{…, …}`, sorted.
    fn used_modules(&self) -> Vec<String> {
        let mut used: Vec<String> = self
            .text
            .split("crate::")
            .skip(1)
            .flat_map(|rest| match rest.strip_prefix('{') {
                Some(group) => first_words_of_group(group),
                None => vec![first_word(rest)],
            })
            // These two stand at the root.
            .map(|name| if matches!(name, "Error" | "Result") { "error" } else { name })
            .map(str::to_owned)
            .collect();
        used.sort();
        used.dedup();
        used
    }

    /// Whether a path begins with the crate, or it is brought into scope.
    fn names_crate(&self, name: &str) -> bool {
        self.text.match_indices(name).any(|(at, _)| {
            let before = self.text[..at].chars().next_back();
            let after = &self.text[at + name.len()..];
            !before.is_some_and(is_word)
                && ["::", ";", " as "].iter().any(|end| after.starts_with(end))
        })
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn first_word(text: &str) -> &str {
    text.split(|c| !is_word(c)).next().unwrap_or_default()
}

/// From `a::b, c::{d, e}, f};`: `a`, `c` and `f`.
fn first_words_of_group(group: &str) -> Vec<&str> {
    let mut depth = 0;
    let mut words = vec![first_word(group.trim_start())];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => words.push(first_word(group[at + 1..].trim_start())),
            _ => {}
        }
    }
    // After a last comma.
    words.retain(|word| !word.is_empty());
    words
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut pending = vec![root.clone()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source::new(path.strip_prefix(&root).unwrap(), &text));
        }
    }
    assert!(!sources.is_empty());
    sources
}
