use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
};

use super::{
    Http,
    body::{RawBody, Shaped},
    caller::Admin,
    error::ApiError,
    messages::readable,
    page::Segment,
};
use crate::service::LogPage;
use crate::wire::{
    ActivateRequest, ConfigRequest, GrantsRequest, LogQuery, OrderRequest, PluginView,
};

/// `GET /admin/plugins`
pub(super) async fn list(
    State(http): State<Http>,
    Admin(caller): Admin,
) -> Result<Json<Vec<PluginView>>, ApiError> {
    let plugins = http.services.plugins.list(&caller).await?;
    Ok(Json(plugins.into_iter().map(PluginView::from).collect()))
}

/// `GET /admin/plugins/:name`
pub(super) async fn find(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
) -> Result<Json<PluginView>, ApiError> {
    Ok(Json(http.services.plugins.find(&caller, &name).await?.into()))
}

/// `PUT /admin/plugins/:name` with the component as its body
pub(super) async fn upload(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
    RawBody(component): RawBody,
) -> Result<(StatusCode, Json<PluginView>), ApiError> {
    let (plugin, is_new) = http.services.plugins.upload(&caller, &name, &component).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(plugin.into())))
}

/// `PUT /admin/plugins/:name/config`
pub(super) async fn configure(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
    Shaped(config): Shaped<ConfigRequest>,
) -> Result<Json<PluginView>, ApiError> {
    Ok(Json(http.services.plugins.configure(&caller, &name, config).await?.into()))
}

/// `PUT /admin/plugins/:name/order`
pub(super) async fn order(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
    Shaped(order): Shaped<OrderRequest>,
) -> Result<Json<PluginView>, ApiError> {
    let plugins = &http.services.plugins;
    Ok(Json(plugins.order(&caller, &name, order.phase, order.position).await?.into()))
}

/// `PUT /admin/plugins/:name/grants`
pub(super) async fn grant(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
    Shaped(grants): Shaped<GrantsRequest>,
) -> Result<Json<PluginView>, ApiError> {
    Ok(Json(http.services.plugins.grant(&caller, &name, grants).await?.into()))
}

/// `POST /admin/plugins/:name/rollback`
pub(super) async fn roll_back(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
) -> Result<Json<PluginView>, ApiError> {
    Ok(Json(http.services.plugins.roll_back(&caller, &name).await?.into()))
}

/// `GET /admin/plugins/:name/log`
pub(super) async fn log(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Json<LogPage>, ApiError> {
    let after = readable(query)?.after()?;
    Ok(Json(http.services.plugins.list_log(&caller, &name, after).await?))
}

/// `POST /admin/plugins/:name/activate`
pub(super) async fn activate(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
    Shaped(request): Shaped<ActivateRequest>,
) -> Result<Json<PluginView>, ApiError> {
    let terms = request.terms();
    let chosen = (request.version.as_deref(), request.config);
    let plugin = http.services.plugins.activate(&caller, &name, chosen, terms).await?;
    Ok(Json(plugin.into()))
}

/// `POST /admin/plugins/:name/disable`
pub(super) async fn disable(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
) -> Result<Json<PluginView>, ApiError> {
    Ok(Json(http.services.plugins.disable(&caller, &name).await?.into()))
}

/// `DELETE /admin/plugins/:name`
pub(super) async fn remove(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
) -> Result<StatusCode, ApiError> {
    http.services.plugins.remove(&caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
