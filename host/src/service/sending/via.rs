use crate::{domain::Origin, events::SocketKey, plugin::Door};

/// How a request came in.
#[derive(Clone, Copy, Debug)]
pub enum Via {
    Rest,
    Socket(SocketKey),
    /// A plugin sends it.
    Plugin(Origin),
}

impl Via {
    pub(in crate::service) fn door(self) -> Door {
        match self {
            Self::Rest => Door::Rest,
            Self::Socket(_) => Door::Socket,
            Self::Plugin(_) => Door::Plugin,
        }
    }

    pub(super) fn socket(self) -> Option<SocketKey> {
        match self {
            Self::Socket(key) => Some(key),
            Self::Rest | Self::Plugin(_) => None,
        }
    }

    /// Which plugin sends it, if one does.
    pub(super) fn origin(self) -> Option<Origin> {
        match self {
            Self::Plugin(origin) => Some(origin),
            Self::Rest | Self::Socket(_) => None,
        }
    }
}
