//! The plugin's side of `wit/`.

use crate::{
    config::Config,
    filter::{self, Judgement, Masked, Texts},
};

wit_bindgen::generate!({ path: "../../wit", world: "filter" });

use duologue::plugin::{
    config,
    log::{self, Level},
    types::{Hold, Label, OnExpiry, Patch, Rejection, Severity, Verdict},
};
use exports::duologue::plugin::before_send::{Body, Context, Decision, Draft, Failure, Guest};

struct WordFilter;

impl Guest for WordFilter {
    fn before_send(_: Context, draft: Draft, _: Option<Body>) -> Result<Decision, Failure> {
        let config = Config::read(config::get).map_err(Failure::Declined)?;
        let (verdict, fields) = match filter::judge(&config, &texts(&draft.body)) {
            Judgement::Pass => (Verdict::Pass, Vec::new()),
            Judgement::Mask(masked) => (Verdict::Modify(patch(masked, draft.body)), Vec::new()),
            Judgement::Reject { fields, message } => {
                // Which field, never which word: the line may be read by others than the sender.
                log::write(Level::Info, &format!("rejected for {}", fields.join(", ")));
                (Verdict::Reject(rejection(message, &fields)), fields)
            }
            Judgement::Hold(fields) => (Verdict::Hold(hold(&fields)), fields),
            Judgement::Shadow(fields) => (Verdict::Shadow, fields),
            Judgement::Label(fields) => (Verdict::Pass, fields),
        };
        Ok(decision(verdict, &fields))
    }
}

/// With a label where words were found in some fields.
fn decision(verdict: Verdict, fields: &[&str]) -> Decision {
    if fields.is_empty() {
        return Decision { verdict, labels: Vec::new(), explanation: None };
    }
    let label = Label { name: "words".to_owned(), score: None, severity: Severity::Medium };
    let explanation = format!("a listed word in {}", fields.join(", "));
    Decision { verdict, labels: vec![label], explanation: Some(explanation) }
}

/// Until somebody decides.
fn hold(fields: &[&str]) -> Hold {
    Hold {
        reason: format!("a listed word in {}", fields.join(", ")),
        ttl_seconds: None,
        on_expiry: OnExpiry::Refuse,
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
