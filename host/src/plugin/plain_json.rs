//! JSON texts as filters of text read them.

use serde::de::IgnoredAny;

/// The same JSON with every character written as itself where JSON lets it: `"\u0064arn"` is
/// `"darn"`. `None`: it is so already, or it is no JSON.
pub(super) fn written_plainly(json: &str) -> Option<String> {
    if !json.contains('\\') || serde_json::from_str::<IgnoredAny>(json).is_err() {
        return None;
    }
    let mut plain = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(start) = rest.find('"') {
        let (before, text) = rest.split_at(start);
        let (text, after) = text.split_at(end_of_string(text)?);
        plain.push_str(before);
        let text: String = serde_json::from_str(text).ok()?;
        plain.push_str(&serde_json::to_string(&text).ok()?);
        rest = after;
    }
    plain.push_str(rest);
    Some(plain).filter(|plain| plain != json)
}

/// How long the string is that a text begins with, quotes included.
fn end_of_string(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let closing = text.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes
    });
    closing.map(|at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spelled_out_is_written_as_itself() {
        let plain = |json: &str| written_plainly(json);

        assert_eq!(plain(r#"{"q":"\u0064arn"}"#).unwrap(), r#"{"q":"darn"}"#);
        assert_eq!(
            plain(r#"["https:\/\/x", 1.50, "\ud83d\ude00"]"#).unwrap(),
            r#"["https://x", 1.50, "😀"]"#
        );
        assert_eq!(plain(r#"{"\u0061": "\"\\\u0022\n"}"#).unwrap(), r#"{"a": "\"\\\"\n"}"#);
    }

    #[test]
    fn what_is_plain_or_no_json_stays() {
        for json in
            [r#"{"q": "darn"}"#, r#"{"q": "a\nb"}"#, r#"{"q": "\ud800"}"#, r#"{"q": "\u00"#, r"\"]
        {
            assert_eq!(written_plainly(json), None, "{json}");
        }
    }
}
