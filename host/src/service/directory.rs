//! People, as plugins may look them up.

use crate::{
    Result,
    db::{Db, users},
    domain::{Email, OrgId, UserProfile},
};

#[derive(Clone)]
pub struct Directory {
    db: Db,
}

impl Directory {
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// The person of that org with this e-mail; what is no e-mail is nobody's.
    pub async fn find(&self, org_id: OrgId, email: &str) -> Result<Option<UserProfile>> {
        let Ok(email) = Email::parse(email) else { return Ok(None) };
        let mut handle = self.db.org_for_plugin(org_id).await?;
        Ok(users::find_profile(&mut handle.conn(), &email).await?)
    }
}
