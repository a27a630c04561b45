use std::{borrow::Cow, net::Ipv4Addr, rc::Rc};

use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;
use tokio::{sync::mpsc::UnboundedReceiver, task::spawn_local};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::pair::{Pair, Watch};
use crate::{
    socket::{self, NAMESPACE, Packet, Socket},
    target::{Target, message, text},
};

#[derive(Deserialize)]
struct NewMessage<'a> {
    #[serde(borrow)]
    content: Cow<'a, str>,
}

async fn connect(target: &Target, email: &str) -> Result<Socket, String> {
    let auth = target.auth(email, &target.org);
    let socket = socket::connect(&target.address, Ipv4Addr::LOCALHOST, &auth).await;
    socket.map_err(|error| format!("{email}: {error}"))
}

/// Opens the recipient's socket and notes what comes.
pub async fn receive(target: &Target, pair: &Rc<Pair>, watch: &Rc<Watch>) -> Result<(), String> {
    let mut socket = connect(target, &pair.recipient()).await?;
    let (pair, watch) = (Rc::clone(pair), Rc::clone(watch));
    spawn_local(async move {
        loop {
            let text = match socket.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(_))) | None => return watch.failed("recipient closed"),
                Some(Ok(_)) => continue,
                Some(Err(error)) => return watch.failed(format!("recipient: {error}")),
            };
            match socket::parse(&text) {
                Packet::Ping => drop(socket::pong(&mut socket).await),
                Packet::Event(event) if event.starts_with(r#"["newMessage""#) => {
                    match serde_json::from_str::<(IgnoredAny, NewMessage<'_>)>(event) {
                        Ok((_, message)) => pair.received(&message.content, &watch),
                        Err(error) => watch.failed(format!("newMessage: {error}")),
                    }
                }
                _ => {}
            }
        }
    });
    Ok(())
}

/// Opens the sender's socket, which sends the messages of those numbers, filled up to a size.
pub async fn send(
    target: &Target,
    pair: &Rc<Pair>,
    watch: &Rc<Watch>,
    (size, mut numbers): (usize, UnboundedReceiver<usize>),
) -> Result<(), String> {
    let (mut writing, mut reading) = connect(target, &pair.sender()).await?.split();
    let (pair, watch) = (Rc::clone(pair), Rc::clone(watch));
    let filler = text(size.saturating_sub(16));
    spawn_local(async move {
        loop {
            let sent: Result<(), Error> = tokio::select! {
                number = numbers.recv() => match number {
                    Some(number) => {
                        let content = format!("{} {filler}", pair.content(number));
                        let event = json!(["sendMessage", message(&pair.recipient(), &content)]);
                        writing.send(Message::text(format!("42{NAMESPACE},{number}{event}"))).await
                    }
                    None => return,
                },
                frame = reading.next() => match frame {
                    Some(Ok(Message::Text(text))) => match socket::parse(&text) {
                        Packet::Ping => socket::pong(&mut writing).await,
                        Packet::Ack(answer) if is_refusal(answer) => {
                            watch.failed(format!("ack: {answer}"));
                            Ok(())
                        }
                        _ => Ok(()),
                    },
                    Some(frame) => frame.map(drop),
                    None => Err(Error::ConnectionClosed),
                },
            };
            if let Err(error) = sent {
                return watch.failed(format!("sender: {error}"));
            }
        }
    });
    Ok(())
}

/// Both the product and the reference peer answer `error` then, and never else.
fn is_refusal(answer: &str) -> bool {
    answer.starts_with(r#"[{"error""#)
}
