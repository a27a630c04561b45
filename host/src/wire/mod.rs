//! JSON shapes, shared by REST and Socket.IO.

mod admin;
mod error;
mod message;
mod plugins;
mod receipt;
mod request;
mod review;
mod secret;
mod stages;
mod sync;
mod tryout;

pub use admin::{
    KeyRequest, KeyView, MintedKeyView, OrgRequest, OrgView, RebindRequest, RevokeRequest,
};
pub use error::Problem;
pub use message::{
    LastMessageView, MarkedView, MessageView, NotificationView, OnlineUserView, PeerInfo,
    ThreadView, time_text,
};
pub use plugins::{
    ActivateRequest, ConfigRequest, GrantsRequest, LogQuery, OrderRequest, PluginView,
    folded as report_view,
};
pub use receipt::{CallView, ReceiptView, ReceiptsView};
pub use request::{
    ListQuery, MarkRequest, MarkTarget, NotificationsRequest, Object, ThreadQuery, parse_edit,
    parse_ids, parse_send,
};
pub use review::{
    AuditView, BodyView, DecideRequest, DecidedView, DecisionView, HeldView, RefusalView,
    ReviewQuery,
};
pub use secret::{SecretRequest, SecretView};
pub use stages::{
    BacktestRequest, CanaryRequest, ResultsQuery, RunResultView, RunView, TrialRequest,
};
pub use sync::{ChangeView, SyncView};
pub use tryout::{Expectation, TriedView, TryRequest};
