//! Small guests, most of them hostile: core modules in text, made into components here.

pub mod content;

use std::{fmt::Write, path::Path};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

pub const SPIN: &str = include_str!("spin.wat");
pub const SPIN_AT_START: &str = include_str!("spin-at-start.wat");
pub const SPIN_IN_REALLOC: &str = include_str!("spin-in-realloc.wat");
pub const HOG: &str = include_str!("hog.wat");
pub const TABLE_HOG: &str = include_str!("table-hog.wat");
pub const TRAP: &str = include_str!("trap.wat");
pub const DEEP: &str = include_str!("deep.wat");
pub const LONG_ANSWER: &str = include_str!("long-answer.wat");
pub const FLOOD: &str = include_str!("flood.wat");
pub const REMEMBER: &str = include_str!("remember.wat");
pub const STAIN: &str = include_str!("stain.wat");
pub const LOOK: &str = include_str!("look.wat");
pub const ECHO_CONFIG: &str = include_str!("echo-config.wat");
pub const ECHO_CALLER: &str = include_str!("echo-caller.wat");
pub const HISTORY: &str = include_str!("history.wat");
pub const CURIOUS: &str = include_str!("curious.wat");
pub const LIFECYCLE: &str = include_str!("lifecycle.wat");
pub const PANICKING: &str = include_str!("panicking.wat");

const HEARING: &str = include_str!("hearing.wat");
const ASKING: &str = include_str!("asking.wat");
const CONSTANT: &str = include_str!("constant.wat");
const WASI: &str = include_str!("wasi.wat");
const REALLOC: &str = include_str!("realloc.wat");

/// The interfaces as one text; `world.wit` comes first because it names the package.
pub fn wit() -> String {
    [
        include_str!("../../../../wit/world.wit"),
        include_str!("../../../../wit/types.wit"),
        include_str!("../../../../wit/before-send.wit"),
        include_str!("../../../../wit/imports.wit"),
        include_str!("../../../../wit/lifecycle.wit"),
        include_str!("../../../../wit/kv.wit"),
        include_str!("../../../../wit/http.wit"),
        include_str!("../../../../wit/secrets.wit"),
        include_str!("../../../../wit/directory.wit"),
        include_str!("../../../../wit/messages.wit"),
        include_str!("../../../../wit/validate-content.wit"),
        include_str!("../../../../wit/on-notify.wit"),
        include_str!("../../../../wit/on-event.wit"),
    ]
    .concat()
}

/// The bytes of a core module.
pub fn module(wat: &str) -> Vec<u8> {
    wat::parse_str(wat.replace("{realloc}", REALLOC)).unwrap()
}

/// A guest that tries something of WASI, given as instructions.
pub fn trying(trial: &str) -> Vec<u8> {
    const IMPORTS: [&str; 7] = [
        "io/poll",
        "io/streams",
        "clocks/monotonic-clock",
        "random/random",
        "cli/stdin",
        "cli/stdout",
        "cli/exit",
    ];
    let imports = IMPORTS.map(|interface| format!("import wasi:{interface}@0.2.3;"));
    let wit = wit().replace("import log;", &format!("import log; {}", imports.concat()));
    component_of(&[&wit, include_str!("wasi.wit")].concat(), &WASI.replace("{trial}", trial))
}

/// A guest that asks the server for something, given as instructions, and tells those who review
/// what it heard: by `$say`, or by `$digit` for a number below 10. Texts lie from 2048 on.
pub fn asking(interfaces: &[&str], texts: &[&str], asking: &str) -> Vec<u8> {
    let items: Vec<String> = interfaces.iter().map(|name| format!("import {name};")).collect();
    let imports: Vec<&str> = interfaces.iter().map(|name| core_imports(name)).collect();
    let wat = ASKING
        .replace("{imports}", &imports.concat())
        .replace("{texts}", &texts.concat())
        .replace("{asking}", asking);
    component_with(&items.concat(), &wat)
}

/// A guest that wants to hear of these kinds of events, numbered as in `wit/`; before it says so
/// it does as given in instructions.
pub fn hearing(kinds: &[u8], before: &str) -> Vec<u8> {
    let wat = HEARING
        .replace("{kinds}", &escaped(kinds))
        .replace("{count}", &format!("{:02x}", kinds.len()))
        .replace("{before}", before);
    component_with("export on-event;", &wat)
}

