//! JSON shapes, shared by REST and Socket.IO.

mod admin;
mod error;
mod message;
mod request;
mod secret;
mod sync;

pub use admin::{
    ActivateRequest, ConfigRequest, KeyRequest, KeyView, MintedKeyView, OrgRequest, OrgView,
    PluginView, RebindRequest, RevokeRequest,
};
pub use error::Problem;
pub use message::{
    LastMessageView, MarkedView, MessageView, NotificationView, OnlineUserView, PeerInfo,
    ThreadView, time_text,
};
pub use request::{
    ListQuery, MarkRequest, MarkTarget, NotificationsRequest, Object, ThreadQuery, parse_edit,
    parse_ids, parse_send,
};
pub use secret::{SecretRequest, SecretView};
pub use sync::{ChangeView, SyncView};
