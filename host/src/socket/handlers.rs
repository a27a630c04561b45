//! What clients may emit.

use std::{borrow::Cow, future::Future, sync::Arc};

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
    service::{PersonRef, Services},
    wire::{MarkTarget, MarkedView, OnlineUserView, SyncView},
};

/// Sets up every event of a socket. The part of a handler before its future runs in the
/// order in which a socket's events arrive; futures run side by side.
pub(super) fn register(socket: &Socket, conn: &Arc<Conn>, access: &Access) {
    let (sender, services) = (conn.clone(), access.services.clone());
    let patience = access.hub.settings.patience;
    socket.on("sendMessage", move |event: Incoming| {
        sends::receive(&sender, &services, patience, event);
        std::future::ready(())
    });
    on(socket, conn, access, "typing", typing);
    on(socket, conn, access, "markRead", mark_read);
    on(socket, conn, access, "getOnlineUsers", online_users);
    let reader = conn.clone();
    on(socket, conn, access, "sync", move |services, caller, data| {
        let conn = reader.clone();
        async move {
            let _one_at_a_time = conn.syncing.lock().await;
            Box::pin(sync(services, caller, data)).await
        }
    });
    let (hub, outer) = (access.hub.clone(), conn.clone());
    on(socket, conn, access, "authenticate", move |services, caller, data| {
        let (hub, conn) = (hub.clone(), outer.clone());
        async move { authenticate(&services, &caller, data, (&hub.expiry, &conn)).await }
    });
    let (stranger, limited) = (conn.clone(), access.services.limits.clone());
    socket.on_fallback(move |event: Incoming| {
        let limits = stranger.caller().org.settings.limits.clone();
        let unknown = Error::NotFound(Cow::Borrowed("an event of that name"));
        let refusal = limited.event(stranger.key, &limits).err().unwrap_or(unknown);
        stranger.answer("unknown", event.ack, Err::<(), _>(refusal));
        std::future::ready(())
    });
    let (gone, access) = (conn.clone(), access.clone());
    socket.on_disconnect(move || {
        access.disconnected(&gone);
        std::future::ready(())
    });
}

/// Registers an event that takes no part in the order of sends.
fn on<H, F, T>(socket: &Socket, conn: &Arc<Conn>, access: &Access, name: &'static str, handle: H)
where
    H: Fn(Services, Caller, Json) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
    T: serde::Serialize + Send + 'static,
{
    let (conn, services) = (conn.clone(), access.services.clone());
    let (patience, access) = (access.hub.settings.patience, access.clone());
    socket.on(name, move |event: Incoming| {
        access.count(&conn);
        let caller = conn.caller();
        let admitted = services.limits.event(conn.key, &caller.org.settings.limits);
        let (conn, services, handle) = (conn.clone(), services.clone(), handle.clone());
        async move {
            let Incoming { data, ack } = event;
            let result = match (admitted, data) {
                (Err(error), _) => Err(error),
                (Ok(()), None) => Err(Error::Malformed("the event's data must be JSON".into())),
                (Ok(()), Some(data)) => {
                    // A database that hangs leaves nobody without an answer.
                    tokio::time::timeout(patience, handle(services, caller, data))
                        .await
                        .unwrap_or(Err(Error::Unavailable(None)))
                }
            };
            conn.answer(name, ack, result);
        }
    });
}

/// `typing {to}`: told to the peer, at most once in 2 s.
async fn typing(services: Services, caller: Caller, data: Json) -> Result<Json> {
    #[derive(Deserialize)]
    struct Typing {
        to: String,
    }

    let Typing { to } = Typing::deserialize(data)
        .map_err(|_| Error::invalid("to", "is missing: the peer's e-mail"))?;
    let peer = PersonRef::parse(&to).ok_or_else(|| Error::invalid("to", "must be an e-mail"))?;
    services.typing.tell(&caller, &peer).await?;
    Ok(json!({ "ok": true }))
}

/// `markRead {messageId} | {ids} | {thread}`
async fn mark_read(services: Services, caller: Caller, data: Json) -> Result<Json> {
    let marked = match MarkTarget::parse(data)? {
        MarkTarget::Ids(ids) => services.reading.mark(&caller, &ids).await?,
        MarkTarget::Thread(peer) => services.reading.mark_thread(&caller, &peer).await?,
    };
    let updated = MarkedView::of_thread(&marked).updated;
    Ok(json!({ "ok": true, "updated": updated }))
}

/// `getOnlineUsers null | {cursor}`: a cursor is the last e-mail of the page before.
async fn online_users(
    services: Services,
    caller: Caller,
    data: Json,
) -> Result<Vec<OnlineUserView>> {
    let after = data.get("cursor").and_then(Json::as_str).map(Email::parse).transpose();
    let after = after.map_err(|_| Error::invalid("cursor", "must be the last e-mail received"))?;
    let online = services.presence.list(&caller, after.as_ref()).await?;
    Ok(online.iter().map(OnlineUserView::from).collect())
}

/// `sync {since: cursor | null}`
async fn sync(services: Services, caller: Caller, data: Json) -> Result<SyncView> {
    if !matches!(data, Json::Object(_) | Json::Null) {
        return Err(Error::Malformed("sync takes {since: cursor | null}".into()));
    }
    let since = match data.get("since") {
        None | Some(Json::Null) => None,
        Some(Json::String(cursor)) => Some(cursor.clone()),
        Some(_) => return Err(Error::invalid("since", "must be a cursor or null")),
    };
    Ok(services.sync.sync(&caller, since.as_deref()).await?.into())
}

/// `authenticate {token}`: the same person goes on under a newer token.
async fn authenticate(
    services: &Services,
    caller: &Caller,
    data: Json,
    (expiry, conn): (&super::expiry::Expiry, &Arc<Conn>),
) -> Result<Json> {
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
    expiry.watch(conn);
    Ok(json!({ "ok": true, "exp": session.caller.expires_at.unix_timestamp() }))
}
