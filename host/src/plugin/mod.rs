//! Runs plugins: WebAssembly components that an org uploads. The rest of the server sees
//! [`PluginHost`], which turns an upload into something that can run, and [`Hooks`], which asks
//! what is installed.
//!
//! A hook is an interface in `wit/`. To offer another one: add its interface to the world
//! `plugin`, an entry in [`Hook`], and a method of [`Hooks`] beside `judge`.

mod answer;
mod bindings;
mod breaker;
mod call;
mod catalog;
mod chain;
mod check;
mod child;
mod compile;
mod content;
mod engine;
mod events;
mod fault;
mod hooks;
mod imports;
mod input;
mod laid_out;
mod limits;
mod lines;
mod local_time;
mod meter;
mod native;
mod notify;
mod plain_json;
mod printed;
mod recording;
mod rehearsal;
mod replay;
mod runtime;
mod schema;
mod services;
mod stand_in;
mod store;
mod tape;
mod tryout;
mod validation;

pub use breaker::BreakerState;
pub use catalog::{Hook, capabilities};
pub use child::compile_child;
pub use compile::{CompileError, Compiled, Report};
pub use content::{ContentTypes, DeclaredType};
pub use engine::{PluginHost, StartError};
pub use events::{OnEvent, ShownMessage, What};
pub use fault::Fault;
pub use hooks::{
    BeforeSend, Door, Hooks, Installation, KindsError, Live, Share, Threads, Unowned, Untold, Watch,
};
pub use laid_out::LaidOut;
pub use limits::{BreakerLimits, Limits};
pub use lines::{GuestLine, LogPage};
pub use meter::Counters;
pub use notify::{OnNotify, Standing};
pub use rehearsal::{CheckError, DeclareError, DryRun};
pub use replay::{NotReplayable, Replayed, replay_limits};
pub use services::{Asker, Correspondence, Earlier, HostServices, Unserved};
pub use stand_in::{Answered, GrantedReads, ImportCount, Reads, StandIn, StandInLimits};
pub use tryout::{Act, MadeUpNotice, MadeUpSend, Scenario, Tried, TryError, try_out};
