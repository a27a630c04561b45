//! The server and its command line, in one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    // The child in which strangers' components are compiled: it bounds itself before
    // anything else happens, and wants no other threads.
    if arguments.next().as_deref() == Some("compile-plugin") {
        return duologue::plugin::compile_child(arguments);
    }
    duologue::cli::main()
}
