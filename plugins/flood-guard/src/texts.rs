//! Telling texts and people from each other, without keeping either.

use duologue_plugin::Body;

/// The hash of what a message says, or none where that is too little to be a copy of anything.
/// Case, spaces and signs make no other text.
pub fn of_message(body: &Body, least_letters: usize) -> Option<u64> {
    let letters = body.content.chars().filter(|c| c.is_alphanumeric());
    let said: String = letters.flat_map(char::to_lowercase).collect();
    if said.chars().count() < least_letters && body.attachments.is_empty() {
        return None;
    }
    let urls = body.attachments.iter().map(|file| file.url.as_str());
    Some(hash([said.as_str()].into_iter().chain(urls)))
}

pub fn of_person(email: &str) -> u64 {
    hash([email.to_lowercase().as_str()])
}

/// FNV-1a: it stays the same for every version of this plugin, as what is counted under it does.
fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> u64 {
    let bytes = parts.into_iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use duologue_plugin::{Attachment, testing};

    use super::*;

    fn of(content: &str) -> Option<u64> {
        of_message(&testing::draft(content).body, 10)
    }

    #[test]
    fn a_copy_is_one_in_other_dress_too() {
        assert_eq!(of("Buy my watches!"), of("buy  MY   watches..."));
        assert_ne!(of("Buy my watches!"), of("Buy my matches!"));
        assert_eq!(of_person("Alice@A.example"), of_person("alice@a.example"));
    }

    #[test]
    fn what_everybody_says_is_no_copy() {
        assert_eq!(of("Thank you"), None);
        assert_eq!(of("!!!!!!!!!!!!!!!!"), None);
    }

    #[test]
    fn a_file_counts_without_a_text() {
        let with = |url: &str| {
            let mut body = testing::draft("").body;
            body.attachments = vec![Attachment {
                url: url.to_owned(),
                media_type: "image/png".to_owned(),
                name: "a.png".to_owned(),
                size: 1,
            }];
            of_message(&body, 10)
        };

        assert!(with("https://a.example/1").is_some());
        assert_ne!(with("https://a.example/1"), with("https://a.example/2"));
    }
}
