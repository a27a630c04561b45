//! Messages that plugins send, as their org's bot.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use futures_util::{FutureExt, future::BoxFuture};
use time::OffsetDateTime;

use super::{DueEvents, EventSettings};
use crate::{
    Error, Result,
    db::{Db, messages, persons, plugin_events::DueEvent},
    domain::{
        BotDraft, BotError, Caller, ClientId, Email, EventId, Kind, Message, MessageId,
        MessageState, Org, Origin, User,
    },
    plugin::Correspondence,
    service::{Limits, People, PersonRef, SendCommand, Sending, Via},
};

/// Sends for a plugin while it is told of one event.
pub(super) struct Correspondent {
    db: Db,
    people: People,
    sending: Sending,
    limits: Arc<Limits>,
    settings: EventSettings,
    org: Arc<Org>,
    event: EventId,
    /// What a message sent now is: the plugin's, one deeper than what led to it.
    origin: Origin,
    /// How many sends this call has asked for.
    asked: AtomicU32,
}

impl Correspondent {
    pub(super) fn new(events: &DueEvents, org: &Arc<Org>, event: &DueEvent) -> Self {
        Self {
            db: events.db.clone(),
            people: events.people.clone(),
            sending: events.sending.clone(),
            limits: events.limits.clone(),
            settings: events.settings,
            org: org.clone(),
            event: event.id,
            origin: Origin { plugin_id: event.plugin_id, depth: event.depth.saturating_add(1) },
            asked: AtomicU32::new(0),
        }
    }

    async fn try_send(&self, draft: BotDraft) -> Result<MessageId, BotError> {
        if self.origin.depth > self.settings.most_depth {
            let why = "too many messages of plugins would follow on each other";
            return Err(BotError::Denied(why.to_owned()));
        }
        let ordinal = self.asked.fetch_add(1, Ordering::Relaxed);
        if ordinal >= self.settings.messages_per_call {
            return Err(BotError::QuotaExceeded);
        }
        let bot = self.load_bot().await?;
        let client_id = self.client_id(ordinal)?;
        if let Some(first) = self.find_sent(&bot, &client_id).await? {
            return outcome(&first);
        }
        // Whoever writes may make a place for somebody new; a plugin that guesses may not.
        let person = PersonRef::Email(draft.to.clone());
        if self.people.find(self.org.id, &person).await?.is_none() {
            let why = "to must be the e-mail of somebody in this org";
            return Err(BotError::Invalid(why.to_owned()));
        }
        self.limits.bot(bot.id, &self.org.settings.limits)?;
        let command = SendCommand {
            to: draft.to,
            body: draft.body,
            reply_to: draft.reply_to,
            client_id: Some(client_id.clone()),
        };
        let caller = self.caller(bot.clone());
        match self.sending.send(&caller, Via::Plugin(self.origin), command).await {
            Ok(sent) => outcome(&sent.letter.message),
            // Another server told it of the same event meanwhile, and it sent something else.
            Err(Error::Conflict(_)) => match self.find_sent(&bot, &client_id).await? {
                Some(first) => outcome(&first),
                None => Err(BotError::Unavailable),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The same for the same place in the order of sends, however often the event is told. Each
    /// plugin has an event of its own; who reads the message learns of neither.
    fn client_id(&self, ordinal: u32) -> Result<ClientId, BotError> {
        let text = format!("bot:{}:{ordinal}", self.event);
        ClientId::parse(text).map_err(|broken| BotError::Invalid(broken.to_string()))
    }

    async fn find_sent(&self, bot: &User, client_id: &ClientId) -> Result<Option<Message>> {
        let mut handle = self.db.org(self.org.id).await?;
        let conn = &mut handle.conn();
        let found = messages::find_by_client_id(conn, bot.id, client_id.as_str()).await?;
        let Some((id, _)) = found else { return Ok(None) };
        Ok(Some(messages::load_sent(conn, bot.id, id).await?))
    }

    /// Made when a plugin of the org first sends.
    async fn load_bot(&self) -> Result<Arc<User>> {
        let found = self.people.find(self.org.id, &PersonRef::Email(Email::bot())).await?;
        if let Some(bot) = found.filter(|bot| bot.first_seen_at.is_some()) {
            return Ok(bot);
        }
        let mut handle = self.db.org(self.org.id).await?;
        let bot = persons::upsert_bot(&mut handle.conn()).await?;
        Ok(self.people.remember(self.org.id, bot))
    }

    fn caller(&self, bot: Arc<User>) -> Caller {
        let now = OffsetDateTime::now_utc();
        Caller {
            org: self.org.clone(),
            user: bot,
            kind: Kind::Staff,
            admin: false,
            roles: [].into(),
            issued_at: now,
            expires_at: now,
        }
    }
}

impl Correspondence for Correspondent {
    fn send(&self, draft: BotDraft) -> BoxFuture<'_, Result<MessageId, BotError>> {
        self.try_send(draft).boxed()
    }
}

/// What the plugin is told of a message that is stored.
fn outcome(message: &Message) -> Result<MessageId, BotError> {
    match message.state {
        MessageState::Sent => Ok(message.id),
        MessageState::Held => Err(BotError::Refused("held".to_owned())),
        MessageState::Refused => {
            let reason = message.refused_reason.as_deref().unwrap_or("refused");
            Err(BotError::Refused(reason.to_owned()))
        }
    }
}

impl From<Error> for BotError {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(rejection) => Self::Refused(rejection.reason),
            Error::RateLimited { .. } => Self::QuotaExceeded,
            Error::Invalid(_) | Error::Malformed(_) | Error::TooLarge(_) | Error::NotFound(_) => {
                Self::Invalid(error.to_string())
            }
            Error::Unauthorized(_)
            | Error::Forbidden(_)
            | Error::OriginRefused
            | Error::OrgSuspended => Self::Denied(error.to_string()),
            Error::Conflict(_) | Error::Unavailable(_) => Self::Unavailable,
            Error::Internal(_) => {
                tracing::error!(%error, "a plugin's message could not be sent");
                Self::Unavailable
            }
        }
    }
}
