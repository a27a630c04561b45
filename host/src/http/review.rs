//! What an org's admins look at and decide about messages.

use axum::{
    Json,
    extract::{
        OriginalUri, Path, Query, State, rejection::PathRejection, rejection::QueryRejection,
    },
};

use super::{
    Http,
    body::Shaped,
    caller::Admin,
    error::ApiError,
    messages::{message_id, readable},
    page::{Next, PageResponse},
};
use crate::{
    Error,
    domain::EntryId,
    wire::{
        AuditView, DecideRequest, DecidedView, DecisionView, HeldView, ReceiptsView, RefusalView,
        ReviewQuery,
    },
};

type Answer<T> = Result<T, ApiError>;

/// `GET /admin/held`
pub(super) async fn held(
    State(http): State<Http>,
    Admin(caller): Admin,
    OriginalUri(path): OriginalUri,
    query: Result<Query<ReviewQuery>, QueryRejection>,
) -> Answer<PageResponse<HeldView>> {
    let query = readable(query)?;
    let (limit, state) = (query.limit()?, query.state());
    let page = http.services.review.held(&caller, state, query.cursor()?, limit).await?;
    Ok(PageResponse {
        items: page.items.into_iter().map(HeldView::from).collect(),
        next: page.next.map(|id| Next::behind(path, limit, &id)),
    })
}

/// `POST /admin/held/:messageId/release`
pub(super) async fn release(
    State(http): State<Http>,
    Admin(caller): Admin,
    id: Result<Path<String>, PathRejection>,
    Shaped(request): Shaped<DecideRequest>,
) -> Answer<Json<DecidedView>> {
    let letter = http.services.review.release(&caller, message_id(id)?, request.into()).await?;
    Ok(Json(DecidedView::from(&letter)))
}

/// `POST /admin/held/:messageId/refuse`
pub(super) async fn refuse(
    State(http): State<Http>,
    Admin(caller): Admin,
    id: Result<Path<String>, PathRejection>,
    Shaped(request): Shaped<DecideRequest>,
) -> Answer<Json<DecidedView>> {
    let letter = http.services.review.refuse(&caller, message_id(id)?, request.into()).await?;
    Ok(Json(DecidedView::from(&letter)))
}

/// `GET /admin/flagged`
pub(super) async fn flagged(
    State(http): State<Http>,
    Admin(caller): Admin,
    OriginalUri(path): OriginalUri,
    query: Result<Query<ReviewQuery>, QueryRejection>,
) -> Answer<PageResponse<DecisionView>> {
    let query = readable(query)?;
    let limit = query.limit()?;
    let page = http.services.review.flagged(&caller, query.cursor()?, limit).await?;
    Ok(PageResponse {
        items: page.items.iter().map(DecisionView::from).collect(),
        next: page.next.map(|id| Next::behind(path, limit, &id)),
    })
}

/// `GET /admin/messages/:id/decision`
pub(super) async fn decision(
    State(http): State<Http>,
    Admin(caller): Admin,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Json<DecisionView>> {
    let reviewed = http.services.review.decision(&caller, message_id(id)?).await?;
    Ok(Json(DecisionView::from(&reviewed)))
}

/// `GET /admin/messages/:id/receipt`
pub(super) async fn receipt(
    State(http): State<Http>,
    Admin(caller): Admin,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Json<ReceiptsView>> {
    let receipts = http.services.review.message_receipts(&caller, message_id(id)?).await?;
    Ok(Json(receipts.into()))
}

/// `GET /admin/refusals/:requestId/receipt`
pub(super) async fn refusal_receipt(
    State(http): State<Http>,
    Admin(caller): Admin,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Json<ReceiptsView>> {
    let receipts = http.services.review.refusal_receipts(&caller, request_id(id)?).await?;
    Ok(Json(receipts.into()))
}

/// `GET /admin/refusals`
pub(super) async fn refusals(
    State(http): State<Http>,
    Admin(caller): Admin,
    OriginalUri(path): OriginalUri,
    query: Result<Query<ReviewQuery>, QueryRejection>,
) -> Answer<PageResponse<RefusalView>> {
    let query = readable(query)?;
    let limit = query.limit()?;
    let page = http.services.review.refusals(&caller, query.cursor()?, limit).await?;
    Ok(PageResponse {
        items: page.items.into_iter().map(RefusalView::from).collect(),
        next: page.next.map(|id| Next::behind(path, limit, &id)),
    })
}

/// `GET /admin/refusals/:requestId`
pub(super) async fn refusal(
    State(http): State<Http>,
    Admin(caller): Admin,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Json<RefusalView>> {
    let refusal = http.services.review.refusal(&caller, request_id(id)?).await?;
    Ok(Json(RefusalView::from(refusal)))
}

/// What is no id is none that is known.
fn request_id(id: Result<Path<String>, PathRejection>) -> Answer<EntryId> {
    let id = id.ok().and_then(|Path(text)| text.parse().ok());
    id.ok_or(ApiError(Error::NotFound("a refusal of that requestId".into())))
}

/// `GET /admin/audit`
pub(super) async fn audit(
    State(http): State<Http>,
    Admin(caller): Admin,
    OriginalUri(path): OriginalUri,
    query: Result<Query<ReviewQuery>, QueryRejection>,
) -> Answer<PageResponse<AuditView>> {
    let query = readable(query)?;
    let limit = query.limit()?;
    let page = http.services.review.audit(&caller, query.cursor()?, limit).await?;
    Ok(PageResponse {
        items: page.items.into_iter().map(AuditView::from).collect(),
        next: page.next.map(|id| Next::behind(path, limit, &id)),
    })
}
