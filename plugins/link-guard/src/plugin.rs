//! What the server calls.

use crate::{
    config::{Config, Mode},
    links::{self, Target},
};

use duologue_plugin::{
    Body, Context, Decision, Draft, Failure, Plugin, Rejection, Severity, config, log,
};

struct LinkGuard;

impl Plugin for LinkGuard {
    fn before_send(_: Context, draft: Draft, _: Option<Body>) -> Result<Decision, Failure> {
        let config = Config::read(config::get).map_err(Failure::Declined)?;
        let fields = fields_with_links(&config, &draft.body);
        if fields.is_empty() {
            return Ok(Decision::pass());
        }
        let found = format!("a link elsewhere in {}", fields.join(", "));
        // Which field, never which link: the line may be read by others than the sender.
        log::info(&found);
        let decision = match config.mode {
            Mode::Reject => rejection(config.message, &fields).into(),
            Mode::Hold => Decision::hold(&found),
            Mode::Label => Decision::pass(),
        };
        Ok(decision.label("links", Severity::Medium).explain(found))
    }

    fn check() -> Result<(), String> {
        Config::read(config::get).map(drop)
    }
}

/// The fields with a link that may not be there, as clients name them.
fn fields_with_links(config: &Config, body: &Body) -> Vec<&'static str> {
    let leads_elsewhere =
        |target: &Target| target.as_ref().is_none_or(|name| !config.allowed.contains(name));
    let links = |text: &str| links::targets(text, &config.endings);
    let is_elsewhere = |text: &str| links(text).iter().any(leads_elsewhere);
    let texts = body.texts().filter(|(_, text)| is_elsewhere(text)).map(|(field, _)| field);
    let urls = body.attachments.iter().map(|file| links(&file.url));
    let urls = urls.filter(|targets| targets.first().is_none_or(leads_elsewhere));
    let mut fields: Vec<_> = texts.chain(urls.map(|_| "attachments")).collect();
    fields.sort_unstable();
    fields.dedup();
    fields
}

fn rejection(message: String, fields: &[&str]) -> Rejection {
    // Plain words, so that the JSON needs no escaping.
    let fields: Vec<String> = fields.iter().map(|field| format!("\"{field}\"")).collect();
    let details = format!("{{\"fields\":[{}]}}", fields.join(","));
    Rejection { details: Some(details), ..Rejection::new("links", message) }
}

duologue_plugin::export!(LinkGuard: before_send, lifecycle);

#[cfg(test)]
mod tests {
    use duologue_plugin::{Attachment, Verdict, testing};

    use super::*;

    fn decide(body: Body) -> Decision {
        let draft = Draft { body, ..testing::draft("") };
        LinkGuard::before_send(testing::context(), draft, None).unwrap()
    }

    fn file(url: &str, name: &str) -> Attachment {
        let (url, name) = (url.to_owned(), name.to_owned());
        Attachment { url, media_type: "text/plain".to_owned(), name, size: 1 }
    }

    #[test]
    fn every_field_is_looked_at() {
        testing::set_config([("allow", "good.example")]);
        let mut body = testing::draft("https://good.example").body;
        body.attachments = vec![file("https://good.example/1", "a.txt")];
        body.metadata = vec![("k".to_owned(), "good.example/x".to_owned())];
        assert_eq!(decide(body.clone()), Decision::pass());

        body.metadata[0].1 = "evil.example/x".to_owned();
        body.attachments.push(file("https://evil.example/2", "b.txt"));
        let decision = decide(body.clone());
        let Verdict::Reject(rejection) = decision.verdict else { panic!("{decision:?}") };
        assert_eq!(rejection.details.as_deref(), Some(r#"{"fields":["attachments","metadata"]}"#));

        body.metadata.clear();
        body.attachments = vec![file("https://good.example/1", "www.evil.example")];
        assert_eq!(decide(body).explanation.as_deref(), Some("a link elsewhere in attachments"));
    }

    #[test]
    fn what_it_logs_names_no_link() {
        testing::set_config([("mode", "label")]);

        let decision = decide(testing::draft("https://evil.example").body);

        assert_eq!((decision.verdict, decision.labels.len()), (Verdict::Pass, 1));
        let lines = testing::take_log();
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].1.contains("evil"));
    }

    #[test]
    fn a_wrong_configuration_is_named_before_it_counts() {
        testing::set_config([("mode", "shrug")]);

        assert!(LinkGuard::check().unwrap_err().contains("`mode`"));
    }
}
