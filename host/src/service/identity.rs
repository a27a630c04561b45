//! Who is calling: from a token to a person in an org.

use std::sync::Arc;

use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::{
    people::People,
    registry::{OrgState, Registry},
};
use crate::{
    Error, Result,
    auth::{self, Claims, Verified, Verifier},
    db::{
        self, Db, DbError, keys, orgs,
        users::{self, BoundUser, Profile, Subject},
    },
    domain::{Caller, KeyId, User, UserId},
};

/// A verified token and its bearer.
pub struct Session {
    pub caller: Caller,
    /// The key that vouched for the token.
    pub key_id: KeyId,
    /// Whom the token names, of all that its issuer knows.
    pub subject: Arc<str>,
    pub issuer: Arc<str>,
    /// Until when the token needs no new look: its end, or its key's.
    good_until: OffsetDateTime,
    state: Arc<OrgState>,
}

#[derive(Clone)]
pub struct Identity {
    db: Db,
    registry: Registry,
    people: People,
    verifier: Arc<Verifier>,
    /// By a hash of the org and the token: neither lies around in memory.
    sessions: Arc<Cache<[u8; 32], Arc<Session>>>,
}

impl Identity {
    const CAPACITY: usize = 200_000;

    pub fn new(db: Db, registry: Registry, people: People, verifier: Verifier) -> Self {
        let sessions = Arc::new(Cache::new(Self::CAPACITY));
        Self { db, registry, people, verifier: Arc::new(verifier), sessions }
    }

    /// Whose token this is. `org` is what the caller named; else the token's own claim counts.
    pub async fn authenticate(&self, org: Option<&str>, token: &str) -> Result<Arc<Session>> {
        let key = cache_key(org, token);
        let now = OffsetDateTime::now_utc();
        if let Some(session) = self.sessions.get(&key) {
            if now < session.good_until && self.is_current(&session).await? {
                return Ok(session);
            }
            self.sessions.remove(&key);
        }
        // Boxed, because the future of a miss is large and a miss is rare.
        let session = Arc::new(Box::pin(self.verify(org, token, now)).await?);
        self.sessions.insert(key, session.clone());
        Ok(session)
    }

    /// Lets go of the sessions whose tokens have ended. Nobody would ask for them again.
    pub(super) fn forget_ended(&self) {
        let now = OffsetDateTime::now_utc();
        self.sessions.retain(|_, session| now < session.good_until);
    }

    /// Whether nothing about its org has changed since a session was verified.
    pub async fn is_current(&self, session: &Session) -> Result<bool> {
        let current = self.registry.find(session.caller.org.slug.as_str()).await?;
        Ok(current.is_some_and(|state| Arc::ptr_eq(&state, &session.state)))
    }

    async fn verify(&self, org: Option<&str>, token: &str, now: OffsetDateTime) -> Result<Session> {
        let slug = org.map(str::to_owned).or_else(|| auth::unverified_org(token));
        let slug = slug.ok_or_else(|| {
            Error::Malformed("name the org: header orgid, or auth.orgId of a socket".into())
        })?;
        let state = self
            .registry
            .find(&slug)
            .await?
            .ok_or(Error::Unauthorized("the token is not signed by a key of this org"))?;
        let verified = self.verifier.verify(token, &state.keys, now).await?;
        self.check_org(&verified, &state).await?;
        if state.org.suspended {
            return Err(Error::OrgSuspended);
        }
        let claims = &verified.claims;
        if state.tokens_valid_from.is_some_and(|since| claims.issued_at < since) {
            return Err(Error::Unauthorized("the token has been revoked"));
        }
        let user = self.bind(&state, claims).await?;
        let caller = Caller {
            org: state.org.clone(),
            user,
            kind: claims.kind,
            admin: verified.is_admin(),
            roles: claims.roles.as_slice().into(),
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
        };
        let ends = [Some(claims.expires_at), verified.recheck_at];
        let good_until = ends.into_iter().flatten().min().unwrap_or(claims.expires_at);
        let (subject, issuer) = (claims.subject.as_str().into(), claims.issuer.as_str().into());
        Ok(Session { caller, key_id: verified.key_id, subject, issuer, good_until, state })
    }

    /// The token must be this org's: by its claim, or because nobody else has its key.
    async fn check_org(&self, verified: &Verified, state: &OrgState) -> Result<()> {
        let seen = self.verifier.jwks_fingerprints(&state.keys);
        if !seen.is_empty() {
            let mut handle = self.db.org(state.org.id).await?;
            keys::replace_jwks(&mut handle.conn(), &seen).await?;
        }
        match &verified.claims.org {
            Some(claim) if claim == state.org.slug.as_str() => Ok(()),
            Some(_) => Err(Error::Forbidden("the token belongs to another org".into())),
            None if keys::list_holders(&self.db, &verified.fingerprint).await?.len() <= 1 => Ok(()),
            None => Err(Error::Unauthorized(
                "the token needs an orgId claim, because several orgs share its key",
            )),
        }
    }

