//! Somebody who tries a plugin where there is no org.

use std::sync::Arc;

use time::OffsetDateTime;

use super::CliError;
use crate::{
    domain::{Caller, Email, Kind, Org, OrgId, OrgSettings, OrgSlug, User, UserId},
    error::Error,
};

/// An admin of an org that has these settings.
pub(super) fn admin(settings: &OrgSettings) -> Result<Caller, CliError> {
    let now = OffsetDateTime::now_utc();
    let org = Org {
        id: OrgId::new(),
        slug: OrgSlug::parse("test").map_err(Error::internal)?,
        name: "Test".to_owned(),
        suspended: false,
        settings: settings.clone(),
    };
    let user = User {
        id: UserId::new(),
        email: Email::parse("author@example.com").map_err(Error::internal)?,
        name: None,
        picture: None,
        first_seen_at: Some(now),
        last_seen_at: None,
    };
    Ok(Caller {
        org: Arc::new(org),
        user: Arc::new(user),
        kind: Kind::Customer,
        admin: false,
        roles: [].into(),
        issued_at: now,
        expires_at: now,
    })
}
