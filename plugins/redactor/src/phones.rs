//! Phone numbers: international ones, and those that are written as an org's own country does.

use std::ops::Range;

use crate::{
    letters::is_inside_word,
    redact::{Found, Kind},
};

/// How numbers are written, such as `(N##) N##-####`.
#[derive(Debug)]
pub struct Patterns(Vec<Vec<char>>);

impl Patterns {
    pub fn parse(list: &str) -> Result<Self, String> {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let parse = |entry: &str| {
            let pattern: Vec<char> = entry.chars().collect();
            let digits = pattern.iter().filter(|c| c.is_ascii_digit() || "#N".contains(**c));
            let is_known = |c: &char| c.is_ascii_digit() || "#N()+-./ ".contains(*c);
            if (7..=15).contains(&digits.count()) && pattern.iter().all(is_known) {
                return Ok(pattern);
            }
            Err(format!(
                "`national` must list patterns of 7 to 15 digits such as (N##) N##-####, of # \
                 (a digit), N (2 to 9), digits and ()+-./; `{entry}` is none"
            ))
        };
        entries.map(parse).collect::<Result<_, _>>().map(Self)
    }

    pub fn find(&self, plain: &[char]) -> Vec<Found> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < plain.len() {
            let international = || international(&plain[at..]).map(|length| at..at + length);
            let range = self.national(plain, at).or_else(international);
            let range = range.filter(|range| stands_alone(plain, range));
            at = range.as_ref().map_or(at + 1, |range| range.end);
            let shown = at..at;
            found.extend(range.map(|range| Found { kind: Kind::Phone, shown, range }));
        }
        found
    }

    fn national(&self, plain: &[char], at: usize) -> Option<Range<usize>> {
        let matches = |pattern: &&Vec<char>| {
            let text = plain.get(at..at + pattern.len());
            text.is_some_and(|text| text.iter().zip(*pattern).all(|(c, form)| fits(*c, *form)))
        };
        self.0.iter().find(matches).map(|pattern| at..at + pattern.len())
    }
}

fn fits(c: char, form: char) -> bool {
    match form {
        '#' => c.is_ascii_digit(),
        'N' => ('2'..='9').contains(&c),
        _ => c == form,
    }
}

/// How long the number is that begins here with `+`: 8 to 15 digits, between them at most two
/// other signs. What would make it longer, such as a date behind it, is left out.
fn international(plain: &[char]) -> Option<usize> {
    if plain[0] != '+' || !plain.get(1).is_some_and(|c| ('1'..='9').contains(c)) {
        return None;
    }
    let (mut digits, mut others, mut end) = (0, 0, None);
    for (at, c) in plain.iter().enumerate().skip(1) {
        if c.is_ascii_digit() {
            (digits, others) = (digits + 1, 0);
            let is_last = !plain.get(at + 1).is_some_and(char::is_ascii_digit);
            if is_last && (8..=15).contains(&digits) {
                end = Some(at + 1);
            }
        } else if " -./()".contains(*c) && others < 2 {
            others += 1;
        } else {
            break;
        }
        if digits > 15 {
            break;
        }
    }
    end
}

/// Whether it is no part of a word, a longer number, a date or a sum.
fn stands_alone(plain: &[char], range: &Range<usize>) -> bool {
    let at = |at: Option<usize>| at.and_then(|at| plain.get(at)).copied().unwrap_or(' ');
    let (before, earlier) = (at(range.start.checked_sub(1)), at(range.start.checked_sub(2)));
    let (after, later) = (at(Some(range.end)), at(Some(range.end + 1)));
    let joins = |mark: char, c: char| "-./+".contains(mark) && c.is_alphanumeric();
    let is_after_sign = before == '+' || (before == '-' && earlier != ' ');
    !is_inside_word(plain, range)
        && !is_after_sign
        && !joins(before, earlier)
        && (plain[range.start] == '+' || !joins(after, later))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::tests::masked_by;

    fn masked(text: &str) -> String {
        masked_by("phones", text)
    }

    #[test]
    fn international_numbers_are_masked() {
        for (text, shown) in [
            ("+49 30 123456", "+** ** ******"),
            ("call +1 (415) 555-2671!", "call +* (***) ***-****!"),
            ("+442079460958", "+************"),
            ("(+49) 170/1234567", "(+**) ***/*******"),
            ("+49 170 1234567 2026-11-22", "+** *** ******* 2026-11-22"),
            ("＋49 30 １２３４５６", "＋** ** ******"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }

    #[test]
    fn national_numbers_are_masked_where_they_are_written_so() {
        for (text, shown) in [
            ("415-555-2671", "***-***-****"),
            ("(415) 555-2671", "(***) ***-****"),
            ("01 23 45 67 89", "** ** ** ** **"),
            ("07700 900123,", "***** ******,"),
            ("020 7946 0958", "*** **** ****"),
        ] {
            assert_eq!(masked(text), shown);
        }
        let patterns = Patterns::parse("0### #######").unwrap();
        let plain: Vec<char> = "0170 1234567 or 415-555-2671".chars().collect();
        let found = patterns.find(&plain);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].range, 0..12);
    }

    #[test]
    fn other_numbers_pass() {
        for text in [
            "2026-11-22",
            "22.11.2026, 10:30",
            "order 123-456-7890",
            "4155552671",
            "415-555-26712",
            "1-415-555-2671-2",
            "ORD-415-555-2671",
            "2+12345678",
            "+1234567",
            "+1234567890123456",
            "+100 points",
            "550e8400-e29b-41d4-a716-446655440000",
            "4111 1111 1111 1111",
            "192.168.100.200",
            "12:30+0100",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn a_pattern_that_would_match_anything_is_refused() {
        for list in ["####", "0### ABC ####", "################"] {
            assert!(Patterns::parse(list).unwrap_err().contains(list), "{list}");
        }
    }
}
