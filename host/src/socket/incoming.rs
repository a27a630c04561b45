use std::{convert::Infallible, sync::Arc};

use serde_json::Value as Json;
use socketioxide::{
    adapter::LocalAdapter,
    extract::{Event, TryData},
    handler::{FromConnectParts, FromMessage, FromMessageParts},
    socket::Socket,
};
use socketioxide_core::Value;

/// The socket itself, to be held weakly.
pub(super) struct Handle(pub(super) Arc<Socket>);

impl FromConnectParts<LocalAdapter> for Handle {
    type Error = Infallible;

    fn from_connect_parts(socket: &Arc<Socket>, _: &Option<Value>) -> Result<Self, Infallible> {
        Ok(Self(socket.clone()))
    }
}

/// An event that came in: its name, what it carries, and whether it wants an ack.
pub(super) struct Incoming {
    pub(super) name: String,
    /// `None`: it cannot be read. No argument at all is `null`.
    pub(super) data: Option<Json>,
    pub(super) ack: Option<i64>,
}

impl FromMessage<LocalAdapter> for Incoming {
    type Error = Infallible;

    fn from_message(
        socket: Arc<Socket>,
        mut value: Value,
        ack: Option<i64>,
    ) -> Result<Self, Infallible> {
        // It has one, or it would not have come here.
        let name = Event::from_message_parts(&socket, &mut value, &ack);
        let name = name.map(|Event(name)| name).unwrap_or_default();
        if !matches!(value, Value::Str(_, None)) {
            return Ok(Self { name, data: None, ack });
        }
        let Ok(TryData(data)) = TryData::<Json>::from_message_parts(&socket, &mut value, &ack);
        let data = match data {
            Ok(data) => Some(data),
            Err(_) if is_bare(&value) => Some(Json::Null),
            Err(_) => None,
        };
        Ok(Self { name, data, ack })
    }
}

/// Whether an event carries its name alone.
fn is_bare(value: &Value) -> bool {
    let Value::Str(text, None) = value else { return false };
    let arguments: Result<Vec<serde::de::IgnoredAny>, _> = serde_json::from_str(text.as_str());
    arguments.is_ok_and(|arguments| arguments.len() == 1)
}
