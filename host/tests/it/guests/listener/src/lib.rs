//! Says in its log what it hears, and answers as its configuration tells.
//!
//! | key | means |
//! | --- | --- |
//! | `reply` | the text to send to whoever sent a message, or began to be online |
//! | `to` | the e-mail to send to instead |
//! | `times` | how often, in one call |
//! | `fail-until` | traps, after it has sent, while the attempt is below that number |

wit_bindgen::generate!({ path: "../../../../../wit", world: "listener" });

use duologue::plugin::{
    config,
    log::{self, Level},
    messages,
    types::{Body, Call, Draft, Failure, Message},
};
use exports::duologue::plugin::on_event::{Event, Guest, Kind, What};

struct Listener;

impl Guest for Listener {
    fn kinds() -> Vec<Kind> {
        vec![
            Kind::Sent,
            Kind::Edited,
            Kind::Deleted,
            Kind::Read,
            Kind::Held,
            Kind::Released,
            Kind::Rejected,
            Kind::UserOnline,
        ]
    }

    fn on_event(call: Call, event: Event) -> Result<(), Failure> {
        let (heard, sender) = describe(event.what);
        say(&format!("{heard} {}/{}", event.id, call.attempt));
        if let (Some(text), Some(sender)) = (config::get("reply"), sender) {
            for _ in 0..number("times").unwrap_or(1) {
                say(&answer(&config::get("to").unwrap_or(sender.clone()), &text));
            }
        }
        if number("fail-until").is_some_and(|until| call.attempt < until) {
            unreachable!("as it was told");
        }
        Ok(())
    }
}

/// What happened in one line, and whom to answer.
fn describe(what: What) -> (String, Option<String>) {
    match what {
        What::Sent(message) => (format!("sent {}", shown(&message)), Some(message.sender.email)),
        What::Edited(message) => (format!("edited {}", shown(&message)), None),
        What::Released(message) => (format!("released {}", shown(&message)), None),
        What::Held(held) => {
            (format!("held {} {} {}", shown(&held.message), held.revision, held.plugin), None)
        }
        What::Deleted(it) => {
            (format!("deleted {} {} {}", it.message_id, it.by.email, it.for_everyone), None)
        }
        What::Read(read) => {
            let ids = read.message_ids.join(",");
            (format!("read {} {} {ids}", read.reader.email, read.sender.email), None)
        }
        What::Rejected(it) => {
            let heard = format!("rejected {} {} {}", it.sender.email, it.recipient.email, it.code);
            (heard, Some(it.sender.email))
        }
        What::UserOnline(person) => {
            (format!("user-online {} {:?}", person.email, person.kind), Some(person.email))
        }
    }
}

fn shown(message: &Message) -> String {
    let Message { id, sender, recipient, body, seq, .. } = message;
    let seq = seq.map_or("-".to_owned(), |seq| seq.to_string());
    format!("{id} {} {} {seq} [{}]", sender.email, recipient.email, body.content)
}

fn answer(to: &str, text: &str) -> String {
    let draft = Draft {
        to: to.to_owned(),
        reply_to: None,
        body: Body {
            content: text.to_owned(),
            content_type: "text".to_owned(),
            attachments: Vec::new(),
            metadata: Vec::new(),
        },
    };
    match messages::send(&draft) {
        Ok(id) => format!("answered {id}"),
        Err(error) => format!("unanswered {error:?}"),
    }
}

fn number(key: &str) -> Option<u32> {
    config::get(key).and_then(|text| text.parse().ok())
}

fn say(line: &str) {
    log::write(Level::Info, line);
}

export!(Listener);
