//! Who may connect, and what is set up for them.

use std::{fmt, sync::Arc};

use hyper::header::ORIGIN;
use serde::Deserialize;
use socketioxide::socket::Socket;

use super::{
    conn::{Conn, Pass},
    handlers,
    hub::Hub,
    review,
};
use crate::{
    Error, Result,
    domain::OrgId,
    service::{Services, Session},
};

/// What the CONNECT packet carries; never a header or a query string.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthPayload {
    token: Option<String>,
    org_id: Option<String>,
}

/// Why a CONNECT was refused: the client reads the code as `connect_error.message`.
#[derive(Debug)]
pub(super) struct Refusal(Error);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code())
    }
}

/// The door of the namespace.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) services: Services,
    pub(super) hub: Arc<Hub>,
}

/// The room of an org. No client can name one.
pub(super) fn org_room(org_id: OrgId) -> String {
    format!("org/{org_id}")
}

impl Access {
    /// Lets a socket in, with all its handlers in place, or refuses its CONNECT.
    pub(super) async fn admit(
        &self,
        socket: Arc<Socket>,
        auth: Option<AuthPayload>,
    ) -> Result<(), Refusal> {
        self.try_admit(&socket, auth).await.map_err(|error| {
            if let Error::Internal(source) | Error::Unavailable(Some(source)) = &error {
                tracing::error!(error = source.as_ref(), "connect failed");
            }
            Refusal(error)
        })
    }

    async fn try_admit(&self, socket: &Arc<Socket>, auth: Option<AuthPayload>) -> Result<()> {
        const MISSING: Error = Error::Unauthorized("connect with auth: {token, orgId}");

        let auth = auth.ok_or(MISSING)?;
        let token = auth.token.ok_or(MISSING)?;
        let session = self.services.identity.authenticate(auth.org_id.as_deref(), &token).await?;
        let caller = &session.caller;
        let mut origins = socket.req_parts().headers.get_all(ORIGIN).iter();
        // What is no text is the origin of nobody, nor are two.
        let origin = origins.next().map(|origin| origin.to_str().unwrap_or_default());
        let origin = if origins.next().is_some() { Some("") } else { origin };
        if !caller.org.settings.admits_origin(origin) {
            return Err(Error::OriginRefused);
        }
        let limits = &caller.org.settings.limits;
        self.services.limits.connect(caller.user.id, limits)?;

        let key = self.hub.new_key();
        let conn = Arc::new(Conn::new(key, socket, Pass::from(&*session), &self.hub));
        handlers::register(socket, &conn, self);
        socket.join(org_room(caller.org.id));
        if !self.hub.insert(&conn, limits.sockets_per_user) {
            return Err(Error::RateLimited {
                what: "open sockets",
                retry_after: std::time::Duration::from_secs(10),
            });
        }
        self.hub.expiry.watch_opening(&conn);
        if let Err(error) = self.look_again(&session, &conn).await {
            self.hub.remove(&conn);
            return Err(error);
        }
        socket.extensions.insert(conn);
        Ok(())
    }

    /// A change that came between the token's check and the socket's entry into the hub has
    /// not seen this socket.
    async fn look_again(&self, session: &Session, conn: &Arc<Conn>) -> Result<()> {
        if self.services.identity.is_current(session).await? {
            return Ok(());
        }
        review::look_at(&self.services, std::slice::from_ref(conn)).await?;
        if conn.is_gone() {
            return Err(Error::Unauthorized("the token no longer counts"));
        }
        Ok(())
    }

    /// The CONNECT is answered: what waited may go, and the person is online.
    pub(super) fn connected(&self, socket: &Arc<Socket>) {
        let Some(conn) = socket.extensions.get::<Arc<Conn>>() else { return };
        self.hub.expiry.watch(&conn);
        conn.open();
        self.count(&conn);
    }

    /// Counts a connected socket for its person's presence, once: its first event may come
    /// before its connect handler runs.
    pub(super) fn count(&self, conn: &Conn) {
        let caller = conn.caller();
        if conn.count_in(|| self.services.presence.count(&caller)) == Some(true) {
            let presence = self.services.presence.clone();
            tokio::spawn(async move { presence.tell_online(&caller).await });
        }
    }

    /// The socket is gone.
    pub(super) fn disconnected(&self, conn: &Conn) {
        self.hub.remove(conn);
        self.services.limits.forget_socket(conn.key);
        if conn.count_out() {
            self.services.presence.disconnected(&conn.caller());
        }
    }
}