/// The imports of an interface as a core module has them.
fn core_imports(interface: &str) -> &'static str {
    match interface {
        "kv" => {
            r#"
            (import "duologue:plugin/kv@0.2.0" "get" (func $get (param i32 i32 i32)))
            (import "duologue:plugin/kv@0.2.0" "set"
              (func $set (param i32 i32 i32 i32 i32 i32 i32 i64 i32)))
            (import "duologue:plugin/kv@0.2.0" "delete" (func $delete (param i32 i32 i32)))
            (import "duologue:plugin/kv@0.2.0" "increment"
              (func $increment (param i32 i32 i64 i32 i32 i32)))
            "#
        }
        "http" => {
            r#"
            (import "duologue:plugin/http@0.2.0" "send"
              (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
            "#
        }
        "secrets" => {
            r#"
            (import "duologue:plugin/secrets@0.2.0" "open" (func $open (param i32 i32 i32)))
            (import "duologue:plugin/secrets@0.2.0" "[resource-drop]secret"
              (func $close (param i32)))
            "#
        }
        "directory" => {
            r#"
            (import "duologue:plugin/directory@0.2.0" "find" (func $find (param i32 i32 i32)))
            "#
        }
        other => panic!("{other}"),
    }
}

/// A guest in another language or of another crate, built by `make guests` (`host/tools/runtime-guests.sh`).
pub fn built(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests").join(name);
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `make guests` first", path.display()))
}

/// A component of the world `filter`.
pub fn component(wat: &str) -> Vec<u8> {
    component_of(&wit(), wat)
}

/// A component of that world with one more item, such as `import history;`.
pub fn component_with(item: &str, wat: &str) -> Vec<u8> {
    let world = "world filter {\n";
    component_of(&wit().replace(world, &format!("{world}    {item}\n")), wat)
}

/// A component of the world `notifier`, of a text that is written for the hook `before-send`.
pub fn notifier(wat: &str) -> Vec<u8> {
    let wat = wat.replace("before-send@0.2.0#before-send", "on-notify@0.2.0#on-notify");
    component_in("notifier", &wit(), &wat)
}

/// The same, as if built for another version of the package.
pub fn component_for(version: &str, wat: &str) -> Vec<u8> {
    let as_version = |text: &str| text.replace("@0.2.0", &format!("@{version}"));
    component_of(&as_version(&wit()), &as_version(wat))
}

/// The same, with other interfaces than ours.
pub fn component_of(wit: &str, wat: &str) -> Vec<u8> {
    component_in("filter", wit, wat)
}

fn component_in(world: &str, wit: &str, wat: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = module(wat);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// A guest that lets everything pass.
pub fn pass() -> Vec<u8> {
    component(&constant(&Answer::default()))
}

/// A guest that always gives this answer.
pub fn answering(answer: &Answer) -> Vec<u8> {
    component(&constant(answer))
}

/// The text of such a guest.
pub fn constant(answer: &Answer) -> String {
    CONSTANT.replace("{answer}", &escaped(&answer.bytes))
}

/// Bytes as a module in text has them.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "\\{byte:02x}").unwrap();
    }
    text
}

/// The memory of a guest that holds an answer, laid out as the canonical ABI has it: the outcome
/// at 0, the verdict at 4, what it carries from 8 on, the labels at 48, the explanation at 56, and
/// texts and lists from 128 on.
pub struct Answer {
    bytes: Vec<u8>,
}

impl Default for Answer {
    fn default() -> Self {
        Self { bytes: vec![0; 128] }
    }
}

impl Answer {
    pub fn declined(reason: &str) -> Self {
        let mut answer = Self::default();
        answer.bytes[0] = 1;
        answer.text(8, reason);
        answer
    }

    pub fn reject(code: &str, message: &str, details: &str) -> Self {
        let mut answer = Self::default();
        answer.bytes[4] = 2;
        answer.text(8, code);
        answer.some_text(16, message);
        answer.some_text(28, details);
        answer.word(40, 1);
        answer.word(44, 1500);
        answer
    }

    /// Held for so many seconds, then refused.
    pub fn hold(reason: &str, ttl_seconds: Option<u32>) -> Self {
        let mut answer = Self::default();
        answer.bytes[4] = 3;
        answer.text(8, reason);
        if let Some(ttl) = ttl_seconds {
            answer.word(16, 1);
            answer.word(20, ttl);
        }
        answer.bytes[24] = 1;
        answer
    }

    pub fn shadow() -> Self {
        let mut answer = Self::default();
        answer.bytes[4] = 4;
        answer
    }

    /// The same with so many labels of this name, each of the score and of high severity.
    pub fn labelled(mut self, name: &str, score: f32, count: u32) -> Self {
        let list = self.bytes.len();
        self.word(48, u32::try_from(list).unwrap());
        self.word(52, count);
        self.bytes.resize(list + 20 * count as usize, 0);
        for at in (list..).step_by(20).take(count as usize) {
            self.text(at, name);
            self.word(at + 8, 1);
            self.word(at + 12, score.to_bits());
            self.bytes[at + 16] = 3;
        }
        // Lists of records are aligned, too.
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    pub fn explained(mut self, explanation: &str) -> Self {
        self.some_text(56, explanation);
        self
    }

    pub fn content(content: &str) -> Self {
        let mut answer = Self::default();
        answer.bytes[4] = 1;
        answer.some_text(8, content);
        answer
    }

    /// So many attachments of nothing.
    pub fn attachments(count: u32) -> Self {
        let mut answer = Self::default();
        answer.bytes[4] = 1;
        answer.word(20, 1);
        answer.word(24, 128);
        answer.word(28, count);
        answer.bytes.resize(128 + 32 * count as usize, 0);
        answer
    }

    /// Sets one key of the metadata.
    pub fn metadata(key: &str, value: &str) -> Self {
        let mut answer = Self::default();
        answer.bytes[4] = 1;
        answer.word(32, 128);
        answer.word(36, 1);
        answer.bytes.resize(128 + 20, 0);
        answer.text(128, key);
        answer.some_text(136, value);
        answer
    }

    fn some_text(&mut self, at: usize, text: &str) {
        self.bytes[at] = 1;
        self.text(at + 4, text);
    }

    fn text(&mut self, at: usize, text: &str) {
        let start = u32::try_from(self.bytes.len()).unwrap();
        self.word(at, start);
        self.word(at + 4, u32::try_from(text.len()).unwrap());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn word(&mut self, at: usize, word: u32) {
        self.bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
}
