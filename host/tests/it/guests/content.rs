//! Guests that judge content types.

use std::fmt::Write;

use super::{component_of, core_imports, wit};

const JUDGING: &str = include_str!("judging.wat");

/// What such a guest says: of its types, and of contents that it accepts or refuses.
#[derive(Clone, Default)]
pub struct Judging<'a> {
    /// Each with its schema.
    pub types: &'a [(&'a str, Option<&'a str>)],
    /// What is to be stored instead of what was sent.
    pub content: Option<&'a str>,
    pub preview: Option<&'a str>,
    /// Each with its path and message, of what has `?` for its second byte.
    pub violations: &'a [(&'a str, &'a str)],
}

impl Judging<'_> {
    pub fn component(&self) -> Vec<u8> {
        self.asking(&[], "")
    }

    /// The same, asking the server for something first, given as instructions. Its answers may
    /// land at 768.
    pub fn asking(&self, interfaces: &[&str], asking: &str) -> Vec<u8> {
        self.made(JUDGING, interfaces, asking)
    }

    /// The same, without an answer about its types.
    pub fn speechless(&self) -> Vec<u8> {
        self.made(&JUDGING.replace("    i32.const 8192)", "    unreachable)"), &[], "")
    }

    fn made(&self, wat: &str, interfaces: &[&str], asking: &str) -> Vec<u8> {
        let imports: Vec<&str> = interfaces.iter().map(|name| core_imports(name)).collect();
        let wat = wat
            .replace("{imports}", &imports.concat())
            .replace("{asking}", asking)
            .replace("{accepted}", &self.accepted().escaped())
            .replace("{refused}", &self.refused().escaped())
            .replace("{types}", &self.said_types().escaped());
        let items: Vec<String> = interfaces.iter().map(|name| format!("import {name};")).collect();
        // The world that `component_of` takes is to be the one of validators.
        let wit = wit()
            .replace("world filter {", "world judging {")
            .replace("include filter;", "include judging;")
            .replace("world validator {", &format!("world filter {{ {}", items.concat()));
        component_of(&wit, &wat)
    }

    /// The same, accepting what another one traps at.
    pub fn lenient(&self) -> Vec<u8> {
        self.made(&JUDGING.replace("(then unreachable)", "(then (return (i32.const 0)))"), &[], "")
    }

    fn accepted(&self) -> Memory {
        let mut memory = Memory::new(0, 128);
        for (at, text) in [(8, self.content), (20, self.preview)] {
            if let Some(text) = text {
                memory.some_text(at, text);
            }
        }
        memory
    }

    fn refused(&self) -> Memory {
        let mut memory = Memory::new(4096, 16 + 16 * self.violations.len());
        memory.bytes[4] = 1;
        memory.word(8, 4096 + 16);
        memory.word(12, u32::try_from(self.violations.len()).unwrap());
        for (at, (path, message)) in (16..).step_by(16).zip(self.violations) {
            memory.text(at, path);
            memory.text(at + 8, message);
        }
        memory
    }

    fn said_types(&self) -> Memory {
        let mut memory = Memory::new(8192, 8 + 20 * self.types.len());
        memory.word(0, 8192 + 8);
        memory.word(4, u32::try_from(self.types.len()).unwrap());
        for (at, (name, schema)) in (8..).step_by(20).zip(self.types) {
            memory.text(at, name);
            if let Some(schema) = schema {
                memory.some_text(at + 8, schema);
            }
        }
        memory
    }
}

/// Part of a guest's memory, from some place on.
struct Memory {
    start: usize,
    bytes: Vec<u8>,
}

impl Memory {
    fn new(start: usize, size: usize) -> Self {
        Self { start, bytes: vec![0; size] }
    }

    fn some_text(&mut self, at: usize, text: &str) {
        self.bytes[at] = 1;
        self.text(at + 4, text);
    }

    fn text(&mut self, at: usize, text: &str) {
        let start = u32::try_from(self.start + self.bytes.len()).unwrap();
        self.word(at, start);
        self.word(at + 4, u32::try_from(text.len()).unwrap());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn word(&mut self, at: usize, word: u32) {
        self.bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }

    fn escaped(&self) -> String {
        let mut text = String::new();
        for byte in &self.bytes {
            write!(text, "\\{byte:02x}").unwrap();
        }
        text
    }
}
