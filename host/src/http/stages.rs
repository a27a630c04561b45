//! How a version is tried before it decides.

use axum::{
    Json,
    extract::{OriginalUri, Query, State, rejection::QueryRejection},
    http::StatusCode,
};

use super::{
    Http,
    body::Shaped,
    caller::Admin,
    error::ApiError,
    messages::readable,
    page::{Next, PageResponse, Segment, Segments},
};
use crate::{
    Error,
    domain::EntryId,
    wire::{
        BacktestRequest, CanaryRequest, PluginView, ResultsQuery, RunResultView, RunView,
        TrialRequest, TriedView, TryRequest,
    },
};

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

/// `POST /admin/plugins/:name/trial`
pub(super) async fn start_trial(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
    Shaped(request): Shaped<TrialRequest>,
) -> Result<(StatusCode, Json<RunView>), ApiError> {
    let plugins = &http.services.plugins;
    let trial = plugins.start_trial(&caller, &name, request.version.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(trial.into())))
}

/// `GET /admin/plugins/:name/trial`
pub(super) async fn trial(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
) -> Result<Json<RunView>, ApiError> {
    Ok(Json(http.services.plugins.read_trial(&caller, &name).await?.into()))
}

/// `DELETE /admin/plugins/:name/trial`
pub(super) async fn end_trial(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
) -> Result<Json<RunView>, ApiError> {
    Ok(Json(http.services.plugins.end_trial(&caller, &name).await?.into()))
}

/// `GET /admin/plugins/:name/trial/results`
pub(super) async fn trial_results(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
    OriginalUri(path): OriginalUri,
    query: Result<Query<ResultsQuery>, QueryRejection>,
) -> Result<PageResponse<RunResultView>, ApiError> {
    let query = readable(query)?;
    let page = http.services.plugins.list_trial_results(&caller, &name, query.place()?).await?;
    let limit = query.limit()?;
    Ok(PageResponse {
        items: page.items.into_iter().map(RunResultView::from).collect(),
        next: page.next.map(|id| Next::behind(path, limit, &id)),
    })
}

/// `POST /admin/plugins/:name/canary`
pub(super) async fn set_canary(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
    Shaped(request): Shaped<CanaryRequest>,
) -> Result<Json<PluginView>, ApiError> {
    let share = (request.version.as_deref(), request.percent);
    Ok(Json(http.services.plugins.set_canary(&caller, &name, share).await?.into()))
}

/// `POST /admin/plugins/:name/canary/promote`
pub(super) async fn promote_canary(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
) -> Result<Json<PluginView>, ApiError> {
    Ok(Json(http.services.plugins.promote_canary(&caller, &name).await?.into()))
}

/// `DELETE /admin/plugins/:name/canary`
pub(super) async fn end_canary(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
) -> Result<Json<PluginView>, ApiError> {
    Ok(Json(http.services.plugins.end_canary(&caller, &name).await?.into()))
}

/// `POST /admin/plugins/:name/backtests`
pub(super) async fn start_backtest(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segment(name): Segment,
    Shaped(request): Shaped<BacktestRequest>,
) -> Result<(StatusCode, Json<RunView>), ApiError> {
    let plugins = &http.services.plugins;
    let started = plugins.start_backtest(&caller, &name, request.into()).await?;
    Ok((StatusCode::ACCEPTED, Json(started.into())))
}

/// `GET /admin/plugins/:name/backtests/:id`
pub(super) async fn backtest(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segments(name, id): Segments,
) -> Result<Json<RunView>, ApiError> {
    let id = backtest_id(&id)?;
    Ok(Json(http.services.plugins.read_backtest(&caller, &name, id).await?.into()))
}

/// `DELETE /admin/plugins/:name/backtests/:id`
pub(super) async fn cancel_backtest(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segments(name, id): Segments,
) -> Result<Json<RunView>, ApiError> {
    let id = backtest_id(&id)?;
    Ok(Json(http.services.plugins.cancel_backtest(&caller, &name, id).await?.into()))
}

/// `GET /admin/plugins/:name/backtests/:id/results`
pub(super) async fn backtest_results(
    State(http): State<Http>,
    Admin(caller): Admin,
    Segments(name, id): Segments,
    OriginalUri(path): OriginalUri,
    query: Result<Query<ResultsQuery>, QueryRejection>,
) -> Result<PageResponse<RunResultView>, ApiError> {
    let query = readable(query)?;
    let (id, place) = (backtest_id(&id)?, query.place()?);
    let plugins = &http.services.plugins;
    let page = plugins.list_backtest_results(&caller, (&name, id), place).await?;
    let limit = query.limit()?;
    Ok(PageResponse {
        items: page.items.into_iter().map(RunResultView::from).collect(),
        next: page.next.map(|id| Next::behind(path, limit, &id)),
    })
}

fn backtest_id(text: &str) -> Result<EntryId, Error> {
    text.parse().map_err(|_| Error::NotFound("this backtest".into()))
}
