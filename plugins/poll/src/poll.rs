//! Reading and tidying a poll.

use serde_json::{Value as Json, json};

/// What the server holds content to by itself.
pub const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "question": {"type": "string", "minLength": 1, "maxLength": 200},
        "options": {
            "type": "array",
            "minItems": 2,
            "maxItems": 10,
            "items": {"type": "string", "minLength": 1, "maxLength": 100}
        },
        "multiple": {"type": "boolean"}
    },
    "required": ["question", "options"],
    "additionalProperties": false
}"#;

#[derive(Debug, PartialEq, Eq)]
pub struct Poll {
    pub question: String,
    pub options: Vec<String>,
    pub multiple: bool,
}

/// What is wrong, by JSON Pointer.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    pub path: String,
    pub message: &'static str,
}

impl Poll {
    /// A text that the schema lets pass; what else there is to say about it.
    pub fn read(content: &str) -> Result<Self, Wrong> {
        let whole = |message| Wrong { path: String::new(), message };
        let read: Json = serde_json::from_str(content).map_err(|_| whole("must be JSON"))?;
        let options = read["options"].as_array().ok_or(whole("must have `options`"))?;
        let tidy = |text: &Json| text.as_str().unwrap_or_default().trim().to_owned();
        let poll = Self {
            question: tidy(&read["question"]),
            options: options.iter().map(tidy).collect(),
            multiple: read["multiple"].as_bool().unwrap_or(false),
        };
        poll.check()?;
        Ok(poll)
    }

    fn check(&self) -> Result<(), Wrong> {
        if self.question.is_empty() {
            let message = "must say something";
            return Err(Wrong { path: "/question".to_owned(), message });
        }
        let mut seen = Vec::new();
        for (at, option) in self.options.iter().enumerate() {
            let path = || format!("/options/{at}");
            let key = option.to_lowercase();
            if key.is_empty() {
                return Err(Wrong { path: path(), message: "must say something" });
            }
            if seen.contains(&key) {
                return Err(Wrong { path: path(), message: "is there already" });
            }
            seen.push(key);
        }
        Ok(())
    }

    /// As it is stored.
    pub fn to_json(&self) -> String {
        let Self { question, options, multiple } = self;
        json!({ "question": question, "options": options, "multiple": multiple }).to_string()
    }

    /// As a list shows it.
    pub fn preview(&self) -> String {
        format!("Poll: {}", self.question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_go_and_what_is_left_out_is_filled_in() {
        let poll = Poll::read(r#"{"question": " Where? ", "options": ["A ", "B"]}"#).unwrap();

        assert_eq!(poll.preview(), "Poll: Where?");
        let stored: Json = serde_json::from_str(&poll.to_json()).unwrap();
        assert_eq!(
            stored,
            json!({ "question": "Where?", "options": ["A", "B"], "multiple": false })
        );
        assert_eq!(Poll::read(&poll.to_json()), Ok(poll));
    }

    #[test]
    fn empty_and_repeated_words_are_named_by_their_place() {
        for (content, path) in [
            (r#"{"question": " ", "options": ["A", "B"]}"#, "/question"),
            (r#"{"question": "?", "options": ["A", " "]}"#, "/options/1"),
            (r#"{"question": "?", "options": ["A", "B", " a"]}"#, "/options/2"),
            ("{}", ""),
            ("no", ""),
        ] {
            assert_eq!(Poll::read(content).unwrap_err().path, path, "{content}");
        }
    }
}
