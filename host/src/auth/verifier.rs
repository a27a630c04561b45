use std::time::Duration;

use time::OffsetDateTime;

use super::claims::{Claims, RawClaims};
use super::jwks::{JwksCache, JwksSettings};
use super::jws::Jws;
use super::key_set::{Candidate, JwksKey, KeySet};
use crate::domain::{Fingerprint, KeyId, KeyKind};
use crate::{Error, Result};

/// How many signatures one token may cost. With `kid`s one is enough; without, an org has a
/// few keys at most while it rotates.
const MAX_TRIES: usize = 16;

const NOT_OURS: Error = Error::Unauthorized("the token is not signed by a key of this org");

#[derive(Clone, Debug)]
pub struct VerifierSettings {
    /// How long a token still counts after its `exp`. Default 0.
    pub exp_leeway: Duration,
    /// How far `iat` and `nbf` may lie ahead of this server's clock. Default 5 s.
    pub clock_skew: Duration,
    /// Longer tokens are refused unread. Default 8 KiB; over 64 KiB makes no difference to
    /// where an org is read from the token.
    pub max_token_bytes: usize,
    pub jwks: JwksSettings,
}

impl Default for VerifierSettings {
    fn default() -> Self {
        Self {
            exp_leeway: Duration::ZERO,
            clock_skew: Duration::from_secs(5),
            max_token_bytes: 8 * 1024,
            jwks: JwksSettings::default(),
        }
    }
}

/// A token that counts, and the key that vouches for it.
#[derive(Clone, Debug)]
pub struct Verified {
    pub claims: Claims,
    /// Of the very key that verified the signature, also where it came out of a JWK set.
    pub fingerprint: Fingerprint,
    pub key_id: KeyId,
    pub may_admin: bool,
    /// When its key may have stopped counting: at the key's own end, or when the JWK set that
    /// it came from is due to be fetched again.
    pub recheck_at: Option<OffsetDateTime>,
}

impl Verified {
    /// The token says `admin`, and its key may vouch for that.
    pub fn is_admin(&self) -> bool {
        self.claims.roles_admin && self.may_admin
    }
}

/// Verifies tokens. One per server: it holds the fetched JWK sets.
pub struct Verifier {
    settings: VerifierSettings,
    jwks: JwksCache,
}

impl Verifier {
    pub fn new(settings: VerifierSettings) -> Self {
        let jwks = JwksCache::new(settings.jwks.clone());
        Self { settings, jwks }
    }

