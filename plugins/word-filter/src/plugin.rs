//! The plugin's side of `wit/`.

use crate::{
    config::Config,
    filter::{self, Judgement, Masked, Texts},
};

wit_bindgen::generate!({ path: "../../wit", world: "filter" });

use duologue::plugin::{
    config,
    log::{self, Level},
    types::{Patch, Rejection},
};
use exports::duologue::plugin::before_send::{Body, Context, Draft, Failure, Guest, Verdict};

struct WordFilter;

impl Guest for WordFilter {
    fn before_send(_: Context, draft: Draft, _: Option<Body>) -> Result<Verdict, Failure> {
        let config = Config::read(config::get).map_err(Failure::Declined)?;
        Ok(match filter::judge(&config, &texts(&draft.body)) {
            Judgement::Pass => Verdict::Pass,
            Judgement::Mask(masked) => Verdict::Modify(patch(masked, draft.body)),
            Judgement::Reject { fields, message } => {
                // Which field, never which word: the line may be read by others than the sender.
                log::write(Level::Info, &format!("rejected for {}", fields.join(", ")));
                Verdict::Reject(rejection(message, &fields))
            }
        })
    }
}

fn texts(body: &Body) -> Texts {
    Texts {
        content: body.content.clone(),
        attachment_names: body.attachments.iter().map(|file| file.name.clone()).collect(),
        metadata: body.metadata.clone(),
    }
}

fn patch(masked: Masked, body: Body) -> Patch {
    let renamed = masked.attachment_names.iter().any(Option::is_some);
    let mut attachments = body.attachments;
    for (file, name) in attachments.iter_mut().zip(masked.attachment_names) {
        if let Some(name) = name {
            file.name = name;
        }
    }
    let metadata = masked.metadata.into_iter();
    Patch {
        content: masked.content,
        attachments: renamed.then_some(attachments),
        metadata: metadata.map(|(key, value)| (key, Some(value))).collect(),
    }
}

fn rejection(message: String, fields: &[&str]) -> Rejection {
    // Plain words, so that the JSON needs no escaping.
    let fields: Vec<String> = fields.iter().map(|field| format!("\"{field}\"")).collect();
    Rejection {
        code: "words".to_owned(),
        user_message: Some(message),
        details: Some(format!("{{\"fields\":[{}]}}", fields.join(","))),
        retry_after_ms: None,
    }
}

export!(WordFilter);
