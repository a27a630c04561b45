//! Plain types and the rules they carry. No I/O, no framework types.

mod body;
mod ids;
mod key;
mod message;
mod org;
mod review;
mod sync;
mod user;
mod verdict;

pub use body::{BodyLimits, InvalidField};
pub use ids::{EntryId, KeyId, MessageId, OrgId, PluginId, ThreadId, UserId};
pub use key::{Algorithm, Fingerprint, KeyKind, OrgKey, UnknownAlgorithm};
pub use message::{
    Attachment, Body, ClientId, ContentType, DeleteScope, Draft, Message, MessageState, Metadata,
};
pub use org::{
    AdminReads, InvalidSlug, NotificationEvents, Org, OrgLimits, OrgSettings, OrgSlug,
    PresenceScope, Recipients,
};
pub use review::{Held, HoldState, PendingBody};
pub use sync::{Change, ChangeKind, Cursor};
pub use user::{Caller, Email, InvalidEmail, Kind, User};
pub use verdict::{
    Decision, Hold, HoldCause, Judgement, Label, OnExpiry, OnFault, Outcome, Patch, Phase,
    Rejection, Severity, Step,
};
