//! The least of a Socket.IO 4 client: Engine.IO 4 over a WebSocket, one namespace.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Message, Utf8Bytes, client::IntoClientRequest, error::Error, protocol::WebSocketConfig,
    },
};

pub type Socket = WebSocketStream<TcpStream>;

pub const NAMESPACE: &str = "/community-chat";

const PATIENCE: Duration = Duration::from_secs(30);

/// What a frame of text says.
pub enum Packet<'a> {
    Ping,
    /// The JSON of an event: its name, and what comes with it.
    Event(&'a str),
    /// What the server answers to an emission.
    Ack(&'a str),
    Other,
}

/// Connects from the address `from`: one address has too few ports for very many sockets.
pub async fn connect(address: &str, from: Ipv4Addr, auth: &Value) -> Result<Socket, String> {
    let connecting = async {
        let mut socket = open(address, from).await?;
        join(&mut socket, auth).await?;
        Ok(socket)
    };
    timeout(PATIENCE, connecting).await.unwrap_or_else(|_| Err("no CONNECT in time".to_owned()))
}

async fn open(address: &str, from: Ipv4Addr) -> Result<Socket, String> {
    let server: SocketAddr = address.parse().map_err(|_| format!("{address} is not IP:PORT"))?;
    let tcp = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    };
    let stream = tcp.await.map_err(|error| format!("TCP: {error}"))?;
    let upgrade = async {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
        client_async_with_config(url.into_client_request()?, stream, Some(config)).await
    };
    let (socket, _) = upgrade.await.map_err(|error| format!("WebSocket: {error}"))?;
    Ok(socket)
}

/// The CONNECT of the namespace.
async fn join(socket: &mut Socket, auth: &Value) -> Result<(), String> {
    let (accepted, refused) = (format!("40{NAMESPACE}"), format!("44{NAMESPACE}"));
    next_text(socket).await?;
    let connect = Message::text(format!("40{NAMESPACE},{auth}"));
    socket.send(connect).await.map_err(|error| error.to_string())?;
    loop {
        let text = next_text(socket).await?;
        match text.as_str() {
            "2" => pong(socket).await.map_err(|error| error.to_string())?,
            text if text.starts_with(&accepted) => return Ok(()),
            text if text.starts_with(&refused) => return Err(format!("refused: {text}")),
            _ => {}
        }
    }
}

async fn next_text(socket: &mut Socket) -> Result<Utf8Bytes, String> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text),
            Some(Ok(Message::Close(_))) | None => return Err("closed".to_owned()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(format!("WebSocket: {error}")),
        }
    }
}

/// The answer to a ping.
pub async fn pong(
    socket: &mut (impl SinkExt<Message, Error = Error> + Unpin),
) -> Result<(), Error> {
    socket.send(Message::text("3")).await
}

pub fn parse(text: &str) -> Packet<'_> {
    if text == "2" {
        return Packet::Ping;
    }
    let of_kind = |kind| {
        let rest = text.strip_prefix(kind)?.strip_prefix(NAMESPACE)?.strip_prefix(',')?;
        // The number of an emission.
        Some(rest.trim_start_matches(|it: char| it.is_ascii_digit()))
    };
    let event = of_kind("42").map(Packet::Event);
    event.or_else(|| of_kind("43").map(Packet::Ack)).unwrap_or(Packet::Other)
}
