//! Open sockets whose token may have stopped counting.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use time::OffsetDateTime;

use super::registry::Registry;
use crate::{
    Result,
    db::{
        Db,
        users::{self, Standing},
    },
    domain::{KeyId, Org, UserId},
    events::SocketKey,
};

/// What keeps a socket open.
#[derive(Clone, Debug)]
pub struct OpenSession {
    pub socket: SocketKey,
    pub user_id: UserId,
    /// The key that vouched for its token.
    pub key_id: KeyId,
    /// Whom its token names.
    pub subject: Arc<str>,
    pub issuer: Arc<str>,
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
    /// the token revoked, or its person bound to somebody else.
    pub async fn ended(&self, org: &Org, open: &[OpenSession]) -> Result<HashSet<SocketKey>> {
        let all = || open.iter().map(|session| session.socket).collect();
        let Some(state) = self.registry.find(org.slug.as_str()).await? else { return Ok(all()) };
        if state.org.suspended {
            return Ok(all());
        }
        let people: HashSet<UserId> = open.iter().map(|session| session.user_id).collect();
        let people: Vec<UserId> = people.into_iter().collect();
        let mut handle = self.db.org(org.id).await?;
        let standings = users::list_standings(&mut handle.conn(), &people).await?;
        let standings: HashMap<UserId, Standing> =
            standings.into_iter().map(|standing| (standing.id, standing)).collect();
        let counts = |session: &&OpenSession| {
            standings.get(&session.user_id).is_some_and(|standing| {
                let since = standing.tokens_valid_from.max(state.tokens_valid_from);
                since.is_none_or(|since| session.issued_at >= since)
                    && standing.subject.as_deref() == Some(&*session.subject)
                    && standing.issuer.as_deref() == Some(&*session.issuer)
                    && !state.retired_keys.contains(&session.key_id)
            })
        };
        Ok(open.iter().filter(|session| !counts(session)).map(|session| session.socket).collect())
    }
}
