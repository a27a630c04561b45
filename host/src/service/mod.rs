//! Use cases: what a request means, whichever door it came in by.

mod directory;
mod due_events;
mod due_holds;
mod editing;
mod history;
mod holding;
mod identity;
mod in_flight;
mod kv;
mod lanes;
mod limits;
mod listeners;
mod messages;
mod notifications;
mod notifying;
mod nudges;
mod operator;
mod outgoing;
mod people;
mod plugins;
mod presence;
mod reading;
mod receipts;
mod refusals;
mod registry;
mod review;
mod secrets;
mod sending;
mod sessions;
mod sync;
mod telling;
mod terms;
mod typing;
mod upkeep;
mod writer;

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinHandle};

pub use crate::db::audit::AuditRow as AuditEntry;
pub use directory::Directory;
pub use due_events::{DueEvents, EventSettings};
pub use due_holds::DueHolds;
pub use editing::{EditCommand, StoredEdit};
pub use history::{Anchor, History, NextPart, PAGE as HISTORY_PAGE, Page, ThreadEntry};
pub use identity::{Identity, Session};
pub use kv::Kv;
pub use limits::Limits;
pub use listeners::{Listeners, News};
pub use messages::Messages;
pub use notifications::{Notifications, PAGE as NOTIFICATION_PAGE};
pub use notifying::{NotifySettings, Notifying};
pub use nudges::{Notify, Nudge};
pub use operator::{Operator, OrgChange, OrgEntry};
pub use outgoing::{LookUp, Names, Outgoing, SystemNames};
pub use people::{People, PersonRef};
pub use plugins::{
    BacktestCommand, CanaryEntry, Examined, Guests, PluginEntry, Plugins, RunEntry, RunImport,
    RunResult, RunVerdict, Stages, VersionEntry, examine, made_up_installation, require_config,
};
pub use presence::{OnlineUser, Presence, PresenceView};
pub use reading::{MOST_IDS, Marked, Reading};
pub use receipts::{ReceiptSettings, Receipts, Unsettled};
pub use refusals::Refusals;
pub use registry::Registry;
pub use review::{
    HeldEntry, PAGE as REVIEW_PAGE, ReceiptCall, ReceiptEntry, Refusal, Review, ReviewCommand,
    Reviewed,
};
pub use secrets::{NewSecret, SecretEntry, SecretSettings, Secrets};
pub use sending::{Letter, Prepared, SendCommand, Sending, Sent, Via};
pub use sessions::{OpenSession, Sessions};
pub use sync::{Sync, SyncService};
pub use terms::ReviewSettings;
pub use typing::Typing;
pub use upkeep::Upkeep;
pub use writer::{Job, Stored, Writer, WriterLimits};
// For the transports, which know nothing else of `auth` and `db`.
pub use crate::auth::{NewKey, same_secret};
pub use crate::db::plugins::Config as PluginConfig;
pub use crate::db::plugins::Terms as PluginTerms;
pub use crate::plugin::{
    Act, Door, Hook, ImportCount, LaidOut, Live as PluginLive, LogPage, MadeUpNotice, MadeUpSend,
    Scenario, ShownMessage, StandInLimits, Standing, Tried, What, try_out,
};

use holding::Holding;
use telling::Telling;

use crate::{
    Error,
    auth::{Verifier, VerifierSettings},
    db::{self, Db, DbError},
    domain::{KvLimits, OrgSettings},
    events::Events,
    plugin::{Hooks, PluginHost},
    settings,
};

/// How the services are to behave; each field is a setting of the server.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    pub org_defaults: OrgSettings,
    pub verifier: VerifierSettings,
    pub writer: WriterLimits,
    /// How long somebody without a socket still counts as online.
    pub presence_grace: Duration,
    pub review: ReviewSettings,
    pub notifying: NotifySettings,
    pub receipts: ReceiptSettings,
    pub guests: GuestSettings,
    pub events: EventSettings,
    pub stages: settings::Stages,
}

/// What guests may ask of the server, and how much of it.
#[derive(Clone, Debug)]
pub struct GuestSettings {
    pub kv: KvLimits,
    pub outgoing: settings::Outgoing,
    pub secrets: SecretSettings,
}

impl GuestSettings {
    /// The part that holds where guests only rehearse.
    pub fn stand_in(&self, events: &EventSettings) -> StandInLimits {
        StandInLimits {
            kv: self.kv,
            requests_per_call: self.outgoing.requests_per_call,
            messages_per_call: events.messages_per_call,
        }
    }
}

/// All use cases. A clone is the same, and cheap: transports make several for each request.
#[derive(Clone)]
pub struct Services(Arc<UseCases>);

impl std::ops::Deref for Services {
    type Target = UseCases;

    fn deref(&self) -> &UseCases {
        &self.0
    }
}

/// What [`Services`] shares.
pub struct UseCases {
    pub db: Db,
    pub registry: Registry,
    pub identity: Identity,
    pub people: People,
    pub limits: Arc<Limits>,
    pub sending: Sending,
    pub messages: Messages,
    pub history: History,
    pub reading: Reading,
    pub sync: SyncService,
    pub notifications: Notifications,
    pub notifying: Notifying,
    pub presence: Presence,
    pub sessions: Sessions,
    pub typing: Typing,
    pub plugins: Plugins,
    pub kv: Kv,
    pub outgoing: Outgoing,
    pub secrets: Secrets,
    pub directory: Directory,
    pub operator: Operator,
    pub review: Review,
    pub due_holds: DueHolds,
    pub due_events: DueEvents,
}

