//! What guests may ask of the server.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    Error, Result,
    db::{
        Db,
        history::{self, Part},
    },
    domain::{
        HostPattern, Increment, Installed, KvEntry, KvError, KvKey, KvWrite, Org, OrgId,
        OutgoingError, OutgoingRequest, OutgoingResponse, RequestsLeft, Secret, StagedWrites,
        ThreadId, UserProfile,
    },
    plugin::{Asker, Earlier, HostServices, Unserved},
    service::{Directory, GuestSettings, Kv, Limits, Outgoing, Secrets, SystemNames},
};

/// Answers guests, each for the org, the plugin and the caller of its call.
#[derive(Clone)]
pub struct Guests {
    pub db: Db,
    pub kv: Kv,
    pub outgoing: Outgoing,
    pub secrets: Secrets,
    pub directory: Directory,
}

impl Guests {
    /// How many messages of a thread a guest may look back.
    const MOST_EARLIER: i64 = 10;

    /// # Errors
    /// [`crate::Error::Invalid`] where a setting names a file that cannot be read.
    pub fn new(db: &Db, limits: Arc<Limits>, settings: GuestSettings) -> Result<Self> {
        let GuestSettings { kv, outgoing, secrets } = settings;
        Ok(Self {
            kv: Kv::new(db.clone(), kv),
            outgoing: Outgoing::new(outgoing, limits, Arc::new(SystemNames))?,
            secrets: Secrets::new(db.clone(), secrets)?,
            directory: Directory::new(db.clone()),
            db: db.clone(),
        })
    }

    pub(super) async fn list_previous(
        &self,
        org: OrgId,
        asker: Asker,
        part: Part,
    ) -> Result<Vec<Earlier>> {
        let mut handle = self.db.org(org).await?;
        let thread = ThreadId::of(asker.caller, asker.peer);
        let (reader, most) = (asker.caller, Self::MOST_EARLIER);
        let newest = history::list_thread(&mut handle.conn(), reader, thread, part, most).await?;
        let mut earlier: Vec<_> = newest.into_iter().collect();
        earlier.sort_by_key(|message| message.id);
        let earlier = earlier.into_iter().map(|message| Earlier {
            id: message.id,
            from_caller: message.sender_id == asker.caller,
            content_type: message.body.content_type.as_str().to_owned(),
            content: message.body.content,
            created_at: message.created_at,
        });
        Ok(earlier.collect())
    }
}

pub(super) fn unserved(org: OrgId, error: &Error) -> Unserved {
    tracing::warn!(%error, org.id = %org, "a guest cannot be told of earlier messages");
    Unserved
}

impl HostServices for Guests {
    fn previous(&self, org: OrgId, asker: Asker) -> BoxFuture<'_, Result<Vec<Earlier>, Unserved>> {
        async move {
            let earlier = self.list_previous(org, asker, Part::Newest).await;
            earlier.map_err(|error| unserved(org, &error))
        }
        .boxed()
    }

    fn find_person(
        &self,
        org: OrgId,
        email: String,
    ) -> BoxFuture<'_, Result<Option<UserProfile>, Unserved>> {
        async move {
            self.directory.find(org, &email).await.map_err(|error| {
                tracing::warn!(%error, org.id = %org, "a guest cannot look anybody up");
                Unserved
            })
        }
        .boxed()
    }

    fn open_secret(
        &self,
        plugin: Installed,
        name: String,
    ) -> BoxFuture<'_, Result<Option<Arc<Secret>>, Unserved>> {
        async move {
            self.secrets.open(plugin, &name).await.map_err(|error| {
                let Installed { org_id, plugin_id } = plugin;
                // The cause says why; the name is the guest's word.
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, org.id = %org_id, plugin.id = %plugin_id, "a secret cannot be opened");
                Unserved
            })
        }
        .boxed()
    }

    fn requests_per_call(&self) -> RequestsLeft {
        self.outgoing.per_call()
    }

    fn request<'a>(
        &'a self,
        org: &'a Org,
        granted: &'a [HostPattern],
        request: OutgoingRequest,
        budget: Duration,
    ) -> BoxFuture<'a, Result<OutgoingResponse, OutgoingError>> {
        self.outgoing.send(org, granted, request, budget).boxed()
    }

    fn stage(&self, plugin: Installed) -> StagedWrites {
        self.kv.stage(plugin)
    }

    fn find_entry<'a>(
        &'a self,
        plugin: Installed,
        key: &'a KvKey,
        staged: Option<&'a mut StagedWrites>,
    ) -> BoxFuture<'a, Result<Option<KvEntry>, KvError>> {
        self.kv.find(plugin, key, staged).boxed()
    }

    fn write_entry<'a>(
        &'a self,
        plugin: Installed,
        key: &'a KvKey,
        write: KvWrite,
        staged: Option<&'a mut StagedWrites>,
    ) -> BoxFuture<'a, Result<u64, KvError>> {
        self.kv.write(plugin, key, write, staged).boxed()
    }

    fn increment<'a>(
        &'a self,
        plugin: Installed,
        key: &'a KvKey,
        step: Increment,
        staged: Option<&'a mut StagedWrites>,
    ) -> BoxFuture<'a, Result<i64, KvError>> {
        self.kv.increment(plugin, key, step, staged).boxed()
    }
}
