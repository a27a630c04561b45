//! The orgs at hand: who they are, their settings and their keys.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use moka::future::Cache;
use serde_json::Value as Json;
use time::OffsetDateTime;

use crate::{
    Error, Result,
    auth::KeySet,
    db::{Db, keys, orgs, orgs::OrgRow},
    domain::{KeyId, Org, OrgId, OrgSettings, OrgSlug},
};

/// An org as it was at one revision. A change makes another `OrgState`.
pub struct OrgState {
    pub org: Arc<Org>,
    pub keys: KeySet,
    pub retired_keys: HashSet<KeyId>,
    pub revision: i64,
    /// Tokens issued before this are refused.
    pub tokens_valid_from: Option<OffsetDateTime>,
}

#[derive(Clone)]
pub struct Registry {
    db: Db,
    defaults: Arc<Json>,
    by_slug: Cache<String, Option<Arc<OrgState>>>,
    /// Counts changes, so that a read that one overtook is not kept.
    forgotten: Arc<AtomicU64>,
}

impl Registry {
    /// Orgs kept at hand, those that do not exist included.
    const CAPACITY: u64 = 50_000;

    /// `defaults` are the server's settings for every org.
    pub fn new(db: Db, defaults: &OrgSettings) -> Result<Self> {
        let defaults = serde_json::to_value(defaults).map_err(Error::internal)?;
        let by_slug = Cache::builder().max_capacity(Self::CAPACITY).build();
        Ok(Self { db, defaults: Arc::new(defaults), by_slug, forgotten: Arc::default() })
    }

    /// The org of that public name, if there is one.
    pub async fn find(&self, slug: &str) -> Result<Option<Arc<OrgState>>> {
        if OrgSlug::parse(slug).is_err() {
            return Ok(None);
        }
        if let Some(state) = self.by_slug.get(slug).await {
            return Ok(state);
        }
        let load = async {
            match orgs::find_by_slug(&self.db, slug).await? {
                Some(row) => self.load(row).await.map(|state| Some(Arc::new(state))),
                None => Ok(None),
            }
        };
        let before = self.forgotten.load(Ordering::Acquire);
        // Boxed, because the future of a miss is large and a miss is rare.
        let found = Box::pin(self.by_slug.try_get_with_by_ref(slug, load))
            .await
            .map_err(|error: Arc<Error>| Error::unavailable(error))?;
        if self.forgotten.load(Ordering::Acquire) != before {
            // What was read may be from before a change: whoever asks next reads again.
            self.by_slug.invalidate(slug).await;
        }
        Ok(found)
    }

    /// Forgets an org that changed; whoever asks next reads it anew.
    pub async fn forget(&self, id: OrgId) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        for (slug, state) in &self.by_slug {
            // What did not exist may be the org that was just made.
            if state.is_none_or(|state| state.org.id == id) {
                self.by_slug.invalidate(slug.as_str()).await;
            }
        }
    }

    pub fn forget_all(&self) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        self.by_slug.invalidate_all();
    }

    /// The orgs at hand, each with its revision.
    pub fn revisions(&self) -> Vec<(OrgId, i64)> {
        let at_hand = self.by_slug.iter().filter_map(|(_, state)| state);
        at_hand.map(|state| (state.org.id, state.revision)).collect()
    }

    /// What an org's own settings come to with the server's defaults under them.
    pub fn settings(&self, own: &Json) -> Result<OrgSettings> {
        let mut merged = (*self.defaults).clone();
        merge(&mut merged, own);
        let settings: OrgSettings = serde_json::from_value(merged)
            .map_err(|error| Error::invalid("settings", error.to_string()))?;
        settings.check()?;
        Ok(settings)
    }

    async fn load(&self, row: OrgRow) -> Result<OrgState> {
        let mut handle = self.db.org(row.id).await?;
        let keys = keys::list(&mut handle.conn()).await?;
        handle.done();
        let revision = row.revision;
        let tokens_valid_from = row.tokens_valid_from;
        let org = Arc::new(self.org(row)?);
        let retired = keys.iter().filter(|key| key.retired_at.is_some());
        let retired_keys = retired.map(|key| key.id).collect();
        let keys = KeySet::new(keys);
        Ok(OrgState { org, keys, retired_keys, revision, tokens_valid_from })
    }

    /// A stored org with its settings worked out.
    pub fn org(&self, row: OrgRow) -> Result<Org> {
        Ok(Org {
            id: row.id,
            slug: OrgSlug::parse(&row.slug).map_err(Error::internal)?,
            name: row.name,
            suspended: row.suspended_at.is_some(),
            settings: self.settings(&row.settings)?,
        })
    }
}

/// Lays `own` over `base`, objects field by field; `null` takes a field back to the default
/// (RFC 7396).
pub(super) fn merge(base: &mut Json, own: &Json) {
    match (base, own) {
        (Json::Object(base), Json::Object(own)) => {
            for (key, value) in own {
                if !value.is_null() {
                    merge(base.entry(key.clone()).or_insert(Json::Null), value);
                }
            }
        }
        (base, own) => *base = own.clone(),
    }
}

/// Applies a change to what an org has set itself: `null` removes (RFC 7396).
pub(super) fn patch(own: &mut Json, change: &Json) {
    let Json::Object(change) = change else {
        *own = change.clone();
        return;
    };
    if !own.is_object() {
        *own = Json::Object(serde_json::Map::new());
    }
    let Json::Object(fields) = own else { return };
    for (key, value) in change {
        if value.is_null() {
            fields.remove(key);
        } else {
            patch(fields.entry(key.clone()).or_insert(Json::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_org_changes_only_what_it_names() {
        let mut settings =
            json!({ "presence": "org", "limits": { "sendBurst": 40, "readBurst": 100 } });

        merge(&mut settings, &json!({ "limits": { "sendBurst": 0 } }));

        assert_eq!(settings["limits"], json!({ "sendBurst": 0, "readBurst": 100 }));
        assert_eq!(settings["presence"], "org");
    }

    #[test]
    fn null_takes_a_setting_back() {
        let mut own = json!({ "presence": "off", "limits": { "sendBurst": 0 } });

        patch(&mut own, &json!({ "presence": null, "limits": { "readBurst": 5 } }));

        assert_eq!(own, json!({ "limits": { "sendBurst": 0, "readBurst": 5 } }));
    }
}
