//! Refuses messages that hold the word which the org's admin has set as `word`.

use duologue_plugin::{Body, Context, Decision, Draft, Failure, Plugin, config};

struct MyPlugin;

impl Plugin for MyPlugin {
    fn before_send(_: Context, draft: Draft, _: Option<Body>) -> Result<Decision, Failure> {
        let word = word().map_err(Failure::Declined)?;
        if draft.body.content.to_lowercase().contains(&word) {
            return Ok(Decision::reject("word", "Please say it in other words."));
        }
        Ok(Decision::pass())
    }

    fn check() -> Result<(), String> {
        word().map(drop)
    }
}

fn word() -> Result<String, String> {
    let word = config::get("word").filter(|word| !word.is_empty());
    word.map(|word| word.to_lowercase()).ok_or_else(|| "set `word` to what is refused".to_owned())
}

duologue_plugin::export!(MyPlugin: before_send, lifecycle);

#[cfg(test)]
mod tests {
    use duologue_plugin::testing;

    use super::*;

    fn judge(content: &str) -> Decision {
        testing::set_config([("word", "darn")]);
        MyPlugin::before_send(testing::context(), testing::draft(content), None).unwrap()
    }

    #[test]
    fn the_word_is_refused_and_all_else_passes() {
        assert_eq!(judge("Darn it").verdict, judge("darn").verdict);
        assert_eq!(judge("hello"), Decision::pass());
    }
}
