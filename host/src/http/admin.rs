//! What an org's own admins may do with their org.

use axum::{Json, extract::State, http::StatusCode};

use super::{
    Http,
    body::{JsonBody, Shaped},
    caller::Admin,
    error::ApiError,
};
use crate::{
    Error,
    domain::{Actor, OrgSettings},
    service::OrgChange,
    wire::{RebindRequest, RevokeRequest},
};

/// `GET /admin/settings`
pub(super) async fn settings(Admin(caller): Admin) -> Json<OrgSettings> {
    Json(caller.org.settings.clone())
}

/// `PATCH /admin/settings`: a merge patch; the limits are the operator's.
pub(super) async fn change_settings(
    State(http): State<Http>,
    Admin(caller): Admin,
    JsonBody(change): JsonBody,
) -> Result<Json<OrgSettings>, ApiError> {
    if change.get("limits").is_some() {
        return Err(Error::Forbidden("limits are the operator's to change".into()).into());
    }
    let change = OrgChange {
        by: Actor::User(caller.user.id),
        settings: Some(change),
        ..OrgChange::default()
    };
    let entry = http.services.operator.change_org(caller.org.slug.as_str(), &change).await?;
    Ok(Json(entry.org.settings))
}

/// `POST /admin/users/rebind`
pub(super) async fn rebind(
    State(http): State<Http>,
    Admin(caller): Admin,
    Shaped(request): Shaped<RebindRequest>,
) -> Result<StatusCode, ApiError> {
    let slug = caller.org.slug.as_str();
    let email = request.email()?;
    http.services.operator.rebind(slug, &email, &request.issuer, &request.subject).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /admin/users/revoke`
pub(super) async fn revoke(
    State(http): State<Http>,
    Admin(caller): Admin,
    Shaped(request): Shaped<RevokeRequest>,
) -> Result<StatusCode, ApiError> {
    let email = request.email()?;
    http.services.operator.revoke(caller.org.slug.as_str(), email.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
