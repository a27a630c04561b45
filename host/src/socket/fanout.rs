//! From what happened to who is told.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use socketioxide::SocketIo;

use super::{
    NAMESPACE,
    access::org_room,
    conn::{Conn, raw},
    gathering::{Gathering, Told},
    hub::Hub,
    outbox::Packet,
};
use crate::{
    domain::{OrgId, User, UserId},
    events::{Audience, Event, Exchange, ReadMessage, SocketKey},
    wire::{MessageView, NotificationView, time_text},
};

/// How long a typing indicator may be shown.
const TYPING_MS: u32 = 5000;

pub(super) async fn emit(io: &SocketIo, hub: &Hub, gathering: &mut Gathering, event: Event) {
    match event {
        Event::MessageSent { exchange, sender_prev_seq, recipient_prev_seq, origin, notify } => {
            let prev = (sender_prev_seq, recipient_prev_seq);
            message_sent(hub, &exchange, prev, origin);
            if notify {
                notification(hub, &exchange);
            }
        }
        Event::MessageReleased { exchange, recipient_prev_seq, notify } => {
            message_released(hub, &exchange, recipient_prev_seq, notify);
        }
        Event::Notified { org_id, to, notification } => {
            let view = NotificationView::from(*notification);
            send(&hub.of_person(org_id, to), None, "notification", &view);
        }
        Event::PendingEdit(exchange) => tell_sender(hub, &exchange),
        Event::MessageUpdated(exchange) => message_updated(hub, &exchange),
        Event::MessageDeleted { org_id, to, message_id, peer, scope, was_unread } => {
            let data = json!({
                "messageId": message_id,
                "peer": peer.email.as_str(),
                "scope": scope,
                "wasUnread": was_unread,
            });
            tell(hub, (org_id, to), "messageDeleted", &data);
        }
        Event::MessagesRead { org_id, reader, sender, messages, read_at } => {
            messages_read(hub, org_id, (&reader, &sender), &messages, &time_text(read_at)).await;
        }
        Event::ThreadRead { org_id, reader, peer, messages, up_to_seq, count, read_at } => {
            let read_at = time_text(read_at);
            let data = |peer: &User| {
                json!({
                    "peer": peer.email.as_str(),
                    "by": reader.email.as_str(),
                    "upToSeq": up_to_seq,
                    "count": count,
                    "readAt": read_at,
                })
            };
            messages_read(hub, org_id, (&reader, &peer), &messages, &read_at).await;
            tell(hub, (org_id, peer.id), "threadRead", &data(&reader));
            tell(hub, (org_id, reader.id), "threadRead", &data(&peer));
        }
        // Not told, but looked into (`review`).
        Event::OrgChanged(_) => {}
        Event::Typing { org_id, from, to } => {
            let data = json!({ "from": from.email.as_str(), "expiresInMs": TYPING_MS });
            tell_lossy(hub, org_id, &[to], ("typing", &data));
        }
        Event::Online { org_id, user, audience } => {
            presence(io, hub, gathering, (org_id, audience), Told::online(&user)).await;
        }
        Event::Offline { org_id, user, last_seen, audience } => {
            let told = Told::offline(&user, last_seen);
            presence(io, hub, gathering, (org_id, audience), told).await;
        }
    }
}

type Person = (OrgId, UserId);

fn tell(hub: &Hub, (org_id, user_id): Person, name: &'static str, data: &Json) {
    send(&hub.of_person(org_id, user_id), None, name, data);
}

fn send(
    conns: &[Arc<Conn>],
    except: Option<SocketKey>,
    name: &'static str,
    data: &impl serde::Serialize,
) {
    if conns.is_empty() {
        return;
    }
    let Some(data) = raw(data) else { return };
    for conn in conns.iter().filter(|conn| Some(conn.key) != except) {
        conn.send(Packet::Event { name, data: data.clone() });
    }
}

