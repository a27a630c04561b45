//! Finding words in a text.

use std::{collections::HashMap, ops::Range};

use unicode_normalization::UnicodeNormalization;

/// The words to look for, in the form in which they are compared: by their first part, what
/// must follow it. `go away` is two parts, and so is `go-away`.
#[derive(Debug, Default)]
pub struct Words(HashMap<String, Vec<Vec<String>>>);

impl Words {
    /// Reads words separated by commas or line breaks. What has no letter or digit is no word.
    pub fn parse(text: &str) -> Self {
        let mut words = Self::default();
        for entry in text.split([',', '\n', '\r']) {
            let parts = tokens(entry).map(|range| fold(&entry[range]));
            let mut parts = parts.filter(|part| !part.is_empty());
            if let Some(first) = parts.next() {
                words.0.entry(first).or_default().push(parts.collect());
            }
        }
        words
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parts of the text that are words looked for, as byte ranges in rising order.
    fn find(&self, text: &str) -> Vec<Range<usize>> {
        let tokens: Vec<Range<usize>> = tokens(text).collect();
        let folded: Vec<String> = tokens.iter().map(|range| fold(&text[range.clone()])).collect();
        let mut found = vec![false; tokens.len()];
        for (at, first) in folded.iter().enumerate() {
            let following = &folded[at + 1..];
            let rests = self.0.get(first).into_iter().flatten();
            for rest in rests.filter(|rest| following.starts_with(rest)) {
                found[at..=at + rest.len()].fill(true);
            }
        }
        tokens.into_iter().zip(found).filter(|(_, found)| *found).map(|(range, _)| range).collect()
    }

    /// The text with each letter and digit of the words made `*`; `None` if there are no such.
    pub fn mask(&self, text: &str) -> Option<String> {
        let found = self.find(text);
        if found.is_empty() {
            return None;
        }
        let mut masked = String::with_capacity(text.len());
        let mut done = 0;
        for range in found {
            masked.push_str(&text[done..range.start]);
            masked.extend(text[range.clone()].chars().filter(|c| !is_invisible(*c)).map(|_| '*'));
            done = range.end;
        }
        masked.push_str(&text[done..]);
        Some(masked)
    }
}

/// The runs of letters, digits and marks of a text, as byte ranges.
fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        while rest.next_if(|(_, c)| !is_part_of_word(*c)).is_some() {}
        let start = rest.peek()?.0;
        while rest.next_if(|(_, c)| is_part_of_word(*c)).is_some() {}
        let end = rest.peek().map_or(text.len(), |(end, _)| *end);
        Some(start..end)
    })
}

fn is_part_of_word(c: char) -> bool {
    c.is_alphanumeric() || is_mark(c) || is_invisible(c)
}

/// The form in which two spellings of a word are equal: NFKC (so that full-width letters and
/// mathematical alphabets are plain ones), lower case, without invisible characters and without
/// marks that belong to no letter of an alphabet (`b` with a stroke through it).
///
/// Accents count: `schon` is another word than `schön`.
fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    let visible = word.chars().filter(|c| !is_invisible(*c));
    let folded = visible.nfkc().filter(|c| !is_mark(*c)).flat_map(char::to_lowercase);
    // Lower-casing can leave NFKC (U+0130), and a sigma has two small forms.
    folded.nfkc().filter(|c| !is_mark(*c)).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

/// Combining diacritical marks.
fn is_mark(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
    )
}

/// Characters that have no width: a way to split a word without its reader noticing.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(words: &str, text: &str) -> String {
        Words::parse(words).mask(text).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn only_whole_words_are_masked() {
        assert_eq!(masked("ass", "pass the ass, Ass!"), "pass the ***, ***!");
        assert_eq!(masked("bad", "badly bad bad2"), "badly *** bad2");
    }

    #[test]
    fn a_word_may_have_several_parts() {
        assert_eq!(masked("go away", "Go -- away, go home"), "** -- ****, go home");
        assert_eq!(masked("a b,b c", "a b c d"), "* * * d");
    }

    #[test]
    fn case_does_not_matter_in_any_script() {
        assert_eq!(masked("schön,дурак", "SCHÖN Дурак"), "***** *****");
        assert_eq!(masked("λογος", "ΛΟΓΟΣ"), "*****");
    }

    #[test]
    fn words_are_separated_by_commas_and_lines() {
        assert_eq!(masked(" one, two\nthree\r\n\n,", "one two three four"), "*** *** ***** four");
    }

    #[test]
    fn disguises_are_seen_through() {
        assert_eq!(masked("bad", "b\u{200b}ad"), "***");
        assert_eq!(masked("bad", "ｂａｄ 𝐛𝐚𝐝"), "*** ***");
        assert_eq!(masked("bad", "b\u{336}ad"), "****");
        assert_eq!(masked("bad", "\u{feff}bad"), "***");
        assert_eq!(masked("bad", "\u{200b}"), "\u{200b}");
    }

    #[test]
    fn an_accent_counts_however_it_is_written() {
        assert_eq!(masked("schön", "scho\u{308}n SCHÖN schon"), "****** ***** schon");
    }

    #[test]
    fn no_words_mask_nothing() {
        assert_eq!(Words::parse(" ,\n").mask("bad"), None);
        assert!(Words::parse("").is_empty());
        assert!(Words::parse("\u{200b}, *").is_empty());
    }

    #[test]
    fn a_text_without_the_words_is_left_alone() {
        assert_eq!(Words::parse("bad").mask("all good"), None);
        assert_eq!(Words::parse("bad").mask(""), None);
    }
}
