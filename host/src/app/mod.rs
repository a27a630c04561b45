//! Builds a server out of its parts and runs it.

mod accept;
mod database;
mod limits;
mod memory;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use socketioxide::SocketIo;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};
use tower::Layer;
use zeroize::Zeroizing;

use crate::{
    db::Db,
    events::Events,
    http,
    plugin::PluginHost,
    service::{Services, StandInLimits, Storing, Upkeep},
    settings::Settings,
    socket::{Sockets, Transports},
};
pub use database::{Database, DatabaseChoice, OpenError};
pub use memory::keep_freed_memory;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {0}: {1}; choose another address with --listen")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("the plugin host could not be started: {0}")]
    Plugins(#[source] crate::plugin::StartError),
    #[error(transparent)]
    Services(#[from] crate::Error),
}

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    pub services: Services,
    sockets: Sockets,
    transports: Transports,
    patience: Duration,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    fan_out: JoinHandle<()>,
    storing: Storing,
}

/// What is not in a settings file.
#[derive(Clone, Default)]
pub struct Secrets {
    /// What operators show; without it nobody is one.
    pub operator_token: Option<Arc<str>>,
    /// The binary that compiles plugins; this one where it is left out.
    pub compiler: Option<PathBuf>,
    /// What plugins' secrets are sealed under, in base64.
    pub secrets_key: Option<Zeroizing<String>>,
    /// Where a key of our own may be kept; none where the database is the operator's.
    pub data_directory: Option<PathBuf>,
}

impl Server {
    /// Takes the address before anything else is started.
    pub async fn listen(settings: &Settings) -> Result<TcpListener, StartError> {
        let address = settings.server.listen;
        TcpListener::bind(address).await.map_err(|error| StartError::Listen(address, error))
    }

    /// Starts serving a database whose schema is up to date, on the runtime that it is called in.
    pub fn start(
        listener: TcpListener,
        db: Db,
        settings: &Settings,
        secrets: &Secrets,
    ) -> Result<Self, StartError> {
        let host = plugin_host(settings, secrets.compiler.clone())?;
        let (events, told) = Events::channel();
        let (services, storing) =
            Services::new(db, &events, host, limits::services(settings, secrets))?;
        let transports = Transports::default();
        let (layer, io) = socket_layer(settings);
        let sockets =
            Sockets::open(&io, services.clone(), transports.clone(), limits::sockets(settings));
        let rest = http::rest(services.clone(), limits::http(settings, secrets));
        let service = http::with_cors(layer.layer(rest), services.clone());
        let address = listener
            .local_addr()
            .map_err(|error| StartError::Listen(settings.server.listen, error))?;
        let (stop, stopping) = watch::channel(false);
        let limits = accept::AcceptLimits {
            head: settings.http.max_head_bytes,
            header: settings.http.header,
            body: settings.http.body,
            stop: settings.server.stop,
        };
        let accepting =
            tokio::spawn(accept::serve(listener, service, transports.clone(), limits, stopping));
        Ok(Self {
            address,
            fan_out: tokio::spawn(sockets.clone().fan_out(told)),
            upkeep: tokio::spawn(Upkeep::new(services.clone(), events).run()),
            services,
            sockets,
            transports,
            patience: settings.server.stop,
            stop,
            accepting,
            storing,
        })
    }

    /// Stops: no new connections, sockets closed, requests under way finished, all that was
    /// accepted stored. Takes little more than the setting `server.stop_ms`, whatever clients do.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        // A client that does not read would hold this up for ever.
        let _ = timeout(self.patience / 4, self.sockets.close()).await;
        self.transports.cut_all();
        let _ = self.accepting.await;
        // These hold services too, and with them the writer's queue.
        for task in [self.upkeep, self.fan_out] {
            task.abort();
            let _ = task.await;
        }
        drop(self.sockets);
        let db = self.services.db.clone();
        drop(self.services);
        // The socket layer's handlers may hold the writer's queue a little longer.
        let _ = timeout(self.patience / 8, self.storing.end()).await;
        let _ = timeout(self.patience / 8, db.close()).await;
    }
}

/// What compiles and runs plugins, within the settings' limits; `compiler` as in
/// [`PluginHost::new`].
pub fn plugin_host(
    settings: &Settings,
    compiler: Option<PathBuf>,
) -> Result<PluginHost, StartError> {
    PluginHost::new(limits::plugins(settings), compiler).map_err(StartError::Plugins)
}

/// What guests are held to where they only rehearse.
pub fn stand_in_limits(settings: &Settings) -> StandInLimits {
    limits::guests(settings, &Secrets::default()).stand_in(&limits::events(settings))
}

fn socket_layer(settings: &Settings) -> (socketioxide::layer::SocketIoLayer, SocketIo) {
    let limits = &settings.sockets;
    SocketIo::builder()
        .max_payload(limits.max_packet_bytes as u64)
        .ws_max_message_size(limits.max_packet_bytes)
        // Each open socket has one; larger packets get room as they come.
        .ws_read_buffer_size(512)
        .ws_max_frame_size(limits.max_packet_bytes)
        .max_buffer_size(limits.buffer_packets)
        .connect_timeout(limits.connect)
        .ping_interval(limits.ping_interval)
        .ping_timeout(limits.ping_timeout)
        .with_parser(
            // No event of ours carries bytes; one that does is refused when it is whole.
            socketioxide::ParserConfig::common()
                .max_incoming_binaries(10)
                .max_incoming_binary_buf_size(limits.max_packet_bytes),
        )
        .build_layer()
}
