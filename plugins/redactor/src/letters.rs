//! A text as it is read: without invisible characters, its digits, dashes and spaces plain.

use std::ops::Range;

/// The letters of a text, one for each visible character of it.
pub struct Letters {
    plain: Vec<char>,
    /// Where each lies in the text, in bytes.
    places: Vec<usize>,
}

impl Letters {
    pub fn of(text: &str) -> Self {
        let visible = text.char_indices().filter(|(_, c)| !is_invisible(*c));
        let (places, plain) = visible.map(|(place, c)| (place, plain(c))).unzip();
        Self { plain, places }
    }

    pub fn plain(&self) -> &[char] {
        &self.plain
    }

    /// The text with `*` for the letters and digits at these places.
    pub fn mask(&self, text: &str, hidden: impl Iterator<Item = usize>) -> String {
        let mut is_hidden = vec![false; text.len()];
        for at in hidden.filter(|at| self.plain[*at].is_alphanumeric()) {
            is_hidden[self.places[at]] = true;
        }
        let chars = text.char_indices();
        chars.map(|(place, c)| if is_hidden[place] { '*' } else { c }).collect()
    }
}

/// Whether a number or a name would go on before or behind this range.
pub fn is_inside_word(plain: &[char], range: &Range<usize>) -> bool {
    let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
    let before = range.start.checked_sub(1).map(|at| &plain[at]);
    before.is_some_and(is_word) || plain.get(range.end).is_some_and(is_word)
}

fn plain(c: char) -> char {
    let digit = |zero: u32| char::from_digit(u32::from(c) - zero, 10).unwrap_or(c);
    match c {
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => ' ',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{660}'..='\u{669}' => digit(0x660),
        '\u{6f0}'..='\u{6f9}' => digit(0x6f0),
        '\u{966}'..='\u{96f}' => digit(0x966),
        // Full-width forms lie in the order of ASCII.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

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

    #[test]
    fn places_survive_what_is_not_seen() {
        let text = "a\u{200b}\u{a0}４٢–é";
        let letters = Letters::of(text);

        assert_eq!(letters.plain().iter().collect::<String>(), "a 42-é");
        assert_eq!(letters.mask(text, 2..6), "a\u{200b}\u{a0}**–*");
    }
}
