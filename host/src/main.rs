//! The server and its command line, in one binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A fifth less processor time for a message than with the system's; `host/ARCHITECTURE.md` has
/// the figures.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    // The child in which strangers' components are compiled: it bounds itself before
    // anything else happens, and wants no other threads.
    if arguments.next().as_deref() == Some("compile-plugin") {
        return duologue::plugin::compile_child(arguments);
    }
    duologue::app::keep_freed_memory();
    duologue::cli::main()
}
