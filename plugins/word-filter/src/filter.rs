//! Judging a message.

use crate::{
    config::{Config, Mode},
    words::Words,
};

/// The texts of a message that its recipient may see.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    pub content: String,
    pub attachment_names: Vec<String>,
    pub metadata: Vec<(String, String)>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    Pass,
    Mask(Masked),
    /// Refused for the words in these fields, with what the sender is told.
    Reject {
        fields: Vec<&'static str>,
        message: String,
    },
    /// To be looked at for the words in these fields.
    Hold(Vec<&'static str>),
    /// To be seen by nobody but its sender.
    Shadow(Vec<&'static str>),
    /// To be noted and nothing more.
    Label(Vec<&'static str>),
}

/// The texts that changed; `None` and missing ones stay as they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Masked {
    pub content: Option<String>,
    /// By their place in the list of attachments.
    pub attachment_names: Vec<Option<String>>,
    pub metadata: Vec<(String, String)>,
}

pub fn judge(config: &Config, texts: &Texts) -> Judgement {
    if config.words.is_empty() {
        return Judgement::Pass;
    }
    let masked = mask(&config.words, texts);
    let fields = masked.fields();
    match config.mode {
        _ if fields.is_empty() => Judgement::Pass,
        Mode::Mask => Judgement::Mask(masked),
        Mode::Reject => Judgement::Reject { fields, message: config.message.clone() },
        Mode::Hold => Judgement::Hold(fields),
        Mode::Shadow => Judgement::Shadow(fields),
        Mode::Label => Judgement::Label(fields),
    }
}

fn mask(words: &Words, texts: &Texts) -> Masked {
    let metadata = texts.metadata.iter();
    Masked {
        content: words.mask(&texts.content),
        attachment_names: texts.attachment_names.iter().map(|name| words.mask(name)).collect(),
        metadata: metadata
            .filter_map(|(key, value)| Some((key.clone(), words.mask(value)?)))
            .collect(),
    }
}

impl Masked {
    /// The fields that hold a word, as a client names them.
    fn fields(&self) -> Vec<&'static str> {
        let found = [
            ("content", self.content.is_some()),
            ("attachments", self.attachment_names.iter().any(Option::is_some)),
            ("metadata", !self.metadata.is_empty()),
        ];
        found.into_iter().filter(|(_, found)| *found).map(|(field, _)| field).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(mode: Mode, words: &str) -> Config {
        Config { words: Words::parse(words), mode, message: "no".to_owned() }
    }

    fn texts() -> Texts {
        Texts {
            content: "fine".to_owned(),
            attachment_names: vec!["a.png".to_owned(), "bad.png".to_owned()],
            metadata: vec![
                ("k".to_owned(), "so bad".to_owned()),
                ("bad".to_owned(), "good".to_owned()),
            ],
        }
    }

    #[test]
    fn names_of_files_and_metadata_are_masked_too() {
        let judged = judge(&config(Mode::Mask, "bad"), &texts());

        let expected = Masked {
            content: None,
            attachment_names: vec![None, Some("***.png".to_owned())],
            metadata: vec![("k".to_owned(), "so ***".to_owned())],
        };
        assert_eq!(judged, Judgement::Mask(expected));
    }

    #[test]
    fn a_refusal_names_the_fields() {
        let judged = judge(&config(Mode::Reject, "bad"), &texts());

        let fields = vec!["attachments", "metadata"];
        assert_eq!(judged, Judgement::Reject { fields, message: "no".to_owned() });
    }

    #[test]
    fn what_does_not_refuse_names_the_fields_too() {
        let fields = || vec!["attachments", "metadata"];
        let judge = |mode| judge(&config(mode, "bad"), &texts());

        assert_eq!(judge(Mode::Hold), Judgement::Hold(fields()));
        assert_eq!(judge(Mode::Shadow), Judgement::Shadow(fields()));
        assert_eq!(judge(Mode::Label), Judgement::Label(fields()));
    }

    #[test]
    fn without_words_everything_passes() {
        assert_eq!(judge(&config(Mode::Reject, ""), &texts()), Judgement::Pass);
        assert_eq!(judge(&config(Mode::Reject, "worse"), &texts()), Judgement::Pass);
    }
}
