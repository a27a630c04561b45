//! Plain types and the rules they carry. No I/O, no framework types.

mod address;
mod body;
mod bot;
mod happening;
mod host_pattern;
mod ids;
mod key;
mod kv;
mod message;
mod notification;
mod org;
mod outgoing;
mod plugin_name;
mod receipt;
mod review;
mod run;
mod staged_writes;
mod sync;
mod user;
mod verdict;

pub use address::{InvalidNetwork, Network, is_public};
pub use body::{BodyLimits, InvalidField};
pub use bot::{BotDraft, BotError, Person};
pub use happening::{EventKind, Happening, Origin};
pub use host_pattern::{HostPattern, InvalidHost};
pub use ids::{EntryId, EventId, Installed, KeyId, MessageId, OrgId, PluginId, ThreadId, UserId};
pub use key::{Algorithm, Fingerprint, KeyKind, OrgKey, UnknownAlgorithm};
pub use kv::{Increment, KvEntry, KvError, KvKey, KvLimits, KvLook, KvUsage, KvWrite};
pub use message::{
    Attachment, Body, ClientId, ContentType, DeleteScope, Draft, Message, MessageState, Metadata,
};
pub use notification::{Channels, Delivery, Notification, Notified, Priority, Words};
pub use org::{
    AdminReads, InvalidSlug, NotificationEvents, Org, OrgLimits, OrgSettings, OrgSlug,
    PresenceScope, Recipients,
};
pub use outgoing::{
    HeaderText, OutgoingError, OutgoingMethod, OutgoingRequest, OutgoingResponse, RequestsLeft,
    Secret,
};
pub use plugin_name::parse_plugin_name;
pub use receipt::{
    CallRecord, ConfigRecord, HostCall, Receipt, Run, RunContent, RunRecord, RunTerms, Salt, hex,
};
pub use review::{Actor, Held, HoldState, PendingBody};
pub use run::{Finding, Overheard, RunStage, RunState, Subject};
pub use staged_writes::StagedWrites;
pub use sync::{Change, ChangeKind, Cursor};
pub use user::{Caller, Email, InvalidEmail, Kind, User, UserProfile};
pub use verdict::{
    Decision, Hold, HoldCause, Judgement, Label, OnExpiry, OnFault, Outcome, Patch, Phase,
    Rejection, Severity, Step, Violation,
};
