//! What operators may do with every org.

use std::borrow::Cow;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};

use super::{Http, body::Shaped, caller::OperatorAccess, error::ApiError, page::Segment};
use crate::{
    Error,
    wire::{KeyRequest, KeyView, MintedKeyView, OrgRequest, OrgView, RebindRequest, RevokeRequest},
};

/// `GET /admin/orgs`
pub(super) async fn list(
    State(http): State<Http>,
    _: OperatorAccess,
) -> Result<Json<Vec<OrgView>>, ApiError> {
    let orgs = http.services.operator.list_orgs().await?;
    Ok(Json(orgs.into_iter().map(OrgView::from).collect()))
}

/// `POST /admin/orgs`
pub(super) async fn create(
    State(http): State<Http>,
    _: OperatorAccess,
    Shaped(request): Shaped<OrgRequest>,
) -> Result<(StatusCode, Json<OrgView>), ApiError> {
    let slug = request.slug()?;
    if request.suspended.is_some() {
        return Err(Error::invalid("suspended", "can be set once the org is there").into());
    }
    let org = http
        .services
        .operator
        .create_org(&slug, request.name.as_deref(), request.settings.as_ref())
        .await?;
    Ok((StatusCode::CREATED, Json(org.into())))
}

/// `GET /admin/orgs/:org`
pub(super) async fn find(
    State(http): State<Http>,
    _: OperatorAccess,
    Segment(org): Segment,
) -> Result<Json<OrgView>, ApiError> {
    Ok(Json(http.services.operator.load_org(&org).await?.into()))
}

/// `PATCH /admin/orgs/:org`
pub(super) async fn change(
    State(http): State<Http>,
    _: OperatorAccess,
    Segment(org): Segment,
    Shaped(request): Shaped<OrgRequest>,
) -> Result<Json<OrgView>, ApiError> {
    let change = request.into_change()?;
    Ok(Json(http.services.operator.change_org(&org, &change).await?.into()))
}

/// `GET /admin/orgs/:org/keys`
pub(super) async fn list_keys(
    State(http): State<Http>,
    _: OperatorAccess,
    Segment(org): Segment,
) -> Result<Json<Vec<KeyView>>, ApiError> {
    let keys = http.services.operator.list_keys(&org).await?;
    Ok(Json(keys.iter().map(KeyView::from).collect()))
}

/// `POST /admin/orgs/:org/keys`
pub(super) async fn add_key(
    State(http): State<Http>,
    _: OperatorAccess,
    Segment(org): Segment,
    Shaped(request): Shaped<KeyRequest>,
) -> Result<(StatusCode, Json<MintedKeyView>), ApiError> {
    let (key, secret) = request.into_key()?;
    let key = http.services.operator.add_key(&org, key).await?;
    Ok((StatusCode::CREATED, Json(MintedKeyView { key: KeyView::from(&key), secret })))
}

/// `DELETE /admin/orgs/:org/keys/:id`
pub(super) async fn retire_key(
    State(http): State<Http>,
    _: OperatorAccess,
    names: Result<Path<(String, String)>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let unknown = || Error::NotFound(Cow::Borrowed("the key"));
    let Path((org, id)) = names.map_err(|_| unknown())?;
    let id = id.parse().map_err(|_| unknown())?;
    http.services.operator.retire_key(&org, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /admin/orgs/:org/users/rebind`
pub(super) async fn rebind(
    State(http): State<Http>,
    _: OperatorAccess,
    Segment(org): Segment,
    Shaped(request): Shaped<RebindRequest>,
) -> Result<StatusCode, ApiError> {
    let email = request.email()?;
    http.services.operator.rebind(&org, &email, &request.issuer, &request.subject).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /admin/orgs/:org/users/revoke`
pub(super) async fn revoke(
    State(http): State<Http>,
    _: OperatorAccess,
    Segment(org): Segment,
    Shaped(request): Shaped<RevokeRequest>,
) -> Result<StatusCode, ApiError> {
    http.services.operator.revoke(&org, request.email()?.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
