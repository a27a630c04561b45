//! Socket.IO: turns events into service calls, results into acks, and what happened into
//! emissions.

mod access;
mod conn;
mod expiry;
mod fanout;
mod gathering;
mod handlers;
mod hub;
mod incoming;
mod outbox;
mod review;
mod sends;
mod transport;

use std::{sync::Arc, time::Duration};

use socketioxide::{SocketIo, extract::TryData, handler::ConnectHandler};

use crate::{events::Event, service::Services};
use access::{Access, AuthPayload};
use gathering::Gathering;
use hub::Hub;
use incoming::Handle;
pub use transport::{Attached, Cut, Transports};

/// The one namespace there is.
pub const NAMESPACE: &str = "/community-chat";

/// What the transport itself is to do; each field is a setting of the server.
#[derive(Clone, Debug)]
pub struct SocketSettings {
    /// What may wait for one socket before it is cut, in bytes.
    pub max_queued_bytes: usize,
    /// How long an event may take before it is answered `unavailable`.
    pub patience: Duration,
    /// How long an org hears nothing of comings and goings after it was told of some.
    pub presence_pause: Duration,
    /// So many of them do not wait for the end of it.
    pub presence_at_once: usize,
}

/// The sockets of this server.
#[derive(Clone)]
pub struct Sockets {
    io: SocketIo,
    hub: Arc<Hub>,
    services: Services,
}

impl Sockets {
    /// Opens the namespace. Events are told from [`Sockets::fan_out`] on.
    pub fn open(
        io: &SocketIo,
        services: Services,
        transports: Transports,
        settings: SocketSettings,
    ) -> Self {
        let hub = Hub::start(transports, settings);
        let sockets = Self { io: io.clone(), hub: hub.clone(), services: services.clone() };
        let access = Access { services, hub };
        let admit = access.clone();
        // Handlers and rooms are set up in the middleware: the CONNECT is answered before
        // the connect handler runs, and a client may send at once.
        let on_connect = move |Handle(socket): Handle| {
            let access = access.clone();
            async move { access.connected(&socket) }
        };
        let gate = move |Handle(socket): Handle, TryData(auth): TryData<AuthPayload>| {
            let access = admit.clone();
            async move { access.admit(socket, auth.ok()).await }
        };
        io.ns(NAMESPACE, on_connect.with(gate));
        sockets
    }

    /// Emits every event to those whom it concerns, until no service is left to tell of any.
    pub async fn fan_out(self, mut events: tokio::sync::mpsc::Receiver<Event>) {
        let (reviews, changed) = tokio::sync::mpsc::unbounded_channel();
        let review = review::run(&self.hub, &self.services, changed);
        let settings = &self.hub.settings;
        let mut gathering = Gathering::new(settings.presence_pause, settings.presence_at_once);
        let tell = async {
            loop {
                tokio::select! {
                    event = events.recv() => match event {
                        None => break,
                        Some(Event::OrgChanged(org_id)) => {
                            // Who is told of people may have changed.
                            for org_id in org_id.map_or_else(|| gathering.orgs(), |id| vec![id]) {
                                let told = gathering.take(org_id);
                                fanout::tell_org(&self.io, org_id, &told).await;
                            }
                            // Looked into beside: it asks the database.
                            let _ = reviews.send(org_id);
                        }
                        Some(event) => {
                            fanout::emit(&self.io, &self.hub, &mut gathering, event).await;
                        }
                    },
                    (org_id, told) = gathering.next() => {
                        fanout::tell_org(&self.io, org_id, &told).await;
                    }
                }
            }
        };
        tokio::select! {
            () = tell => {}
            () = review => {}
        }
    }

    /// Closes every socket, for a server that stops.
    pub async fn close(&self) {
        self.io.close().await;
    }
}
