//! How a version is tried before it decides.

use axum::{Json, extract::State};

use super::{Http, body::Shaped, caller::Admin, error::ApiError, page::Segment};
use crate::wire::{TriedView, TryRequest};

/// `POST /admin/plugins/:name/test`
pub(super) async fn test(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
    Shaped(mut request): Shaped<TryRequest>,
) -> Result<Json<TriedView>, ApiError> {
    let (version, config) = (request.version.take(), request.config.take());
    let (scenario, expected) = request.into_scenario(&caller)?;
    let plugins = &http.services.plugins;
    let tried = plugins.try_version(&caller, &name, (version.as_deref(), config), scenario).await?;
    Ok(Json(TriedView::new(&tried, expected.as_ref())))
}
