//! Puts load on a server that speaks the message API and prints what it saw as one line of JSON.
//! One thread, so that it takes as little as possible of a small machine.

mod http;
mod idle;
mod latency;
mod pairs;
mod processes;
mod read;
mod rest_send;
mod seed;
mod socket;
mod target;
mod workers;

use clap::{Parser, Subcommand};
use tokio::{runtime, task::LocalSet};

use target::Target;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Sends by REST, each client one request at a time
    RestSend(rest_send::Options),
    /// From a send on one socket to `newMessage` on the peer's
    Pairs(pairs::Options),
    /// Stores messages for `read`
    Seed(seed::Options),
    /// Reads what is stored
    Read(read::Options),
    /// Sockets that only stay open
    Idle(idle::Options),
}

fn main() {
    let Cli { target, mode } = Cli::parse();
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the machine gives a runtime");
    let seen = LocalSet::new().block_on(&runtime, async {
        match mode {
            Mode::RestSend(options) => Ok(rest_send::run(target, options).await),
            Mode::Pairs(options) => pairs::run(target, options).await,
            Mode::Seed(options) => seed::run(target, options).await,
            Mode::Read(options) => Ok(read::run(target, options).await),
            Mode::Idle(options) => Ok(idle::run(target, options).await),
        }
    });
    match seen {
        Ok(seen) => println!("{seen}"),
        Err(error) => {
            eprintln!("duologue-load: {error}");
            std::process::exit(1);
        }
    }
}