    /// Verifies the signature, the times and the claims (contract §2). Neither suspension nor
    /// revocation nor the `orgId` claim is looked at: those are the org's affairs.
    ///
    /// May fetch a JWK set, which takes up to [`JwksSettings::timeout`].
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`], and [`Error::Unavailable`] where only a JWK set that cannot be
    /// fetched could tell.
    pub async fn verify(
        &self,
        token: &str,
        keys: &KeySet,
        now: OffsetDateTime,
    ) -> Result<Verified> {
        if token.len() > self.settings.max_token_bytes {
            return Err(Error::Unauthorized("the token is too long"));
        }
        let jws = Jws::read(token)?;
        let mut attempt = Attempt { jws: &jws, tries: MAX_TRIES, refusal: NOT_OURS };
        let stored = keys.candidates(jws.algorithm, jws.kid.as_deref(), now);
        let proof = match attempt.first_of(stored) {
            Some(proof) => proof,
            None => self.ask_sets(&mut attempt, keys, now).await?,
        };
        let claims = proof.claims.check(&self.settings, now)?;
        let Proof { fingerprint, key_id, may_admin, of_set, not_after, .. } = proof;
        let refetched_at = of_set.then(|| now + self.settings.jwks.max_age);
        let recheck_at = [refetched_at, not_after].into_iter().flatten().min();
        Ok(Verified { claims, fingerprint, key_id, may_admin, recheck_at })
    }

    /// Goes on to the JWK sets: first as cached, then fetched anew where a set does not know
    /// the token's `kid`, or the token has none.
    async fn ask_sets(
        &self,
        attempt: &mut Attempt<'_>,
        keys: &KeySet,
        now: OffsetDateTime,
    ) -> Result<Proof> {
        let algorithm = attempt.jws.algorithm;
        let relevant = |key: &&JwksKey| {
            key.row.usable_at(now)
                && !algorithm.is_symmetric()
                && key.row.algorithm.is_none_or(|pinned| pinned == algorithm)
        };
        let mut unreachable = None;
        for key in keys.jwks().iter().filter(relevant) {
            match self.ask_set(attempt, key, now).await {
                Ok(Some(proof)) => return Ok(proof),
                Ok(None) => {}
                Err(error) => unreachable = Some(error),
            }
        }
        Err(unreachable.unwrap_or_else(|| std::mem::replace(&mut attempt.refusal, NOT_OURS)))
    }

    async fn ask_set(
        &self,
        attempt: &mut Attempt<'_>,
        key: &JwksKey,
        now: OffsetDateTime,
    ) -> Result<Option<Proof>> {
        let kid = attempt.jws.kid.as_deref();
        let set = self.jwks.load(&key.url, now).await?;
        let proof = attempt.first_of(set.candidates(&key.row, attempt.jws.algorithm, kid));
        if proof.is_some() || kid.is_some_and(|kid| set.knows(kid)) {
            return Ok(proof);
        }
        let Some(newer) = self.jwks.newer_than(&set, &key.url, now).await else {
            return Ok(None);
        };
        Ok(attempt.first_of(newer.candidates(&key.row, attempt.jws.algorithm, kid)))
    }

    /// The keys last seen in the JWK sets of an org, each with the key that names the set.
    /// Together with the fingerprints of the stored keys they tell which orgs share a key.
    pub fn jwks_fingerprints(&self, keys: &KeySet) -> Vec<(KeyId, Fingerprint)> {
        let of_set = |key: &JwksKey| {
            let found = self.jwks.cached(&key.url).map(|set| set.fingerprints());
            let id = key.row.id;
            found.unwrap_or_default().into_iter().map(move |fingerprint| (id, fingerprint))
        };
        keys.jwks().iter().flat_map(of_set).collect()
    }
}

/// A signature that holds under a key whose issuer and audience the token names.
struct Proof {
    claims: RawClaims,
    fingerprint: Fingerprint,
    key_id: KeyId,
    may_admin: bool,
    /// The key came out of a JWK set.
    of_set: bool,
    not_after: Option<OffsetDateTime>,
}

/// One token on its way through the keys.
struct Attempt<'a> {
    jws: &'a Jws<'a>,
    tries: usize,
    /// What to answer if no key is left: a key that verifies but wants another issuer tells
    /// the bearer more than the keys that do not verify.
    refusal: Error,
}

impl Attempt<'_> {
    fn first_of<'k>(
        &mut self,
        mut candidates: impl Iterator<Item = Candidate<'k>>,
    ) -> Option<Proof> {
        candidates.find_map(|candidate| self.on(&candidate))
    }

    fn on(&mut self, candidate: &Candidate<'_>) -> Option<Proof> {
        self.tries = self.tries.checked_sub(1)?;
        if !self.jws.signed_by(candidate.key) {
            return None;
        }
        let claims = RawClaims::read(&self.jws.payload)
            .and_then(|claims| claims.check_key(candidate.row).map(|()| claims))
            .map_err(|refusal| self.refusal = refusal)
            .ok()?;
        Some(Proof {
            claims,
            fingerprint: candidate.fingerprint,
            key_id: candidate.row.id,
            may_admin: candidate.row.may_admin,
            of_set: candidate.row.kind == KeyKind::Jwks,
            not_after: candidate.row.not_after,
        })
    }
}
