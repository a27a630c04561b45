//! What the server calls.

use crate::poll::{Poll, SCHEMA};

use duologue_plugin::{
    Body, Context, Failure, Plugin,
    validate::{Accepted, ContentType, Validity},
};

struct Polls;

impl Plugin for Polls {
    fn content_types() -> Vec<ContentType> {
        vec![ContentType::owned("duologue.poll", SCHEMA)]
    }

    fn validate(_: Context, body: Body) -> Result<Validity, Failure> {
        Ok(match Poll::read(&body.content) {
            Ok(poll) => Validity::Valid(Accepted {
                content: Some(poll.to_json()),
                preview: Some(poll.preview()),
            }),
            Err(wrong) => Validity::wrong(wrong.path, wrong.message),
        })
    }
}

duologue_plugin::export!(Polls: validate_content);