fn tell_lossy(hub: &Hub, org_id: OrgId, people: &[UserId], (name, data): (&'static str, &Json)) {
    let Some(data) = raw(data) else { return };
    for user_id in people {
        for conn in hub.of_person(org_id, *user_id) {
            conn.send_lossy(name, &data);
        }
    }
}

/// A message as each side sees it.
fn views(exchange: &Exchange) -> (MessageView, MessageView) {
    let view = MessageView::new(&exchange.message, &exchange.sender, &exchange.recipient);
    let theirs = view.clone().received(exchange.recipient_reply_to);
    (view, theirs)
}

fn message_sent(hub: &Hub, exchange: &Exchange, prev: (i64, i64), origin: Option<SocketKey>) {
    let recipients = hub.of_person(exchange.org_id, exchange.recipient.id);
    let senders = hub.of_person(exchange.org_id, exchange.sender.id);
    let only_origin = senders.iter().all(|conn| Some(conn.key) == origin);
    if recipients.is_empty() && only_origin {
        return;
    }
    let (mine, theirs) = views(exchange);
    if exchange.message.visible_to(exchange.recipient.id) {
        send(&recipients, None, "newMessage", &theirs.after(prev.1));
    }
    if !only_origin {
        send(&senders, origin, "messageSent", &mine.after(prev.0));
    }
}

fn tell_sender(hub: &Hub, exchange: &Exchange) {
    // They may have hidden the message while an edit of it waited.
    if !exchange.message.visible_to(exchange.sender.id) {
        return;
    }
    let (mine, _) = views(exchange);
    let conns = hub.of_person(exchange.org_id, exchange.sender.id);
    send(&conns, None, "messageUpdated", &mine);
}

/// For the recipient it is new; its sender has had it since it was held.
fn message_released(hub: &Hub, exchange: &Exchange, prev_seq: i64, notify: bool) {
    let (mine, theirs) = views(exchange);
    let senders = hub.of_person(exchange.org_id, exchange.sender.id);
    send(&senders, None, "messageUpdated", &mine);
    if exchange.message.visible_to(exchange.recipient.id) {
        let recipients = hub.of_person(exchange.org_id, exchange.recipient.id);
        send(&recipients, None, "newMessage", &theirs.after(prev_seq));
    }
    if notify {
        notification(hub, exchange);
    }
}

fn notification(hub: &Hub, exchange: &Exchange) {
    if !exchange.message.visible_to(exchange.recipient.id) {
        return;
    }
    let recipients = hub.of_person(exchange.org_id, exchange.recipient.id);
    let view = NotificationView::of_message(&exchange.message, &exchange.sender);
    send(&recipients, None, "notification", &view);
}

fn message_updated(hub: &Hub, exchange: &Exchange) {
    let (mine, theirs) = views(exchange);
    for (user, view) in [(&exchange.sender, mine), (&exchange.recipient, theirs)] {
        if exchange.message.visible_to(user.id) {
            let conns = hub.of_person(exchange.org_id, user.id);
            send(&conns, None, "messageUpdated", &view);
        }
    }
}

/// One event a message, to the sender and to the reader's own sockets; a pause now and then
/// lets others have their turn.
async fn messages_read(
    hub: &Hub,
    org_id: OrgId,
    (reader, sender): (&User, &User),
    messages: &[ReadMessage],
    read_at: &str,
) {
    const BEFORE_A_PAUSE: usize = 50;

    let sides = [(sender, reader), (reader, sender)];
    for (told, peer) in sides {
        let conns = hub.of_person(org_id, told.id);
        let seen = |message: &&ReadMessage| message.sender_sees || told.id == reader.id;
        for (index, message) in messages.iter().filter(seen).enumerate() {
            let data = json!({
                "messageId": message.id,
                "by": reader.email.as_str(),
                "peer": peer.email.as_str(),
                "readAt": read_at,
            });
            send(&conns, None, "messageRead", &data);
            if index % BEFORE_A_PAUSE == BEFORE_A_PAUSE - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn presence(
    io: &SocketIo,
    hub: &Hub,
    gathering: &mut Gathering,
    (org_id, audience): (OrgId, Audience),
    told: Told,
) {
    match audience {
        Audience::Org => tell_org(io, org_id, &gathering.add(org_id, told)).await,
        Audience::People(people) => {
            // Of before the org's setting changed: it would come too late.
            tell_org(io, org_id, &gathering.take(org_id)).await;
            tell_lossy(hub, org_id, &people, (told.name, &told.data));
        }
    }
}

/// Emits events to all of an org. They may be lost where a socket does not keep up.
pub(super) async fn tell_org(io: &SocketIo, org_id: OrgId, events: &[Told]) {
    if events.is_empty() {
        return;
    }
    let Some(namespace) = io.of(NAMESPACE) else { return };
    let room = namespace.to(org_room(org_id));
    for Told { name, data } in events {
        let _ = room.clone().emit(name, data).await;
    }
}
