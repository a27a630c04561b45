use axum::{Json, extract::State, http::StatusCode};

use super::{
    Http,
    body::Shaped,
    caller::Admin,
    error::ApiError,
    page::{Segment, Segments},
};
use crate::{
    service::NewSecret,
    wire::{SecretRequest, SecretView},
};

/// `GET /admin/plugins/:name/secrets`
pub(super) async fn list(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(plugin): Segment,
) -> Result<Json<Vec<SecretView>>, ApiError> {
    let secrets = http.services.secrets.list(&caller, &plugin).await?;
    Ok(Json(secrets.into_iter().map(SecretView::from).collect()))
}

/// `PUT /admin/plugins/:name/secrets/:secret`
pub(super) async fn set(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segments(plugin, name): Segments,
    Shaped(request): Shaped<SecretRequest>,
) -> Result<(StatusCode, Json<SecretView>), ApiError> {
    let new = NewSecret::from(request);
    let (secret, is_new) = http.services.secrets.set(&caller, &plugin, &name, &new).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(secret.into())))
}

/// `DELETE /admin/plugins/:name/secrets/:secret`
pub(super) async fn remove(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segments(plugin, name): Segments,
) -> Result<StatusCode, ApiError> {
    http.services.secrets.remove(&caller, &plugin, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
