//! What guests may ask of the server.

use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    Result,
    db::{
        Db,
        history::{self, Part},
    },
    domain::ThreadId,
    plugin::{Asker, Earlier, HostServices, Unserved},
};

/// Answers guests out of the database, each for the org and the caller of its call.
pub(super) struct Guests(pub(super) Db);

impl Guests {
    /// How many messages of a thread a guest may look back.
    const MOST_EARLIER: i64 = 10;

    async fn list_previous(&self, asker: Asker) -> Result<Vec<Earlier>> {
        let mut handle = self.0.org(asker.org).await?;
        let thread = ThreadId::of(asker.caller, asker.peer);
        let (reader, most) = (asker.caller, Self::MOST_EARLIER);
        let newest =
            history::list_thread(&mut handle.conn(), reader, thread, Part::Newest, most).await?;
        let mut earlier: Vec<_> = newest.into_iter().collect();
        earlier.sort_by_key(|message| message.id);
        let earlier = earlier.into_iter().map(|message| Earlier {
            from_caller: message.sender_id == asker.caller,
            content_type: message.body.content_type.as_str().to_owned(),
            content: message.body.content,
            created_at: message.created_at,
        });
        Ok(earlier.collect())
    }
}

impl HostServices for Guests {
    fn previous(&self, asker: Asker) -> BoxFuture<'_, Result<Vec<Earlier>, Unserved>> {
        async move {
            self.list_previous(asker).await.map_err(|error| {
                tracing::warn!(%error, org.id = %asker.org, "a guest cannot be told of earlier messages");
                Unserved
            })
        }
        .boxed()
    }
}
