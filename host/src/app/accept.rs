//! Takes in connections: bounded while their headers come, and each with a handle that
//! can cut it.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, HttpBody},
};
use hyper::{
    HeaderMap, Request, Response, Uri,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
    server::conn::http1,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};
use tower::{Service, ServiceExt, service_fn};
use tower_http::timeout::TimeoutBody;
use tungstenite::handshake::server::create_response_with_body;

use crate::socket::{Attached, Cut, Transports};

/// Answers requests; a clone for each.
pub(super) trait Serves<B>:
    Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S, B> Serves<B> for S where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

#[derive(Clone, Copy)]
pub(super) struct AcceptLimits {
    /// Bytes of a request's line and headers.
    pub(super) head: usize,
    /// How long a client may take to send a request's headers.
    pub(super) header: Duration,
    /// How long the next piece of a body may take.
    pub(super) body: Duration,
    /// How long a stop waits for requests under way.
    pub(super) stop: Duration,
}

pub(super) async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    transports: Transports,
    limits: AcceptLimits,
    mut stopping: watch::Receiver<bool>,
) where
    S: Serves<B>,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    // Held by every connection: it ends with the last of them.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.changed() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let line = Line::new(transports.clone());
                let connection = connect(stream, line, service.clone(), limits, stopping.clone());
                let open = open.clone();
                tokio::spawn(async move {
                    connection.await;
                    drop(open);
                });
            }
            Err(error) => {
                // Mostly out of file descriptors: those who are in go on, others wait.
                tracing::warn!(%error, "connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop((listener, open));
    let _ = tokio::time::timeout(limits.stop, all_closed.recv()).await;
}

/// Serves one connection until it ends; a stop lets the request under way finish.
async fn connect<S, B>(
    stream: TcpStream,
    line: Line,
    service: S,
    limits: AcceptLimits,
    mut stopping: watch::Receiver<bool>,
) where
    S: Serves<B>,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let _ = stream.set_nodelay(true);
    let stream = Wire { stream, line: line.clone() };
    let answer = service_fn(move |mut request: Request<Incoming>| {
        if is_socket(&request) {
            copy_head(&mut request);
        }
        line.see(&request);
        request.extensions_mut().insert(line.cut.clone());
        let body = |body| Body::new(TimeoutBody::new(limits.body, body));
        service.clone().oneshot(request.map(body))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_header_size(limits.head)
        .header_read_timeout(limits.header)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(answer))
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // Whatever ends a connection is its client's affair.
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

fn is_socket(request: &Request<Incoming>) -> bool {
    request.uri().path().starts_with("/socket.io")
}

fn is_handshake(request: &Request<Incoming>) -> bool {
    let has_one_key = request.headers().get_all(header::SEC_WEBSOCKET_KEY).iter().count() == 1;
    has_one_key && create_response_with_body(request, || ()).is_ok()
}

/// What of a socket's head is looked at: by its handshake, by CORS and as its origin.
const KEPT: [HeaderName; 5] = [
    header::SEC_WEBSOCKET_KEY,
    header::CONTENT_TYPE,
    header::ORIGIN,
    header::ACCESS_CONTROL_REQUEST_METHOD,
    header::ACCESS_CONTROL_REQUEST_HEADERS,
];

/// Leaves of a request's head what is needed, in memory of its own. A socket keeps the head of its
/// first request for as long as it is open, and with it, if it is not copied, the 8 KiB that it
/// was read into. What is no handshake (RFC 6455 §4.2.1) loses its key, without which the transport
/// answers 400.
fn copy_head(request: &mut Request<Incoming>) {
    let mut kept = HeaderMap::with_capacity(3);
    let is_handshake = is_handshake(request);
    for name in KEPT {
        if name == header::SEC_WEBSOCKET_KEY && !is_handshake {
            continue;
        }
        for value in request.headers().get_all(&name) {
            if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
                kept.append(name.clone(), copy);
            }
        }
    }
    *request.headers_mut() = kept;
    if let Ok(copy) = Uri::try_from(request.uri().to_string()) {
        *request.uri_mut() = copy;
    }
}

/// What one TCP connection is known by.
#[derive(Clone)]
struct Line {
    cut: Cut,
    transports: Transports,
    /// The Engine.IO session that it carries.
    attached: Arc<Mutex<Option<Attached>>>,
}

impl Line {
    fn new(transports: Transports) -> Self {
        Self { cut: Cut::default(), transports, attached: Arc::default() }
    }

    /// Notes which session a request belongs to.
    fn see(&self, request: &Request<Incoming>) {
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_socket(request) {
            // The line has gone on to other things.
            *attached = None;
            return;
        }
        let query = request.uri().query().unwrap_or_default();
        let Some(sid) = query.split('&').find_map(|pair| pair.strip_prefix("sid=")) else { return };
        if attached.as_ref().is_none_or(|attached| !attached.carries(sid)) {
            *attached = self.transports.attach(sid, &self.cut);
        }
    }
}

/// A TCP stream that ends when it is cut.
struct Wire {
    stream: TcpStream,
    line: Line,
}

impl Wire {
    fn ended() -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionAborted, "cut, because its socket does not keep up")
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.line.cut.poll_read(context) {
            return Poll::Ready(Err(Self::ended()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.line.cut.poll_write(context) {
            return Poll::Ready(Err(Self::ended()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.line.cut.poll_write(context) {
            return Poll::Ready(Err(Self::ended()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.cut.poll_write(context) {
            return Poll::Ready(Err(Self::ended()));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
