//! From an upload to something that runs. This process only counts the bytes and looks at the
//! first eight of them; the rest is for the child.

use std::{
    io,
    process::{ExitStatus, Stdio},
};

use rustix::process::Signal;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};
use wasmtime::component::InstancePre;

use super::{
    Limits, PluginHost,
    bindings::{before_send, lifecycle, on_event, on_notify, validate_content},
    catalog::Hook,
    check::Findings,
    child::{COMMAND, Needs, Outcome},
    native::NativeCode,
    store::Guest,
};

/// Native code is about three times the size of a component.
const MAX_CODE_BYTES: u64 = 512 << 20;
const MAX_OUTCOME_BYTES: usize = 1 << 20;
const MAX_COMPLAINT_BYTES: u64 = 4 << 10;

/// A plugin that can run, in as many instances as calls need.
pub struct Compiled {
    pub report: Report,
    pub(super) instances: InstancePre<Guest>,
    pub(super) exports: Exports,
}

/// Where in a component its hooks are; `None`: it does not have that one.
pub(super) struct Exports {
    pub(super) validate_content: Option<validate_content::GuestIndices>,
    pub(super) before_send: Option<before_send::GuestIndices>,
    pub(super) on_notify: Option<on_notify::GuestIndices>,
    pub(super) on_event: Option<on_event::GuestIndices>,
    pub(super) lifecycle: Option<lifecycle::GuestIndices>,
}

/// What a component is, as its upload is answered.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Of the component, in hex. Names the version.
    pub sha256: String,
    /// Bytes of the component.
    pub size: usize,
    /// The version of `duologue:plugin` that it is built for.
    pub wit: String,
    /// The hooks that it takes part in, such as `before-send`.
    pub hooks: Vec<String>,
    /// What it asks of the server, such as `config`.
    pub imports: Vec<String>,
    /// Whether it checks its configuration before it is activated.
    pub lifecycle: bool,
}

/// Why an upload did not become a plugin.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It is no plugin of this server; the text says why, and what to do.
    #[error("the plugin is refused: {0}")]
    Refused(String),
    /// It may be one, but compiling it takes more than this server gives.
    #[error("the plugin is refused: compiling it takes more {0} than this server gives")]
    TooMuch(&'static str),
    /// Not the upload's fault.
    #[error("the plugin could not be compiled")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<io::Error> for CompileError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.into())
    }
}

impl PluginHost {
    /// Checks and compiles a component in a child of this same binary, one at a time.
    ///
    /// The result runs on this host only.
    pub async fn compile(&self, wasm: &[u8]) -> Result<Compiled, CompileError> {
        check_preamble(wasm, &self.0.limits)?;
        let turn = self.0.compiling.acquire().await;
        let (findings, code) = self.run_child(wasm).await?;
        drop(turn);
        let host = self.clone();
        let loaded = tokio::task::spawn_blocking(move || host.load(&code)).await;
        let (instances, exports) = loaded.map_err(|panic| CompileError::Broken(panic.into()))??;
        Ok(Compiled { report: report(wasm, findings), instances, exports })
    }

    async fn run_child(&self, wasm: &[u8]) -> Result<(Findings, NativeCode), CompileError> {
        let mut child = self.spawn_child()?;
        let talk = talk(&mut child, wasm);
        // Dropping the child kills it.
        let (status, said, complaint) = tokio::time::timeout(self.0.limits.compile_wall, talk)
            .await
            .map_err(|_| CompileError::TooMuch("time"))??;
        if status.success() {
            return parse(said);
        }
        Err(failure(status, &String::from_utf8_lossy(&complaint)))
    }

    fn spawn_child(&self) -> Result<Child, CompileError> {
        let needs = Needs {
            cpu_seconds: self.0.limits.compile_cpu_seconds,
            address_space_bytes: self.0.limits.compile_memory_bytes,
            space: self.0.space,
            memory_bytes: self.0.limits.memory_bytes,
            table_elements: self.0.limits.table_elements,
        };
        let needs = serde_json::to_string(&needs).map_err(io::Error::from)?;
        Ok(Command::new(&self.0.compiler)
            .args([COMMAND, &needs])
            .env_clear()
            // Or the allocator takes much more address space than memory before it is bounded.
            .env("MIMALLOC_ARENA_RESERVE", "0")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?)
    }

