//! Open sockets whose token may have stopped counting.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use time::OffsetDateTime;

use super::{people::People, registry::Registry};
use crate::{
    Result,
    db::{
        Db,
        users::{self, Standing},
    },
    domain::{KeyId, Org, User, UserId},
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

/// What a look at open sockets came to.
pub struct Review {
    /// The org as it is now, for those that go on.
    pub org: Arc<Org>,
    /// Its people as they are now.
    pub people: HashMap<UserId, Arc<User>>,
    pub ended: HashSet<SocketKey>,
}

#[derive(Clone)]
pub struct Sessions {
    db: Db,
    registry: Registry,
    people: People,
}

impl Sessions {
    pub fn new(db: Db, registry: Registry, people: People) -> Self {
        Self { db, registry, people }
    }

    /// Which of an org's open sockets must end: the org is suspended, the key retired, the
    /// token revoked, or its person bound to somebody else.
    pub async fn review(&self, org: &Arc<Org>, open: &[OpenSession]) -> Result<Review> {
        let all = || open.iter().map(|session| session.socket).collect();
        let Some(state) = self.registry.find(org.slug.as_str()).await? else {
            return Ok(Review { org: org.clone(), people: HashMap::new(), ended: all() });
        };
        if state.org.suspended {
            return Ok(Review { org: state.org.clone(), people: HashMap::new(), ended: all() });
        }
        let people: HashSet<UserId> = open.iter().map(|session| session.user_id).collect();
        let people: Vec<UserId> = people.into_iter().collect();
        let mut handle = self.db.org(org.id).await?;
        let standings = users::list_standings(&mut handle.conn(), &people).await?;
        handle.done();
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
        let ended = open.iter().filter(|session| !counts(session));
        let ended = ended.map(|session| session.socket).collect();
        let people = self.people.map(org.id, &people).await?;
        Ok(Review { org: state.org.clone(), people, ended })
    }
}
