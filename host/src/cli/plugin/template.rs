//! What `duologue plugin new` writes: the templates of `plugins/`, with the SDK and the interface
//! that this server was built with.

/// A language that there is a template for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Language {
    Rust,
    Javascript,
    Python,
}

/// A file, by its place in the plugin's folder.
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

/// Files of the repository, by their place in the plugin's folder.
macro_rules! files {
    ($($path:literal from $source:literal),+ $(,)?) => {
        &[$(File { path: $path, text: include_str!(concat!("../../../../", $source)) }),+]
    };
}

impl Language {
    /// Where in a plugin's folder the interface lies.
    pub(super) fn wit_folder(self) -> &'static str {
        match self {
            Self::Rust => "sdk/wit",
            Self::Javascript | Self::Python => "wit/deps/duologue",
        }
    }

    /// All but the interface.
    pub(super) fn files(self) -> impl Iterator<Item = &'static File> {
        let own = match self {
            Self::Rust => RUST,
            Self::Javascript => JAVASCRIPT,
            Self::Python => PYTHON,
        };
        own.iter().chain(COMMON)
    }
}

const COMMON: &[File] = files![
    "README.md" from "plugins/templates/README.md",
    "fixtures/passes.json" from "plugins/templates/fixtures/passes.json",
    "fixtures/refuses.json" from "plugins/templates/fixtures/refuses.json",
];

const RUST: &[File] = files![
    ".cargo/config.toml" from "plugins/.cargo/config.toml",
    ".gitignore" from "plugins/templates/rust/gitignore",
    "Cargo.toml" from "plugins/templates/rust/Cargo.toml",
    "src/lib.rs" from "plugins/templates/rust/src/lib.rs",
    "sdk/Cargo.toml" from "plugins/sdk/Cargo.toml",
    "sdk/src/bindings.rs" from "plugins/sdk/src/bindings.rs",
    "sdk/src/capabilities.rs" from "plugins/sdk/src/capabilities.rs",
    "sdk/src/config.rs" from "plugins/sdk/src/config.rs",
    "sdk/src/decide.rs" from "plugins/sdk/src/decide.rs",
    "sdk/src/event.rs" from "plugins/sdk/src/event.rs",
    "sdk/src/heap.rs" from "plugins/sdk/src/heap.rs",
    "sdk/src/hooks.rs" from "plugins/sdk/src/hooks.rs",
    "sdk/src/lib.rs" from "plugins/sdk/src/lib.rs",
    "sdk/src/log.rs" from "plugins/sdk/src/log.rs",
    "sdk/src/memory.rs" from "plugins/sdk/src/memory.rs",
    "sdk/src/notify.rs" from "plugins/sdk/src/notify.rs",
    "sdk/src/testing.rs" from "plugins/sdk/src/testing.rs",
    "sdk/src/texts.rs" from "plugins/sdk/src/texts.rs",
    "sdk/src/validate.rs" from "plugins/sdk/src/validate.rs",
];

const JAVASCRIPT: &[File] = files![
    ".gitignore" from "plugins/templates/javascript/gitignore",
    "jsconfig.json" from "plugins/templates/javascript/jsconfig.json",
    "package.json" from "plugins/templates/javascript/package.json",
    "plugin.js" from "plugins/templates/javascript/plugin.js",
    "types.mjs" from "plugins/templates/javascript/types.mjs",
    "wit/plugin.wit" from "plugins/templates/plugin.wit",
];

const PYTHON: &[File] = files![
    ".gitignore" from "plugins/templates/python/gitignore",
    "plugin.py" from "plugins/templates/python/plugin.py",
    "requirements.txt" from "plugins/templates/python/requirements.txt",
    "wit/plugin.wit" from "plugins/templates/plugin.wit",
];

/// The interface, file by file.
pub(super) const WIT: &[File] = files![
    "before-send.wit" from "wit/before-send.wit",
    "directory.wit" from "wit/directory.wit",
    "http.wit" from "wit/http.wit",
    "imports.wit" from "wit/imports.wit",
    "kv.wit" from "wit/kv.wit",
    "lifecycle.wit" from "wit/lifecycle.wit",
    "messages.wit" from "wit/messages.wit",
    "on-event.wit" from "wit/on-event.wit",
    "on-notify.wit" from "wit/on-notify.wit",
    "secrets.wit" from "wit/secrets.wit",
    "types.wit" from "wit/types.wit",
    "validate-content.wit" from "wit/validate-content.wit",
    "world.wit" from "wit/world.wit",
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    fn names(folder: &str) -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn no_file_of_the_interface_or_the_sdk_is_left_out() {
        let wit: BTreeSet<String> = WIT.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(wit, names("wit"));

        let sdk = RUST.iter().filter_map(|file| file.path.strip_prefix("sdk/src/"));
        assert_eq!(sdk.map(str::to_owned).collect::<BTreeSet<_>>(), names("plugins/sdk/src"));
    }
}
