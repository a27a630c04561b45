//! The one place where code from outside this binary becomes code that runs.
#![expect(unsafe_code, reason = "loading native code cannot be checked by the compiler")]

use wasmtime::{Engine, component::Component};

/// Native code that a child of this process has just made; see `compile.rs`, which alone makes one.
pub(super) struct NativeCode(pub(super) Vec<u8>);

impl NativeCode {
    /// Loads the code. An error means that the component needs more than this engine gives,
    /// or that the child was of another build than this process.
    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the bytes are what `Component::serialize` gave in a child of this same binary,
        // handed over by a pipe that nobody else holds. They never come from a request, the
        // database or a disk, so nobody could put other code in their place.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}
