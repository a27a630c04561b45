//! The child process that reads and compiles uploads, so that hostile bytes meet the compiler
//! where it can be killed.
//!
//! It takes a component on stdin and writes to stdout: the length of a JSON text (4 bytes, little
//! endian), the text (an [`Outcome`]), and for [`Outcome::Made`] the native code.

use std::{
    io::{self, Read, Write},
    process::ExitCode,
};

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, nice, setrlimit},
};
use wasmtime::{Engine, component::Component};

use super::{
    check::{self, Findings, Refusal},
    engine::{self, Space},
};

/// The name of the hidden command.
pub(super) const COMMAND: &str = "compile-plugin";

/// What the child may use, and what it compiles for: its only argument, as JSON.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Needs {
    pub(super) cpu_seconds: u64,
    pub(super) address_space_bytes: u64,
    pub(super) space: Space,
    pub(super) memory_bytes: usize,
    pub(super) table_elements: usize,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Outcome {
    Made(Findings),
    Refused(Refusal),
    OutOfMemory,
}

/// The hidden command `compile-plugin` of the server's binary. Takes what stands behind its name.
///
/// To be called first thing in `main`: it bounds its own process, and wants no other threads.
pub fn compile_child(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let needs = arguments.into_iter().next();
    match needs.ok_or_else(|| "an argument is missing".into()).and_then(|needs| run(&needs)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{COMMAND}: {error}");
            ExitCode::FAILURE
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn run(needs: &str) -> Result<()> {
    let needs: Needs = serde_json::from_str(needs)?;
    confine(&needs)?;

    let (outcome, code) = match make(&needs) {
        Ok((findings, code)) => (Outcome::Made(findings), code),
        Err(Unmade::Refused(refusal)) => (Outcome::Refused(refusal), Vec::new()),
        Err(Unmade::OutOfMemory) => (Outcome::OutOfMemory, Vec::new()),
        Err(Unmade::Broken(error)) => return Err(error),
    };
    Ok(answer(&outcome, &code)?)
}

/// Why there is no code. Where memory runs out in an allocator that cannot say so, the process ends
/// by a signal instead.
enum Unmade {
    Refused(Refusal),
    OutOfMemory,
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

impl From<Refusal> for Unmade {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<io::Error> for Unmade {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::OutOfMemory => Self::OutOfMemory,
            _ => Self::Broken(error.into()),
        }
    }
}

/// Before the first hostile byte is read.
fn confine(needs: &Needs) -> io::Result<()> {
    lower(Resource::Core, 0, 0)?;
    lower(Resource::As, needs.address_space_bytes, needs.address_space_bytes)?;
    // A signal that can be told apart at the first number, the end without question at the second.
    lower(Resource::Cpu, needs.cpu_seconds, needs.cpu_seconds + 1)?;
    nice(10)?;
    Ok(())
}

/// Sets a limit, unless this process already has a lower one.
fn lower(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let limit = Rlimit { current: Some(soft.min(most)), maximum: Some(hard.min(most)) };
    Ok(setrlimit(resource, limit)?)
}

fn make(needs: &Needs) -> std::result::Result<(Findings, Vec<u8>), Unmade> {
    let engine = Engine::new(&engine::config(needs.space))
        .map_err(|error| Unmade::Broken(error.to_string().into()))?;
    let mut wasm = Vec::new();
    io::stdin().lock().read_to_end(&mut wasm)?;
    let component = Component::new(&engine, &wasm).map_err(|error| unmade(&error))?;
    let findings = check::check(&component, needs)?;
    let code = component.serialize().map_err(|error| unmade(&error))?;
    Ok((findings, code))
}

fn unmade(error: &wasmtime::Error) -> Unmade {
    let out_of_memory = error.chain().any(|cause| {
        cause.is::<wasmtime::OutOfMemory>()
            || cause.downcast_ref() == Some(&Errno::NOMEM)
            || cause
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::OutOfMemory)
    });
    if out_of_memory {
        return Unmade::OutOfMemory;
    }
    Unmade::Refused(format!("it cannot be compiled: {}", clip(&format!("{error:#}"))))
}

fn clip(text: &str) -> String {
    text.chars().take(1000).collect()
}

fn answer(outcome: &Outcome, code: &[u8]) -> io::Result<()> {
    let outcome = serde_json::to_vec(outcome)?;
    let length = u32::try_from(outcome.len()).map_err(io::Error::other)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&length.to_le_bytes())?;
    stdout.write_all(&outcome)?;
    stdout.write_all(code)?;
    stdout.flush()
}
