//! What this server offers of `wit/`, by name.

/// The package of every interface here.
pub(super) const PACKAGE: &str = "duologue:plugin";

/// The version of `wit/`, without its patch number: what guests must agree with.
pub(super) const OFFERED: &str = "0.2";

/// A point at which plugins take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    ValidateContent,
    BeforeSend,
    OnNotify,
    OnEvent,
}

impl Hook {
    pub const ALL: [Self; 4] =
        [Self::ValidateContent, Self::BeforeSend, Self::OnNotify, Self::OnEvent];

    /// The name of its interface.
    pub fn as_str(self) -> &'static str {
        self.export().interface
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.as_str() == name)
    }

    pub(super) fn export(self) -> &'static Export {
        match self {
            Self::ValidateContent => {
                &Export { interface: "validate-content", functions: &["content-types", "validate"] }
            }
            Self::BeforeSend => &Export { interface: "before-send", functions: &["before-send"] },
            Self::OnNotify => &Export { interface: "on-notify", functions: &["on-notify"] },
            Self::OnEvent => &Export { interface: "on-event", functions: &["kinds", "on-event"] },
        }
    }
}

/// An interface of a guest, and each function that this server calls of it.
pub(super) struct Export {
    pub(super) interface: &'static str,
    pub(super) functions: &'static [&'static str],
}

/// Optional: asked before a version decides anything.
pub(super) const LIFECYCLE: Export = Export { interface: "lifecycle", functions: &["check"] };

/// What every guest may import. The linker checks the types of all imports.
const COMMON: &[&str] = &["log", "config"];

/// What an admin must grant first.
const CAPABILITIES: &[&str] = &["history", "kv", "http", "secrets", "directory", "messages"];

/// What a guest may import.
pub(super) fn imports() -> impl Iterator<Item = &'static str> {
    COMMON.iter().chain(CAPABILITIES).copied()
}

/// What an admin may grant.
pub fn capabilities() -> &'static [&'static str] {
    CAPABILITIES
}

/// The name of one of our interfaces in a guest, such as `duologue:plugin/before-send@0.2.3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OurName<'a> {
    pub(super) interface: &'a str,
    /// Empty where the guest names none.
    pub(super) version: &'a str,
}

impl<'a> OurName<'a> {
    /// `None`: the name is not of our package.
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let rest = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        Some(Self { interface, version })
    }

    /// Whether guest and server understand each other: 0.2.x does, with or without what came
    /// later in 0.2; a preview of a version does not.
    pub(super) fn is_compatible(&self) -> bool {
        let patch = self.version.strip_prefix(OFFERED).and_then(|rest| rest.strip_prefix('.'));
        patch.is_some_and(|patch| patch.parse::<u32>().is_ok())
    }

    /// The export that this server calls by that name.
    pub(super) fn export(&self) -> Option<&'static Export> {
        let hooks = Hook::ALL.into_iter().map(Hook::export);
        hooks.chain([&LIFECYCLE]).find(|export| export.interface == self.interface)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_wit_package() {
        let wit = include_str!("../../../wit/world.wit");

        assert!(wit.contains(&format!("package {PACKAGE}@{OFFERED}.")));
    }

    #[test]
    fn only_the_patch_number_may_differ() {
        let compatible = |name: &str| OurName::parse(name).unwrap().is_compatible();

        assert!(compatible("duologue:plugin/before-send@0.2.0"));
        assert!(compatible("duologue:plugin/before-send@0.2.12"));
        for other in ["@0.1.0", "@0.20.0", "@1.2.0", "@0.2", "@0.2.0-rc.1", "@", ""] {
            assert!(!compatible(&format!("duologue:plugin/before-send{other}")), "{other}");
        }
    }

    #[test]
    fn names_of_other_packages_are_not_ours() {
        for other in ["wasi:io/poll@0.2.0", "duologue:plugins/x@0.1.0", "duologue:plugin", "init"] {
            assert_eq!(OurName::parse(other), None, "{other}");
        }
    }
}
