//! Use cases: what a request means, whichever door it came in by.

mod directory;
mod due_holds;
mod editing;
mod history;
mod holding;
mod identity;
mod in_flight;
mod kv;
mod lanes;
mod limits;
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

use std::{sync::Arc, time::Duration};

pub use crate::db::audit::AuditRow as AuditEntry;
pub use directory::Directory;
pub use due_holds::DueHolds;
pub use editing::{EditCommand, StoredEdit};
pub use history::{Anchor, History, NextPart, PAGE as HISTORY_PAGE, Page, ThreadEntry};
pub use identity::{Identity, Session};
pub use kv::Kv;
pub use limits::Limits;
pub use messages::Messages;
pub use notifications::{Notifications, PAGE as NOTIFICATION_PAGE};
pub use notifying::{NotifySettings, Notifying};
pub use nudges::{Notify, Nudge};
pub use operator::{Operator, OrgChange, OrgEntry};
pub use outgoing::{LookUp, Names, Outgoing, SystemNames};
pub use people::{People, PersonRef};
pub use plugins::{Guests, PluginEntry, Plugins, VersionEntry};
pub use presence::{OnlineUser, Presence, PresenceView};
pub use reading::{MOST_IDS, Marked, Reading};
pub use refusals::Refusals;
pub use registry::Registry;
pub use review::{HeldEntry, PAGE as REVIEW_PAGE, Refusal, Review, ReviewCommand, Reviewed};
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
pub use crate::db::plugins::Terms as PluginTerms;
pub use crate::plugin::{Live as PluginLive, LogPage};

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
    pub guests: GuestSettings,
}

/// What guests may ask of the server, and how much of it.
#[derive(Clone, Debug)]
pub struct GuestSettings {
    pub kv: KvLimits,
    pub outgoing: settings::Outgoing,
    pub secrets: SecretSettings,
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
}

impl Services {
    /// Builds all of it and starts the writer; the handle ends when the last service is dropped.
    #[expect(clippy::too_many_lines, reason = "a list of parts, in the order of their needs")]
    pub fn new(
        db: Db,
        events: &Events,
        plugin_host: PluginHost,
        settings: ServiceSettings,
    ) -> crate::Result<(Self, tokio::task::JoinHandle<()>)> {
        let registry = Registry::new(db.clone(), &settings.org_defaults)?;
        let people = People::new(db.clone());
        let limits = Arc::new(Limits::default());
        let guests = Guests::new(&db, limits.clone(), settings.guests)?;
        let Guests { kv, outgoing, secrets, directory, .. } = guests.clone();
        let hooks = Hooks::new(plugin_host.clone()).served_by(Arc::new(guests));
        let plugins = Plugins::new(db.clone(), plugin_host, hooks);
        let presence =
            Presence::new(db.clone(), people.clone(), events.clone(), settings.presence_grace);
        let (writer, task) = Writer::start(db.clone(), events.clone(), settings.writer);
        let telling = Telling::start(writer.clone(), events.clone());
        let verifier = Verifier::new(settings.verifier);
        let holding = Holding::new(holding::Parts {
            db: db.clone(),
            people: people.clone(),
            plugins: plugins.clone(),
            telling: telling.clone(),
            settings: settings.review,
        });
        let refusals = Refusals::start(db.clone(), settings.review.refusals_queue);
        let use_cases = UseCases {
            identity: Identity::new(db.clone(), registry.clone(), people.clone(), verifier),
            sending: Sending::new(sending::Parts {
                db: db.clone(),
                people: people.clone(),
                plugins: plugins.clone(),
                limits: limits.clone(),
                writer,
                holding: holding.clone(),
                refusals: refusals.clone(),
            }),
            messages: Messages {
                db: db.clone(),
                people: people.clone(),
                plugins: plugins.clone(),
                telling: telling.clone(),
                holding: holding.clone(),
                refusals,
            },
            review: Review { db: db.clone(), people: people.clone(), holding: holding.clone() },
            due_holds: DueHolds {
                db: db.clone(),
                registry: registry.clone(),
                plugins: plugins.clone(),
                holding,
                settings: settings.review,
            },
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
            reading: Reading::new(db.clone(), people.clone(), telling),
            sync: SyncService::new(db.clone(), people.clone()),
            notifications: Notifications::new(db.clone(), people.clone()),
            operator: Operator::new(db.clone(), registry.clone()),
            sessions: Sessions::new(db.clone(), registry.clone(), people.clone()),
            kv,
            outgoing,
            secrets,
            directory,
            typing: Typing::new(people.clone(), events.clone()),
            presence,
            plugins,
            people,
            limits,
            registry,
            db,
        };
        Ok((Self(Arc::new(use_cases)), task))
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
