//! What the server calls.

use crate::config::Config;

use duologue_plugin::{
    Body, Call, Draft, Failure, Message, Person, Plugin, config,
    event::{Event, Kind, What},
    kv, log, messages,
};

struct AutoReply;

impl Plugin for AutoReply {
    fn event_kinds() -> Vec<Kind> {
        vec![Kind::Sent]
    }

    fn on_event(_: Call, event: Event) -> Result<(), Failure> {
        let config = Config::read(config::get).map_err(Failure::Declined)?;
        match event.what {
            What::Sent(message) if config.is_away(&message.recipient.email) => {
                reply(&config, &event.id, &message)
            }
            _ => Ok(()),
        }
    }

    fn check() -> Result<(), String> {
        Config::read(config::get).map(drop)
    }
}

fn reply(config: &Config, event: &str, message: &Message) -> Result<(), Failure> {
    let Message { sender, recipient, .. } = message;
    let key = key(sender, recipient);
    // Under the event's id, so that an event which is told again finishes what it began.
    let known = kv::get(&key).map_err(|error| later("read", &error))?;
    match known {
        Some(entry) if entry.value != event.as_bytes() => return Ok(()),
        Some(_) => {}
        None => match kv::set(&key, event.as_bytes(), Some(config.every_seconds), Some(0)) {
            Ok(_) => {}
            // Another event of theirs was faster.
            Err(kv::Error::Conflict) => return Ok(()),
            Err(error) => return Err(later("written", &error)),
        },
    }
    let name = recipient.name.as_deref().unwrap_or(&recipient.email);
    match messages::send(&draft(sender, config.message(name))) {
        Ok(_) => Ok(()),
        // Trying again would change nothing.
        Err(
            error @ (messages::Error::Invalid(_)
            | messages::Error::Refused(_)
            | messages::Error::Denied(_)),
        ) => {
            log::warn(&format!("not answered: {error:?}"));
            Ok(())
        }
        Err(error) => Err(Failure::Declined(format!("cannot answer now: {error:?}"))),
    }
}

fn later(done: &str, error: &kv::Error) -> Failure {
    Failure::Declined(format!("whom it has answered cannot be {done}: {error:?}"))
}

/// At most 256 bytes, whatever the addresses.
fn key(sender: &Person, recipient: &Person) -> String {
    let pair = format!("{} {}", recipient.email, sender.email).to_lowercase();
    if pair.len() <= 200 { pair } else { format!("{:016x}", fnv1a(pair.as_bytes())) }
}

/// Longer addresses share a key once in a blue moon, which costs one answer.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn draft(to: &Person, content: String) -> Draft {
    let body = Body {
        content,
        content_type: "text".to_owned(),
        attachments: Vec::new(),
        metadata: Vec::new(),
    };
    Draft { to: to.email.clone(), reply_to: None, body }
}

duologue_plugin::export!(AutoReply: on_event, lifecycle);
