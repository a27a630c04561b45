use std::borrow::Cow;

use axum::{
    Json,
    extract::{
        OriginalUri, Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Http,
    body::JsonBody,
    caller::{Reader, Sender, single},
    error::ApiError,
    page::{Next, PageResponse},
};
use crate::{
    Error,
    domain::{DeleteScope, MessageId},
    service::{HISTORY_PAGE, NextPart, PersonRef, Via},
    wire::{
        ListQuery, MarkRequest, MarkedView, MessageView, SyncView, ThreadQuery, ThreadView,
        parse_edit, parse_send,
    },
};

type Answer<T> = Result<T, ApiError>;

/// `POST /community/messages`
pub(super) async fn send(
    State(http): State<Http>,
    Sender(caller): Sender,
    headers: HeaderMap,
    JsonBody(request): JsonBody,
) -> Answer<Response> {
    let key = single(&headers, "idempotency-key")?.map(str::to_owned);
    let command = parse_send(request, key)?;
    let sent = http.services.sending.send(&caller, Via::Rest, command).await?;
    let status = if sent.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(MessageView::from(&sent.letter))).into_response())
}

/// `GET /community/messages/threads`
pub(super) async fn threads(
    State(http): State<Http>,
    Reader(caller): Reader,
    OriginalUri(path): OriginalUri,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer<PageResponse<ThreadView>> {
    let query = readable(query)?;
    let limit = query.limit(HISTORY_PAGE)?;
    let page = http.services.history.threads(&caller, query.cursor()?, limit).await?;
    Ok(PageResponse {
        items: page.items.iter().map(ThreadView::from).collect(),
        next: page.next.map(|id| Next::behind(path, limit, &id)),
    })
}

/// `GET /community/messages/thread/:userId`
pub(super) async fn thread(
    State(http): State<Http>,
    Reader(caller): Reader,
    peer: Result<Path<String>, PathRejection>,
    OriginalUri(path): OriginalUri,
    query: Result<Query<ThreadQuery>, QueryRejection>,
) -> Answer<PageResponse<MessageView>> {
    let query = readable(query)?;
    let limit = query.limit()?;
    let peer = person(peer)?;
    let page = http.services.history.thread(&caller, &peer, query.anchor()?, limit).await?;
    let next = page.next.map(|part| match part {
        NextPart::Before(id) => ("before", id),
        NextPart::After(id) => ("after", id),
    });
    Ok(PageResponse {
        items: page.items.iter().map(MessageView::from).collect(),
        next: next.map(|(parameter, id)| Next { path, limit, parameter, cursor: id.to_string() }),
    })
}

/// `POST /community/messages/read`
pub(super) async fn mark(
    State(http): State<Http>,
    Reader(caller): Reader,
    JsonBody(request): JsonBody,
) -> Answer<Json<MarkedView>> {
    let ids = MarkRequest::parse(request)?;
    let marked = http.services.reading.mark(&caller, &ids).await?;
    Ok(Json(MarkedView::of_ids(marked)))
}

/// `POST /community/messages/thread/:userId/read`
pub(super) async fn mark_thread(
    State(http): State<Http>,
    Reader(caller): Reader,
    peer: Result<Path<String>, PathRejection>,
) -> Answer<Json<MarkedView>> {
    let marked = http.services.reading.mark_thread(&caller, &person(peer)?).await?;
    Ok(Json(MarkedView::of_thread(&marked)))
}

/// `GET /community/messages/unread-count`
pub(super) async fn unread_count(
    State(http): State<Http>,
    Reader(caller): Reader,
) -> Answer<Json<Value>> {
    let count = http.services.history.unread_count(&caller).await?;
    Ok(Json(json!({ "count": count })))
}

#[derive(Deserialize)]
pub(super) struct SyncQuery {
    since: Option<String>,
}

/// `GET /community/messages/sync`
pub(super) async fn sync(
    State(http): State<Http>,
    Reader(caller): Reader,
    query: Result<Query<SyncQuery>, QueryRejection>,
) -> Answer<Json<SyncView>> {
    let query = readable(query)?;
    let since = query.since.as_deref().filter(|since| !since.is_empty() && *since != "null");
    Ok(Json(http.services.sync.sync(&caller, since).await?.into()))
}

/// `GET /community/messages/:id`
pub(super) async fn find(
    State(http): State<Http>,
    Reader(caller): Reader,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Json<MessageView>> {
    let letter = http.services.messages.find(&caller, message_id(id)?).await?;
    Ok(Json(MessageView::from(&letter)))
}

/// `PATCH /community/messages/:id`
pub(super) async fn edit(
    State(http): State<Http>,
    Sender(caller): Sender,
    id: Result<Path<String>, PathRejection>,
    JsonBody(request): JsonBody,
) -> Answer<Json<MessageView>> {
    let id = message_id(id)?;
    let edit = parse_edit(request)?;
    let letter = http.services.messages.edit(&caller, Via::Rest, id, edit).await?;
    Ok(Json(MessageView::from(&letter)))
}

#[derive(Deserialize)]
pub(super) struct DeleteQuery {
    scope: Option<String>,
}

/// `DELETE /community/messages/:id`
pub(super) async fn delete(
    State(http): State<Http>,
    Reader(caller): Reader,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<DeleteQuery>, QueryRejection>,
) -> Answer<StatusCode> {
    let id = message_id(id)?;
    let scope = match readable(query)?.scope.as_deref() {
        None => None,
        Some("everyone") => Some(DeleteScope::Everyone),
        Some("me") => Some(DeleteScope::Me),
        Some(_) => return Err(Error::invalid("scope", "must be everyone or me").into()),
    };
    http.services.messages.delete(&caller, id, scope).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is no id names no message.
pub(super) fn message_id(path: Result<Path<String>, PathRejection>) -> Answer<MessageId> {
    let id = path.ok().and_then(|Path(text)| text.parse().ok());
    id.ok_or(ApiError(Error::NotFound(Cow::Borrowed("the message"))))
}

fn person(path: Result<Path<String>, PathRejection>) -> Answer<PersonRef> {
    let person = path.ok().and_then(|Path(text)| PersonRef::parse(&text));
    person.ok_or(ApiError(Error::NotFound(Cow::Borrowed("that person"))))
}

pub(super) fn readable<T>(query: Result<Query<T>, QueryRejection>) -> Answer<T> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(rejection) => Err(Error::Malformed(rejection.body_text()).into()),
    }
}
