//! What guests may ask of the server while they are asked.

use futures_util::future::BoxFuture;
use time::OffsetDateTime;

use super::{
    bindings::{history, unix_ms},
    store::Guest,
};
use crate::domain::{OrgId, UserId};

/// What the server does for guests. The rest of the server implements it.
///
/// Each call counts against the guest's number of calls, and ends with its time.
pub trait HostServices: Send + Sync {
    /// The newest messages between two people that the caller may see, oldest first.
    fn previous(&self, asker: Asker) -> BoxFuture<'_, Result<Vec<Earlier>, Unserved>>;
}

/// For whom a guest asks. It cannot say this itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    pub org: OrgId,
    /// Whose draft is being judged.
    pub caller: UserId,
    pub peer: UserId,
}

/// A message before the one that is being judged.
#[derive(Clone, Debug)]
pub struct Earlier {
    pub from_caller: bool,
    pub content: String,
    pub content_type: String,
    pub created_at: OffsetDateTime,
}

/// The server could not do what a guest asked of it; why is in the server's log.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the server could not answer the guest")]
pub struct Unserved;

impl history::Host for Guest {
    async fn previous(&mut self) -> wasmtime::Result<Vec<history::Earlier>> {
        self.take_host_call()?;
        // Nobody to look for where a call is a rehearsal.
        let Some((services, asker)) = self.services() else { return Ok(Vec::new()) };
        let earlier = services.previous(asker).await?;
        Ok(earlier.into_iter().map(Into::into).collect())
    }
}

impl From<Earlier> for history::Earlier {
    fn from(earlier: Earlier) -> Self {
        Self {
            from_caller: earlier.from_caller,
            content: earlier.content,
            content_type: earlier.content_type,
            created_at_ms: unix_ms(earlier.created_at),
        }
    }
}
