//! Lines for the plugin's author: `GET /admin/plugins/NAME/log` shows them.

#[cfg(target_family = "wasm")]
use crate::bindings::base::duologue::plugin::log as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing as host;

pub use crate::bindings::base::duologue::plugin::log::Level;

/// Writes a line; a call may write 64 of at most 2 KiB.
pub fn write(level: Level, text: &str) {
    host::write(level, text);
}

/// Lets a panic end in the log, or nobody could read it. Each call is a fresh instance, so each
/// begins with this.
pub(crate) fn take_panics() {
    #[cfg(target_family = "wasm")]
    std::panic::set_hook(Box::new(|panic| error(&panic.to_string().replace('\n', " "))));
}

/// A line for the curious.
pub fn debug(text: &str) {
    write(Level::Debug, text);
}

/// An ordinary line.
pub fn info(text: &str) {
    write(Level::Info, text);
}

/// Something is not as it should be.
pub fn warn(text: &str) {
    write(Level::Warn, text);
}

/// Something failed.
pub fn error(text: &str) {
    write(Level::Error, text);
}
