use std::{path::PathBuf, sync::Arc, thread, time::Duration};

use tokio::sync::Semaphore;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    component::{HasSelf, Linker},
};

use super::{Limits, bindings, runtime, store::Guest};

/// How often a running guest gives its thread back.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// What one component may have. Runtimes of other languages need several memories and tables.
pub(super) const MAX_MEMORIES: u32 = 4;
pub(super) const MAX_TABLES: u32 = 8;
pub(super) const MAX_CORE_INSTANCES: u32 = 16;

/// Schema checks at a time; each takes a processor.
const CHECKS_AT_ONCE: usize = 2;

/// Memory that the pool keeps of a slot between calls (Linux 6.7 and later).
const KEPT_BYTES: usize = 1 << 20;

/// The engine did not start; nothing a client does could help.
#[derive(Debug, thiserror::Error)]
#[error("the WebAssembly engine cannot start: {0:#}")]
pub struct StartError(#[from] wasmtime::Error);

/// The process-wide engine, what guests may import, and the turns in which they run.
///
/// A clone is the same host.
#[derive(Clone)]
pub struct PluginHost(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) engine: Engine,
    pub(super) linker: Linker<Guest>,
    pub(super) limits: Limits,
    pub(super) space: Space,
    pub(super) instances: Semaphore,
    /// Checks of content by schemas: a few at a time over all orgs, also of those that nobody
    /// waits for any more.
    pub(super) checking: Arc<Semaphore>,
    /// One compilation at a time: each may take all processors.
    pub(super) compiling: Semaphore,
    pub(super) compiler: PathBuf,
}

/// How much address space the engine finds, on which the code of guests depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Space {
    /// 4 GiB for each memory, so that most accesses need no check.
    Ample,
    /// Under an address space limit, or on a small machine: no pool, and checked accesses.
    Scarce,
}

impl PluginHost {
    /// Starts the engine, and a thread that lives as long as it.
    ///
    /// `compiler` is the binary whose hidden command `compile-plugin` is [`super::compile_child`];
    /// `None` is this process's own.
    pub fn new(limits: Limits, compiler: Option<PathBuf>) -> Result<Self, StartError> {
        let (engine, space) = start(&limits)?;
        tick(&engine);
        Ok(Self(Arc::new(Inner {
            linker: linker(&engine)?,
            engine,
            space,
            instances: Semaphore::new(limits.instances as usize),
            checking: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            compiling: Semaphore::new(1),
            compiler: compiler.unwrap_or_else(this_binary),
            limits,
        })))
    }
}

fn start(limits: &Limits) -> Result<(Engine, Space), StartError> {
    // An old kernel refuses the scan, a small address space the pool.
    for scan in [true, false] {
        let mut config = config(Space::Ample);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, scan)));
        if let Ok(engine) = Engine::new(&config) {
            return Ok((engine, Space::Ample));
        }
    }
    tracing::warn!("no address space for a pool of plugin instances; calls will be slower");
    Ok((Engine::new(&config(Space::Scarce))?, Space::Scarce))
}

/// On Linux by way of the kernel: the same binary even where another was installed in its place.
fn this_binary() -> PathBuf {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { own } else { std::env::current_exe().unwrap_or(own) }
}

/// What parent and child must agree on: all that shapes the code of guests.
///
/// Off is each proposal that no guest needs. Multi-memory is on for the engine's own adapters
/// between the parts of a component.
pub(super) fn config(space: Space) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .wasm_backtrace_max_frames(None)
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20)
        .async_stack_zeroing(true)
        .wasm_exceptions(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_wide_arithmetic(false);
    if space == Space::Scarce {
        config
            .memory_reservation(0)
            .memory_reservation_for_growth(1 << 20)
            .memory_guard_size(64 << 10);
    }
    config
}

/// `scan`: ask the kernel which pages a guest wrote to. Without that, keeping pages costs more
/// than it saves.
fn pool(limits: &Limits, scan: bool) -> PoolingAllocationConfig {
    let kept = if scan { KEPT_BYTES } else { 0 };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(limits.instances)
        .total_core_instances(limits.instances.saturating_mul(MAX_CORE_INSTANCES))
        .total_memories(limits.instances.saturating_mul(MAX_MEMORIES))
        .total_tables(limits.instances.saturating_mul(MAX_TABLES))
        .total_stacks(limits.instances)
        .total_gc_heaps(limits.instances)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .max_memories_per_module(1)
        .max_tables_per_module(2)
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        .linear_memory_keep_resident(kept)
        .table_keep_resident(kept)
        .async_stack_keep_resident(16 << 10)
        .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
    pool
}

/// What guests may import.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |guest| guest)?;
    runtime::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// A thread of its own: a task would be starved exactly when it is needed.
fn tick(engine: &Engine) {
    // Weak, so that the thread ends with the last engine.
    let weak = engine.weak();
    thread::spawn(move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    });
}
