//! People by id and by e-mail, kept at hand.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use time::OffsetDateTime;

use crate::{
    Error, Result,
    db::{Db, users},
    domain::{Email, Org, OrgId, Recipients, User, UserId},
};

/// How somebody is named in a path: by e-mail or by id.
#[derive(Clone, Debug)]
pub enum PersonRef {
    Email(Email),
    Id(UserId),
}

impl PersonRef {
    /// Reads a path segment that has been percent-decoded once; `None` names nobody.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(id) = text.parse() {
            return Some(Self::Id(id));
        }
        Email::parse(text).ok().map(Self::Email)
    }
}

#[derive(Clone, Debug)]
pub struct People {
    db: Db,
    by_id: Arc<Cache<(OrgId, UserId), Known>>,
    /// Counts where the person at hand has this e-mail.
    by_email: Arc<Cache<(OrgId, String), UserId>>,
}

/// A person as the database had them.
#[derive(Clone, Debug)]
struct Known {
    user: Arc<User>,
    since: Instant,
}

impl People {
    const CAPACITY: usize = 200_000;
    /// How long a change that another server made may stay unseen.
    const TTL: Duration = Duration::from_mins(1);

    pub fn new(db: Db) -> Self {
        Self {
            db,
            by_id: Arc::new(Cache::new(Self::CAPACITY)),
            by_email: Arc::new(Cache::new(Self::CAPACITY)),
        }
    }

    /// Takes over what was just read or written.
    pub fn remember(&self, org_id: OrgId, user: User) -> Arc<User> {
        let user = Arc::new(user);
        self.by_email.insert((org_id, user.email.key().to_owned()), user.id);
        let known = Known { user: user.clone(), since: Instant::now() };
        self.by_id.insert((org_id, user.id), known);
        user
    }

    fn at_hand(&self, org_id: OrgId, id: UserId) -> Option<Arc<User>> {
        let known = self.by_id.get(&(org_id, id))?;
        (known.since.elapsed() < Self::TTL).then_some(known.user)
    }

    /// Takes over when somebody was last seen, before the database knows.
    pub fn saw(&self, org_id: OrgId, user: &User, at: OffsetDateTime) {
        self.remember(org_id, User { last_seen_at: Some(at), ..user.clone() });
    }

    /// Forgets a person who changed, and the e-mail they had.
    pub fn forget(&self, org_id: OrgId, id: UserId) {
        if let Some((_, known)) = self.by_id.remove(&(org_id, id)) {
            self.by_email.remove(&(org_id, known.user.email.key().to_owned()));
        }
    }

    pub async fn find(&self, org_id: OrgId, person: &PersonRef) -> Result<Option<Arc<User>>> {
        match person {
            PersonRef::Id(id) => Ok(self.map(org_id, &[*id]).await?.remove(id)),
            PersonRef::Email(email) => self.find_by_email(org_id, email).await,
        }
    }

    /// The recipient of a message; `None`: nobody knows the e-mail, and the org allows to
    /// write to it all the same.
    pub async fn find_recipient(&self, org: &Org, email: &Email) -> Result<Option<Arc<User>>> {
        let found = self.find_by_email(org.id, email).await?;
        let is_known = found.as_ref().is_some_and(|user| user.first_seen_at.is_some());
        if !is_known && org.settings.recipients == Recipients::Known {
            return Err(Error::NotFound(Cow::Borrowed("the recipient")));
        }
        Ok(found)
    }

    /// Somebody who has never signed in, made to wait for their first message.
    pub async fn make_waiting(&self, org: &Org, email: &Email) -> Result<Arc<User>> {
        let mut handle = self.db.org(org.id).await?;
        let user = users::insert_waiting(&mut handle.conn(), email).await?;
        handle.done();
        Ok(self.remember(org.id, user))
    }

    /// Those of the people that exist.
    pub async fn map(&self, org_id: OrgId, ids: &[UserId]) -> Result<HashMap<UserId, Arc<User>>> {
        let mut found = HashMap::with_capacity(ids.len());
        let mut missing = Vec::new();
        for id in ids {
            match self.at_hand(org_id, *id) {
                Some(user) => {
                    found.insert(*id, user);
                }
                None => missing.push(*id),
            }
        }
        if !missing.is_empty() {
            let mut handle = self.db.org(org_id).await?;
            let listed = users::list(&mut handle.conn(), &missing).await?;
            handle.done();
            for user in listed {
                found.insert(user.id, self.remember(org_id, user));
            }
        }
        Ok(found)
    }

    /// A person that a stored row refers to.
    pub async fn load(&self, org_id: OrgId, id: UserId) -> Result<Arc<User>> {
        let mut found = self.map(org_id, &[id]).await?;
        found
            .remove(&id)
            .ok_or_else(|| Error::internal(format!("user {id} is referred to, but missing")))
    }

    async fn find_by_email(&self, org_id: OrgId, email: &Email) -> Result<Option<Arc<User>>> {
        if let Some(id) = self.by_email.get(&(org_id, email.key().to_owned()))
            && let Some(user) = self.at_hand(org_id, id)
            && user.email == *email
        {
            return Ok(Some(user));
        }
        // Boxed, so that those who are at hand do not carry a query's future along.
        let looked_up = Box::pin(async {
            let mut handle = self.db.org(org_id).await?;
            let found = users::find_by_email(&mut handle.conn(), email).await?;
            handle.done();
            Ok::<_, Error>(found)
        });
        Ok(looked_up.await?.map(|user| self.remember(org_id, user)))
    }
}
