//! What a plugin asks the server for. Outside of a server [`crate::memory`] answers.

/// Keys and values of this plugin in this org.
pub mod kv {
    pub use crate::bindings::base::duologue::plugin::kv::*;
    #[cfg(not(target_family = "wasm"))]
    pub use crate::memory::kv::{delete, get, increment, set};
}

/// What was said before in the thread of the draft.
pub mod history {
    pub use crate::bindings::base::duologue::plugin::history::*;
    #[cfg(not(target_family = "wasm"))]
    pub use crate::memory::previous;
}

/// The people of the org.
pub mod directory {
    pub use crate::bindings::base::duologue::plugin::directory::*;
    #[cfg(not(target_family = "wasm"))]
    pub use crate::memory::find;
}

/// Messages of the org's bot, from `on_event` alone.
pub mod messages {
    pub use crate::bindings::base::duologue::plugin::messages::*;
    #[cfg(not(target_family = "wasm"))]
    pub use crate::memory::send;
}

/// Handles to what the org's admin has set; only [`http`] can spend them.
pub mod secrets {
    pub use crate::bindings::base::duologue::plugin::secrets::*;
    #[cfg(not(target_family = "wasm"))]
    pub use crate::memory::absent::open;
}

/// Requests to hosts that the org's admin has granted.
pub mod http {
    pub use crate::bindings::base::duologue::plugin::http::*;
    #[cfg(not(target_family = "wasm"))]
    pub use crate::memory::absent::send;
}
