//! What clients may emit.

use std::{borrow::Cow, future::Future, sync::Arc};

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use socketioxide::socket::Socket;

use super::{
    access::Access,
    conn::{Conn, Pass},
    incoming::Incoming,
    sends,
};
use crate::{
    Error, Result,
    domain::{Caller, Email},
    service::PersonRef,
    wire::{MarkTarget, MarkedView, OnlineUserView, SyncView},
};

/// What a handler is called with.
struct Call {
    access: Access,
    conn: Arc<Conn>,
    caller: Caller,
    data: Json,
}

/// Sets up what a socket does, by one handler for all of its events: each that is registered
/// takes memory for as long as the socket is open.
pub(super) fn register(socket: &Socket, conn: &Arc<Conn>, access: &Access) {
    let (bearer, door) = (conn.clone(), access.clone());
    socket.on_fallback(move |event: Incoming| {
        let work = receive(&bearer, &door, event);
        async move {
            if let Some(work) = work {
                work.await;
            }
        }
    });
    let (gone, access) = (conn.clone(), access.clone());
    socket.on_disconnect(move || {
        access.disconnected(&gone);
        std::future::ready(())
    });
}

/// Takes an event in. Calls come in the order in which a socket's events arrive; what they answer
/// runs side by side.
fn receive(conn: &Arc<Conn>, access: &Access, event: Incoming) -> Option<BoxFuture<'static, ()>> {
    match event.name.as_str() {
        "sendMessage" => {
            sends::receive(conn, access, event);
            None
        }
        "typing" => Some(answer(conn, access, ("typing", event), typing)),
        "markRead" => Some(answer(conn, access, ("markRead", event), mark_read)),
        "getOnlineUsers" => Some(answer(conn, access, ("getOnlineUsers", event), online_users)),
        "sync" => Some(answer(conn, access, ("sync", event), sync)),
        "authenticate" => Some(answer(conn, access, ("authenticate", event), authenticate)),
        _ => {
            let limits = conn.caller().org.settings.limits.clone();
            let unknown = Error::NotFound(Cow::Borrowed("an event of that name"));
            let refusal = access.services.limits.event(conn.key, &limits).err().unwrap_or(unknown);
            conn.answer("unknown", event.ack, Err::<(), _>(refusal));
            None
        }
    }
}

/// Answers an event that takes no part in the order of sends.
fn answer<H, F, T>(
    conn: &Arc<Conn>,
    access: &Access,
    (name, event): (&'static str, Incoming),
    handle: H,
) -> BoxFuture<'static, ()>
where
    H: FnOnce(Call) -> F + Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
    T: serde::Serialize + Send + 'static,
{
    access.count(conn);
    let caller = conn.caller();
    let admitted = access.services.limits.event(conn.key, &caller.org.settings.limits);
    let (conn, access) = (conn.clone(), access.clone());
    Box::pin(async move {
        let Incoming { data, ack, .. } = event;
        let result = match (admitted, data) {
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(Error::Malformed("the event's data must be JSON".into())),
            (Ok(()), Some(data)) => {
                let patience = access.hub.settings.patience;
                let call = Call { access, conn: conn.clone(), caller, data };
                // A database that hangs leaves nobody without an answer.
                tokio::time::timeout(patience, handle(call))
                    .await
                    .unwrap_or(Err(Error::Unavailable(None)))
            }
        };
        conn.answer(name, ack, result);
    })
}

/// `typing {to}`: told to the peer, at most once in 2 s.
async fn typing(Call { access, caller, data, .. }: Call) -> Result<Json> {
    #[derive(Deserialize)]
    struct Typing {
        to: String,
    }

    let Typing { to } = Typing::deserialize(data)
        .map_err(|_| Error::invalid("to", "is missing: the peer's e-mail"))?;
    let peer = PersonRef::parse(&to).ok_or_else(|| Error::invalid("to", "must be an e-mail"))?;
    access.services.typing.tell(&caller, &peer).await?;
    Ok(json!({ "ok": true }))
}

/// `markRead {messageId} | {ids} | {thread}`
async fn mark_read(Call { access, caller, data, .. }: Call) -> Result<Json> {
    let reading = &access.services.reading;
    let marked = match MarkTarget::parse(data)? {
        MarkTarget::Ids(ids) => reading.mark(&caller, &ids).await?,
        MarkTarget::Thread(peer) => reading.mark_thread(&caller, &peer).await?,
    };
    let updated = MarkedView::of_thread(&marked).updated;
    Ok(json!({ "ok": true, "updated": updated }))
}

/// `getOnlineUsers null | {cursor}`: a cursor is the last e-mail of the page before.
async fn online_users(Call { access, caller, data, .. }: Call) -> Result<Vec<OnlineUserView>> {
    let after = data.get("cursor").and_then(Json::as_str).map(Email::parse).transpose();
    let after = after.map_err(|_| Error::invalid("cursor", "must be the last e-mail received"))?;
    let online = access.services.presence.list(&caller, after.as_ref()).await?;
    Ok(online.iter().map(OnlineUserView::from).collect())
}

/// `sync {since: cursor | null}`
async fn sync(Call { access, conn, caller, data }: Call) -> Result<SyncView> {
    let _one_at_a_time = conn.syncing.lock().await;
    if !matches!(data, Json::Object(_) | Json::Null) {
        return Err(Error::Malformed("sync takes {since: cursor | null}".into()));
    }
    let since = match data.get("since") {
        None | Some(Json::Null) => None,
        Some(Json::String(cursor)) => Some(cursor.clone()),
        Some(_) => return Err(Error::invalid("since", "must be a cursor or null")),
    };
    // Boxed, so that what waits for its turn is small.
    Ok(Box::pin(access.services.sync.sync(&caller, since.as_deref())).await?.into())
}

/// `authenticate {token}`: the same person goes on under a newer token.
async fn authenticate(Call { access, conn, caller, data }: Call) -> Result<Json> {
    let services = &access.services;
    let token = data.get("token").and_then(Json::as_str);
    let token = token.ok_or_else(|| Error::invalid("token", "is missing"))?;
    let session = services.identity.authenticate(Some(caller.org.slug.as_str()), token).await?;
    if session.caller.user.id != caller.user.id {
        return Err(Error::Forbidden("the token is somebody else's".into()));
    }
    // Nothing comes between this look and the line after it.
    if !services.identity.is_current(&session).await? {
        return Err(Error::Unavailable(None));
    }
    conn.extend(Pass::from(&*session));
    access.hub.expiry.watch(&conn);
    Ok(json!({ "ok": true, "exp": session.caller.expires_at.unix_timestamp() }))
}
