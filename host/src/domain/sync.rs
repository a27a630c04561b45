use time::OffsetDateTime;

use super::{DeleteScope, Message, MessageId, UserId};

/// A place in one person's changes: all at or below it have been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub i64);

/// One thing that a person's apps must learn, in the order of commits.
#[derive(Clone, Debug)]
pub struct Change {
    pub position: Cursor,
    pub kind: ChangeKind,
}

#[derive(Clone, Debug)]
pub enum ChangeKind {
    /// A message became visible.
    Message(Message),
    /// A visible message was edited.
    Updated(Message),
    Deleted {
        message_id: MessageId,
        peer_id: UserId,
        scope: DeleteScope,
        was_unread: bool,
    },
    Read {
        message_id: MessageId,
        by: UserId,
        peer_id: UserId,
        read_at: OffsetDateTime,
    },
    ThreadRead {
        peer_id: UserId,
        by: UserId,
        up_to_seq: i64,
        count: i64,
        read_at: OffsetDateTime,
    },
}