impl Services {
    /// Builds all of it and starts its tasks.
    pub fn new(
        db: Db,
        events: &Events,
        plugin_host: PluginHost,
        settings: ServiceSettings,
    ) -> crate::Result<(Self, Storing)> {
        let limits = Arc::new(Limits::default());
        let guests = Guests::new(&db, limits.clone(), settings.guests.clone())?;
        let hooks = Hooks::new(plugin_host.clone()).served_by(Arc::new(guests.clone()));
        let stages = Stages {
            guests: Arc::new(guests.clone()),
            stand_in: settings.guests.stand_in(&settings.events),
            settings: settings.stages.clone(),
        };
        let plugins = Plugins::new(db.clone(), plugin_host, hooks.clone(), stages);
        let shared = Shared {
            registry: Registry::new(db.clone(), &settings.org_defaults)?,
            people: People::new(db.clone()),
            listeners: Listeners::start(&db, &plugins, &limits, settings.events),
            events: events.clone(),
            plugins,
            limits,
            db,
        };
        let db = &shared.db;
        let (writer, messages) = Writer::start(db.clone(), events.clone(), settings.writer);
        let (receipts, stored) = Receipts::start(db.clone(), hooks, settings.receipts);
        let storing = Storing { messages, receipts: stored };
        Ok((Self(Arc::new(shared.use_cases((writer, receipts), guests, settings))), storing))
    }
}

/// What goes on to store what was accepted until the last service is dropped, and then ends.
pub struct Storing {
    messages: JoinHandle<()>,
    receipts: mpsc::Receiver<Infallible>,
}

impl Storing {
    /// Waits until all is stored.
    pub async fn end(mut self) {
        // A message that waits has its receipt with it.
        let _ = self.messages.await;
        let _ = self.receipts.recv().await;
    }
}

/// What use cases are built of.
struct Shared {
    db: Db,
    events: Events,
    registry: Registry,
    people: People,
    limits: Arc<Limits>,
    plugins: Plugins,
    listeners: Listeners,
}

impl Shared {
    #[expect(clippy::too_many_lines, reason = "a list of parts, in the order of their needs")]
    fn use_cases(
        self,
        (writer, receipts): (Writer, Receipts),
        guests: Guests,
        settings: ServiceSettings,
    ) -> UseCases {
        let Guests { kv, outgoing, secrets, directory, .. } = guests;
        let telling = Telling::start(writer.clone(), self.events.clone(), self.listeners.clone());
        let holding = self.holding(&telling, settings.review);
        let queue = settings.review.refusals_queue;
        let refusals = Refusals::start(self.db.clone(), queue, self.listeners.clone());
        let sending = self.sending(writer, &holding, (&refusals, &receipts));
        let presence = self.presence(settings.presence_grace);
        let Self { db, events, registry, people, limits, plugins, listeners } = self;
        let verifier = Verifier::new(settings.verifier);
        UseCases {
            identity: Identity::new(db.clone(), registry.clone(), people.clone(), verifier),
            messages: Messages {
                db: db.clone(),
                people: people.clone(),
                plugins: plugins.clone(),
                telling: telling.clone(),
                holding: holding.clone(),
                refusals,
                receipts: receipts.clone(),
                listeners: listeners.clone(),
            },
            review: Review {
                db: db.clone(),
                people: people.clone(),
                holding: holding.clone(),
                receipts: receipts.clone(),
            },
            due_holds: DueHolds {
                db: db.clone(),
                registry: registry.clone(),
                plugins: plugins.clone(),
                holding,
                receipts,
                settings: settings.review,
            },
            due_events: DueEvents::new(
                (&db, &registry, &people),
                (&plugins, &sending, &listeners, &limits),
                settings.events,
            ),
            notifying: Notifying::new(notifying::Parts {
                db: db.clone(),
                registry: registry.clone(),
                people: people.clone(),
                plugins: plugins.clone(),
                presence: presence.clone(),
                telling: telling.clone(),
                settings: settings.notifying,
            }),
            history: History::new(db.clone(), people.clone(), presence.clone()),
            reading: Reading::new(db.clone(), people.clone(), telling, listeners),
            sync: SyncService::new(db.clone(), people.clone()),
            notifications: Notifications::new(db.clone(), people.clone()),
            operator: Operator::new(db.clone(), registry.clone()),
            sessions: Sessions::new(db.clone(), registry.clone(), people.clone()),
            typing: Typing::new(people.clone(), events),
            kv,
            outgoing,
            secrets,
            directory,
            presence,
            sending,
            plugins,
            people,
            limits,
            registry,
            db,
        }
    }

    fn holding(&self, telling: &Telling, settings: ReviewSettings) -> Holding {
        Holding::new(holding::Parts {
            db: self.db.clone(),
            people: self.people.clone(),
            plugins: self.plugins.clone(),
            telling: telling.clone(),
            listeners: self.listeners.clone(),
            settings,
        })
    }

    fn sending(
        &self,
        writer: Writer,
        holding: &Holding,
        (refusals, receipts): (&Refusals, &Receipts),
    ) -> Sending {
        Sending::new(sending::Parts {
            db: self.db.clone(),
            people: self.people.clone(),
            plugins: self.plugins.clone(),
            limits: self.limits.clone(),
            writer,
            holding: holding.clone(),
            refusals: refusals.clone(),
            receipts: receipts.clone(),
            listeners: self.listeners.clone(),
        })
    }

    fn presence(&self, grace: Duration) -> Presence {
        let (events, listeners) = (self.events.clone(), self.listeners.clone());
        Presence::new(self.db.clone(), self.people.clone(), events, listeners, grace)
    }
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        if db::is_unavailable(&error) || db::is_transient(&error) {
            Self::unavailable(error)
        } else {
            Self::internal(error)
        }
    }
}
