//! Write plugins for a Duologue server in Rust: implement [`Plugin`], and name the hooks that yours
//! takes part in with [`export!`].
//!
//! ```
//! use duologue_plugin::{Body, Context, Decision, Draft, Failure, Plugin};
//!
//! struct NoLinks;
//!
//! impl Plugin for NoLinks {
//!     fn before_send(_: Context, draft: Draft, _: Option<Body>) -> Result<Decision, Failure> {
//!         if draft.body.content.contains("://") {
//!             return Ok(Decision::reject("links", "Please send no links."));
//!         }
//!         Ok(Decision::pass())
//!     }
//! }
//!
//! duologue_plugin::export!(NoLinks: before_send);
//!
//! # use duologue_plugin::testing;
//! // On your own machine a hook is a function like any other.
//! let decision = NoLinks::before_send(testing::context(), testing::draft("see https://x"), None);
//! assert_eq!(decision, Ok(Decision::reject("links", "Please send no links.")));
//! ```
//!
//! Only what a plugin calls is imported by its component, so an admin has to grant no more than
//! what it uses: [`kv`], [`http`], [`secrets`], [`directory`], [`history`] and [`messages`] are
//! capabilities; [`config`] and [`log`] are everybody's. In `cargo test` they answer from
//! [`testing`], each thread for itself; `http` and `secrets` panic there, and `duologue plugin
//! test` has them all.
//!
//! A plugin that panics writes where and why to its log before it traps.
//!
//! Types and their limits are described in the `wit/` folder, item by item.

#[doc(hidden)]
pub mod bindings;

mod capabilities;
pub mod config;
mod decide;
pub mod event;
#[cfg(target_family = "wasm")]
mod heap;
mod hooks;
pub mod log;
#[cfg(not(target_family = "wasm"))]
mod memory;
pub mod notify;
pub mod testing;
mod texts;
pub mod validate;

pub use bindings::base::duologue::plugin::types::{
    Attachment, Body, Call, Caller, Context, Decision, Door, Draft, Failure, Hold, Kind, Label,
    Message, OnExpiry, Patch, Person, Rejection, Severity, Verdict,
};
pub use capabilities::{directory, history, http, kv, messages, secrets};
pub use hooks::Plugin;
