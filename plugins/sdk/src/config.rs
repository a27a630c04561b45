//! What the org's admin has set for this plugin.

#[cfg(target_family = "wasm")]
use crate::bindings::base::duologue::plugin::config as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing as host;

/// The value of a key, or none where it is not set. It never changes during a call.
#[must_use]
pub fn get(key: &str) -> Option<String> {
    host::get(key)
}
