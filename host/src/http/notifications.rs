use axum::{
    Json,
    extract::{OriginalUri, Query, State, rejection::QueryRejection},
};
use serde_json::{Value, json};

use super::{
    Http,
    body::Shaped,
    caller::Reader,
    error::ApiError,
    messages::readable,
    page::{Next, PageResponse},
};
use crate::{
    service::NOTIFICATION_PAGE,
    wire::{ListQuery, NotificationView, NotificationsRequest},
};

/// `GET /community/notifications`
pub(super) async fn list(
    State(http): State<Http>,
    Reader(caller): Reader,
    OriginalUri(path): OriginalUri,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<PageResponse<NotificationView>, ApiError> {
    let query = readable(query)?;
    let limit = query.limit(NOTIFICATION_PAGE)?;
    let page = http.services.notifications.list(&caller, query.cursor()?, limit).await?;
    Ok(PageResponse {
        items: page.items.into_iter().map(NotificationView::from).collect(),
        next: page.next.map(|id| Next::behind(path, limit, &id)),
    })
}

/// `POST /community/notifications/read`: those of `ids`, or all.
pub(super) async fn mark_read(
    State(http): State<Http>,
    Reader(caller): Reader,
    Shaped(request): Shaped<Value>,
) -> Result<Json<Value>, ApiError> {
    let ids = NotificationsRequest::parse(request)?;
    let updated = http.services.notifications.mark_read(&caller, ids.as_deref()).await?;
    Ok(Json(json!({ "updated": updated })))
}