    fn load(&self, code: &NativeCode) -> Result<(InstancePre<Guest>, Exports), CompileError> {
        let component = code.load(&self.0.engine).map_err(|error| {
            CompileError::Refused(format!("it needs more than a plugin may have: {error:#}"))
        })?;
        let instances = self
            .0
            .linker
            .instantiate_pre(&component)
            .map_err(|error| CompileError::Broken(error.to_string().into()))?;
        let exports = Exports {
            validate_content: validate_content::GuestIndices::new(&instances).ok(),
            before_send: before_send::GuestIndices::new(&instances).ok(),
            on_notify: on_notify::GuestIndices::new(&instances).ok(),
            on_event: on_event::GuestIndices::new(&instances).ok(),
            lifecycle: lifecycle::GuestIndices::new(&instances).ok(),
        };
        Ok((instances, exports))
    }
}

fn check_preamble(wasm: &[u8], limits: &Limits) -> Result<(), CompileError> {
    let refusal = match wasm.first_chunk() {
        _ if wasm.len() > limits.upload_bytes => {
            format!("it has more than {} bytes", limits.upload_bytes)
        }
        Some(b"\0asm\x0d\0\x01\0") => return Ok(()),
        Some(b"\0asm\x01\0\0\0") => "it is a core module, not a component. In Rust, put `linker = \
            \"wasm-component-ld\"` under `[target.wasm32-unknown-unknown]` in `.cargo/config.toml`; \
            elsewhere, `wasm-tools component new` makes one"
            .to_owned(),
        _ => "it is not a WebAssembly component".to_owned(),
    };
    Err(CompileError::Refused(refusal))
}

impl Report {
    /// The hooks that it takes part in.
    pub fn hooks(&self) -> Vec<Hook> {
        self.hooks.iter().filter_map(|name| Hook::parse(name)).collect()
    }
}

fn report(wasm: &[u8], findings: Findings) -> Report {
    Report {
        sha256: format!("{:x}", Sha256::digest(wasm)),
        size: wasm.len(),
        wit: findings.wit,
        hooks: findings.hooks,
        imports: findings.imports,
        lifecycle: findings.lifecycle,
    }
}

/// Gives the child its input and takes all it says, both within bounds.
async fn talk(child: &mut Child, wasm: &[u8]) -> io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A child that has gone closes the pipe; why is in its status.
            let _ = stdin.write_all(wasm).await;
        }
        Ok(())
    };
    let ((), said, complaint) =
        tokio::try_join!(feed, read(stdout, MAX_CODE_BYTES), read(stderr, MAX_COMPLAINT_BYTES))?;
    Ok((child.wait().await?, said, complaint))
}

/// Reads to the end or to the bound, then closes the pipe.
async fn read(pipe: Option<impl AsyncRead + Unpin>, most: u64) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(most).read_to_end(&mut read).await?;
    }
    Ok(read)
}

fn parse(mut said: Vec<u8>) -> Result<(Findings, NativeCode), CompileError> {
    let cut_short = || CompileError::Broken("the compiling child was cut short".into());
    let length = said.first_chunk().map(|length| u32::from_le_bytes(*length) as usize);
    let length = length.filter(|length| *length <= MAX_OUTCOME_BYTES).ok_or_else(cut_short)?;
    let outcome = said.get(4..4 + length).ok_or_else(cut_short)?;
    let outcome = serde_json::from_slice(outcome).map_err(io::Error::from)?;
    match outcome {
        Outcome::Made(findings) => {
            said.drain(..4 + length);
            Ok((findings, NativeCode(said)))
        }
        Outcome::OutOfMemory => Err(CompileError::TooMuch("memory")),
        Outcome::Refused(refusal) => Err(CompileError::Refused(refusal)),
    }
}

/// What ended a child that did not end well.
fn failure(status: ExitStatus, complaint: &str) -> CompileError {
    use std::os::unix::process::ExitStatusExt;

    match status.signal().and_then(Signal::from_named_raw) {
        Some(Signal::XCPU) => CompileError::TooMuch("time"),
        // How the allocator, a stack that is full, and a machine without memory end a process.
        Some(Signal::ABORT | Signal::KILL) => CompileError::TooMuch("memory"),
        _ => CompileError::Broken(
            format!("the compiling child ended with {status}: {complaint}").into(),
        ),
    }
}
