//! Open sockets whose token may have stopped counting.

use std::collections::HashSet;

use time::OffsetDateTime;

use super::registry::Registry;
use crate::{
    Result,
    db::{Db, users},
    domain::{KeyId, Org, UserId},
    events::SocketKey,
};

/// What keeps a socket open.
#[derive(Clone, Copy, Debug)]
pub struct OpenSession {
    pub socket: SocketKey,
    pub user_id: UserId,
    /// The key that vouched for its token.
    pub key_id: KeyId,
    /// When its token was issued.
    pub issued_at: OffsetDateTime,
}

#[derive(Clone)]
pub struct Sessions {
    db: Db,
    registry: Registry,
}

impl Sessions {
    pub fn new(db: Db, registry: Registry) -> Self {
        Self { db, registry }
    }

    /// Those of an org's open sockets that must end: the org is suspended, the key retired,
    /// or the token revoked.
    pub async fn ended(&self, org: &Org, open: &[OpenSession]) -> Result<HashSet<SocketKey>> {
        let all = || open.iter().map(|session| session.socket).collect();
        let Some(state) = self.registry.find(org.slug.as_str()).await? else { return Ok(all()) };
        if state.org.suspended {
            return Ok(all());
        }
        let people: HashSet<UserId> = open.iter().map(|session| session.user_id).collect();
        let people: Vec<UserId> = people.into_iter().collect();
        let mut handle = self.db.org(org.id).await?;
        let revoked = users::list_revocations(&mut handle.conn(), &people).await?;
        let counts = |session: &&OpenSession| {
            let since = revoked.get(&session.user_id).max(state.tokens_valid_from.as_ref());
            let is_revoked = since.is_some_and(|since| session.issued_at < *since);
            !is_revoked && !state.retired_keys.contains(&session.key_id)
        };
        Ok(open.iter().filter(|session| !counts(session)).map(|session| session.socket).collect())
    }
}
