//! What happened, told to whoever fans it out.

use std::sync::Arc;

use time::OffsetDateTime;
use tokio::sync::mpsc;

use crate::domain::{DeleteScope, Message, MessageId, Notification, OrgId, User, UserId};

/// One open socket of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketKey(pub u64);

/// A message and the two people it is between.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub org_id: OrgId,
    pub message: Arc<Message>,
    pub sender: Arc<User>,
    pub recipient: Arc<User>,
    /// What the message replies to, as the recipient sees it.
    pub recipient_reply_to: Option<MessageId>,
}

/// Who hears of somebody's coming and going.
#[derive(Clone, Debug)]
pub enum Audience {
    Org,
    People(Vec<UserId>),
}

/// A message that was read.
#[derive(Clone, Copy, Debug)]
pub struct ReadMessage {
    pub id: MessageId,
    /// Whether its sender can still see it.
    pub sender_sees: bool,
}

#[derive(Clone, Debug)]
pub enum Event {
    MessageSent {
        exchange: Exchange,
        sender_prev_seq: i64,
        recipient_prev_seq: i64,
        /// The socket that sent it; it has its ack.
        origin: Option<SocketKey>,
        /// The org asks for `notification` on every message.
        notify: bool,
    },
    /// A held message was released: its sender has it, for its recipient it is new.
    MessageReleased {
        exchange: Exchange,
        recipient_prev_seq: i64,
        /// The org asks for `notification` on every message.
        notify: bool,
    },
    /// A recipient is told of a message as plugins want it.
    Notified {
        org_id: OrgId,
        to: UserId,
        notification: Box<Notification>,
    },
    MessageUpdated(Exchange),
    /// An edit began to wait for a review, or was refused: for its sender alone to know.
    PendingEdit(Exchange),
    MessageDeleted {
        org_id: OrgId,
        to: UserId,
        message_id: MessageId,
        peer: Arc<User>,
        scope: DeleteScope,
        was_unread: bool,
    },
    /// Single messages from one sender were read.
    MessagesRead {
        org_id: OrgId,
        reader: Arc<User>,
        sender: Arc<User>,
        messages: Vec<ReadMessage>,
        read_at: OffsetDateTime,
    },
    /// A whole thread was read; `messages` names the newest, at most 500.
    ThreadRead {
        org_id: OrgId,
        reader: Arc<User>,
        peer: Arc<User>,
        messages: Vec<ReadMessage>,
        up_to_seq: i64,
        count: i64,
        read_at: OffsetDateTime,
    },
    /// An org's keys, settings, suspension or revocations changed; `None`: any org's may have.
    OrgChanged(Option<OrgId>),
    Typing {
        org_id: OrgId,
        from: Arc<User>,
        to: UserId,
    },
    Online {
        org_id: OrgId,
        user: Arc<User>,
        audience: Audience,
    },
    Offline {
        org_id: OrgId,
        user: Arc<User>,
        last_seen: OffsetDateTime,
        audience: Audience,
    },
}

/// The way from services to the sockets.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<Event>);

impl Events {
    /// How many events wait before those who publish wait too.
    const CAPACITY: usize = 8192;

    pub fn channel() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(Self::CAPACITY);
        (Self(sender), receiver)
    }

    /// For what must be told: waits for room. Order is kept for each publisher.
    pub async fn publish(&self, event: Event) {
        // An error means that nobody fans out any more: the server is stopping.
        let _ = self.0.send(event).await;
    }

    /// For typing and presence, which may be dropped.
    pub fn publish_lossy(&self, event: Event) {
        let _ = self.0.try_send(event);
    }
}