    /// The person that an issuer's subject is, bound to them for good at the first sign-in.
    async fn bind(&self, state: &OrgState, claims: &Claims) -> Result<Arc<User>> {
        let org_id = state.org.id;
        let subject = Subject {
            issuer: &claims.issuer,
            subject: &claims.subject,
            is_email: claims.subject_is_email,
        };
        let mut handle = self.db.org(org_id).await?;
        let known = users::list_candidates(&mut handle.conn(), &subject, &claims.email).await?;
        let profile = Profile {
            email: &claims.email,
            issued_at: claims.issued_at,
            kind: claims.kind,
            name: claims.name.as_deref(),
            picture: claims.picture.as_deref(),
            zoneinfo: claims.zoneinfo.as_deref(),
            locale: claims.locale.as_deref(),
        };
        if known.is_empty() {
            // One statement: its constraints see to whoever comes at the same moment.
            let id = UserId::new();
            let bound = users::upsert_bound(&mut handle.conn(), id, &subject, &profile).await;
            if let Some(user) = unless_taken(bound)? {
                handle.done();
                return Ok(self.people.remember(org_id, user));
            }
        }
        handle.done();
        if let Some(known) = known.iter().find(|known| is_bound_to(known, &subject))
            && (is_outdated(known, claims) || is_unchanged(known, claims))
        {
            not_revoked(known, claims)?;
            return Ok(self.people.remember(org_id, known.user.clone()));
        }

        let mut tx = self.db.begin(org_id).await?;
        let candidates = users::lock_candidates(&mut tx.conn(), &subject, &claims.email).await?;
        let id = choose(&candidates, &subject, claims)?;
        let bound = users::upsert_bound(&mut tx.conn(), id, &subject, &profile).await;
        let Some(user) = unless_taken(bound)? else {
            drop(tx);
            return Box::pin(self.bind(state, claims)).await;
        };
        let has_moved = candidates.iter().any(|it| it.user.id == id && it.user.email != user.email);
        if has_moved {
            // Other tokens and open sockets of this person speak under the new e-mail now.
            orgs::touch(&mut tx.conn()).await?;
        }
        tx.commit().await?;
        self.people.forget(org_id, id);
        if has_moved {
            self.registry.forget(org_id).await;
        }
        Ok(self.people.remember(org_id, user))
    }
}

/// `None`: somebody else was bound to it at the same moment, and another look is needed.
fn unless_taken(bound: Result<User, DbError>) -> Result<Option<User>> {
    match bound {
        Err(error)
            if db::violates(&error, users::EMAIL_KEY)
                || db::violates(&error, users::SUBJECT_KEY) =>
        {
            Ok(None)
        }
        bound => Ok(Some(bound?)),
    }
}

fn cache_key(org: Option<&str>, token: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(org.unwrap_or_default())
        .chain_update([0])
        .chain_update(token)
        .finalize()
        .into()
}

/// Whether a token names an e-mail that its person has given up since.
fn is_outdated(known: &BoundUser, claims: &Claims) -> bool {
    known.user.email != claims.email
        && known.email_as_of.is_some_and(|as_of| claims.issued_at < as_of)
}

fn is_unchanged(known: &BoundUser, claims: &Claims) -> bool {
    let says = |claim: &Option<String>, stored: &Option<String>| claim.is_none() || claim == stored;
    known.user.first_seen_at.is_some()
        && known.user.email.as_str() == claims.email.as_str()
        && says(&claims.name, &known.user.name)
        && says(&claims.picture, &known.user.picture)
}

fn is_bound_to(user: &BoundUser, subject: &Subject<'_>) -> bool {
    user.issuer.as_deref() == Some(subject.issuer)
        && user.subject.as_deref() == Some(subject.subject)
}

/// Which person a token means (contract §2): its subject's, who may take a free e-mail along;
/// else the e-mail's, if that is nobody's yet or was bound for want of a subject.
fn choose(candidates: &[BoundUser], subject: &Subject<'_>, claims: &Claims) -> Result<UserId> {
    let by_subject = candidates.iter().find(|user| is_bound_to(user, subject));
    let by_email = candidates.iter().find(|user| user.user.email == claims.email);
    match (by_subject, by_email) {
        (Some(known), None) => {
            not_revoked(known, claims)?;
            Ok(known.user.id)
        }
        (Some(known), Some(holder)) if known.user.id == holder.user.id => {
            not_revoked(known, claims)?;
            Ok(known.user.id)
        }
        (None, None) => Ok(UserId::new()),
        (None, Some(holder)) if may_take_over(holder, subject) => {
            not_revoked(holder, claims)?;
            Ok(holder.user.id)
        }
        _ => Err(Error::Forbidden(
            "this e-mail belongs to somebody else until an admin rebinds it".into(),
        )),
    }
}

fn may_take_over(holder: &BoundUser, subject: &Subject<'_>) -> bool {
    let never_signed_in = holder.subject.is_none();
    let upgrade = holder.subject_is_email
        && !subject.is_email
        && holder.issuer.as_deref() == Some(subject.issuer);
    never_signed_in || upgrade
}

fn not_revoked(user: &BoundUser, claims: &Claims) -> Result<()> {
    if user.tokens_valid_from.is_some_and(|since| claims.issued_at < since) {
        return Err(Error::Unauthorized("the token has been revoked"));
    }
    Ok(())
}
