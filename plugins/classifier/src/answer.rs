//! What a classifier is asked and answers.

use serde_json::{Value, json};

/// How sure the classifier is that a text is not wanted.
#[derive(Debug, PartialEq)]
pub struct Answer {
    /// 0 to 1.
    pub score: f32,
    /// What it calls such texts, as far as a label may be called so.
    pub label: Option<String>,
}

pub fn question<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Vec<u8>> {
    let said: Vec<&str> = texts.filter(|text| !text.trim().is_empty()).collect();
    (!said.is_empty()).then(|| json!({ "text": said.join("\n") }).to_string().into_bytes())
}

impl Answer {
    /// Reads a response, or says what is odd about it.
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, String> {
        if status != 200 {
            return Err(format!("it answered with the status {status}"));
        }
        let answer: Value =
            serde_json::from_slice(body).map_err(|_| "its answer is no JSON".to_owned())?;
        let score = answer["score"].as_f64().filter(|score| (0.0..=1.0).contains(score));
        let Some(score) = score else {
            return Err("its answer has no score from 0 to 1".to_owned());
        };
        let label = answer["label"].as_str().map(str::to_lowercase);
        #[expect(clippy::cast_possible_truncation, reason = "a score has no more than f32 holds")]
        Ok(Self { score: score as f32, label: label.filter(|label| is_label(label)) })
    }
}

fn is_label(text: &str) -> bool {
    let known =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_texts_are_asked_about_at_once() {
        let asked = question(["say \"hi\"", " ", "a.png"].into_iter()).unwrap();

        assert_eq!(asked, br#"{"text":"say \"hi\"\na.png"}"#);
        assert_eq!(question([" "].into_iter()), None);
    }

    #[test]
    fn an_answer_has_a_score_and_perhaps_a_label() {
        let parse = |text: &str| Answer::parse(200, text.as_bytes()).unwrap();

        let spam = Answer { score: 0.5, label: Some("spam".to_owned()) };
        assert_eq!(parse(r#"{"score": 0.5, "label": "SPAM", "more": []}"#), spam);
        for text in [r#"{"score": 1}"#, r#"{"score": 1, "label": "two words"}"#] {
            assert_eq!(parse(text), Answer { score: 1.0, label: None });
        }
    }

    #[test]
    fn anything_else_is_odd() {
        assert!(Answer::parse(503, br#"{"score": 0}"#).unwrap_err().contains("503"));
        for text in ["", "{", "[]", "0.5", "{}", r#"{"score": 1.5}"#, r#"{"score": "0"}"#] {
            assert!(Answer::parse(200, text.as_bytes()).is_err(), "{text}");
        }
    }
}
