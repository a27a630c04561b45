//! What the server calls.

use crate::{
    config::Config,
    filter::{self, Judgement, Masked, Texts},
};

use duologue_plugin::{
    Body, Context, Decision, Draft, Failure, Patch, Plugin, Rejection, Severity, Verdict, config,
    log,
};

struct WordFilter;

impl Plugin for WordFilter {
    fn before_send(_: Context, draft: Draft, _: Option<Body>) -> Result<Decision, Failure> {
        let config = Config::read(config::get).map_err(Failure::Declined)?;
        let (decision, fields) = match filter::judge(&config, &texts(&draft.body)) {
            Judgement::Pass => (Decision::pass(), Vec::new()),
            Judgement::Mask(masked) => (Decision::modify(patch(masked, draft.body)), Vec::new()),
            Judgement::Reject { fields, message } => {
                // Which field, never which word: the line may be read by others than the sender.
                log::info(&format!("rejected for {}", fields.join(", ")));
                (rejection(message, &fields).into(), fields)
            }
            Judgement::Hold(fields) => (Decision::hold(found(&fields)), fields),
            Judgement::Shadow(fields) => (Verdict::Shadow.into(), fields),
            Judgement::Label(fields) => (Decision::pass(), fields),
        };
        if fields.is_empty() {
            return Ok(decision);
        }
        Ok(decision.label("words", Severity::Medium).explain(found(&fields)))
    }
}

fn found(fields: &[&str]) -> String {
    format!("a listed word in {}", fields.join(", "))
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
    let details = format!("{{\"fields\":[{}]}}", fields.join(","));
    Rejection { details: Some(details), ..Rejection::new("words", message) }
}

duologue_plugin::export!(WordFilter: before_send);
