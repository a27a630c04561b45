//! Two people, an admin, and messages of every fate.

use std::{sync::Arc, time::Duration};

use duologue::{
    Result,
    db::{
        batch::{self, Fate, NewMessage, Placed},
        held::{NewHold, Quota},
    },
    domain::{Caller, Draft, Hold, HoldCause, Judgement, Message, MessageId, OnExpiry, Outcome},
    events::Event,
    service::{Anchor, PersonRef, ReviewCommand, Services, StoredEdit, Via},
};
use serde_json::json;
use tokio::sync::mpsc::Receiver;

use super::support::{TestDatabase, text};

pub struct Scene {
    pub database: TestDatabase,
    pub services: Services,
    pub events: Receiver<Event>,
    pub alice: Caller,
    pub bob: Caller,
    pub admin: Caller,
}

/// A plugin's wish to have somebody look.
pub fn hold() -> Hold {
    Hold {
        cause: HoldCause::Verdict,
        plugin: "guard".to_owned(),
        version: "ab12".to_owned(),
        reason: "links".to_owned(),
        shadow: false,
        ttl: None,
        on_expiry: OnExpiry::Refuse,
    }
}

pub fn silence() -> Hold {
    Hold { cause: HoldCause::Fault, ..hold() }
}

pub fn held(hold: Hold) -> Fate {
    Fate::Held(Box::new(NewHold {
        hold,
        asked: json!({ "door": "rest", "kind": "customer", "admin": false, "roles": [] }),
        ask_after: Duration::ZERO,
        quota: Quota { of_sender: 3, of_org: 100 },
    }))
}

pub fn looked_at(revision: i32) -> ReviewCommand {
    ReviewCommand { revision, note: None, reason: None }
}

impl Scene {
    pub async fn new() -> Self {
        let database = TestDatabase::create().await;
        let [alice, bob, mut admin] = database.org("acme", ["alice", "bob", "carol"]).await;
        admin.admin = true;
        let (services, events) = database.services_and_events();
        Self { database, services, events, alice, bob, admin }
    }

    /// Alice's messages to bob in one batch, each with its fate.
    pub async fn store(&self, fates: &[Fate]) -> Vec<(MessageId, Placed)> {
        let batch: Vec<NewMessage> = fates.iter().map(|fate| self.row(fate.clone())).collect();
        let placed = batch::insert(&self.database.db, &batch).await.unwrap();
        batch.iter().zip(placed).map(|(row, placed)| (row.id, placed.unwrap())).collect()
    }

    pub async fn store_one(&self, fate: Fate) -> MessageId {
        self.store(&[fate]).await[0].0
    }

    pub fn row(&self, fate: Fate) -> NewMessage {
        let draft = Draft {
            sender_id: self.alice.user.id,
            recipient_id: self.bob.user.id,
            body: text("hello"),
            reply_to: None,
            client_id: None,
            request_hash: [7; 32],
        };
        let org_id = self.alice.org.id;
        let id = MessageId::new();
        NewMessage { org_id, id, draft, fate, decision: None, news: None, asks_notify: false }
    }

    /// Alice's edit, as plugins judged it.
    pub async fn edit(&self, id: MessageId, content: &str, outcome: Outcome) -> Arc<Message> {
        let before = self.services.messages.find(&self.alice, id).await.unwrap();
        let judgement = Judgement { outcome, ..Judgement::unasked(text(content)) };
        let caller = (&self.alice, Via::Rest);
        let edit = self.services.messages.store_edit(caller, &before, judgement);
        match Box::pin(edit).await.unwrap() {
            StoredEdit::Done(message) => message,
            StoredEdit::Outdated | StoredEdit::Conflict => panic!("not stored"),
        }
    }

    pub async fn release(&self, id: MessageId, revision: i32) -> Result<Arc<Message>> {
        let letter = self.services.review.release(&self.admin, id, looked_at(revision)).await?;
        Ok(letter.message)
    }

    pub async fn refuse(&self, id: MessageId, revision: i32) -> Result<Arc<Message>> {
        let letter = self.services.review.refuse(&self.admin, id, looked_at(revision)).await?;
        Ok(letter.message)
    }

    /// The thread as one of the two sees it.
    pub async fn history(&self, reader: &Caller) -> Vec<MessageId> {
        let peer = if reader.user.id == self.alice.user.id { &self.bob } else { &self.alice };
        let peer = PersonRef::Id(peer.user.id);
        let page = self.services.history.thread(reader, &peer, Anchor::Newest, 100).await.unwrap();
        page.items.iter().map(|letter| letter.message.id).collect()
    }

    pub async fn sees(&self, reader: &Caller, id: MessageId) -> bool {
        self.services.messages.find(reader, id).await.is_ok()
    }

    pub async fn unread(&self) -> i64 {
        self.services.history.unread_count(&self.bob).await.unwrap()
    }

    /// What has been told so far, in a few words; waits for the first.
    pub async fn told(&mut self) -> &'static str {
        let event = tokio::time::timeout(Duration::from_mins(1), self.events.recv()).await;
        match event.unwrap().unwrap() {
            Event::MessageReleased { .. } => "released",
            Event::MessageUpdated(_) => "updated",
            Event::PendingEdit(_) => "sender told",
            Event::MessageDeleted { .. } => "deleted",
            _ => "other",
        }
    }
}
