//! Card numbers: 13 to 19 digits, as they are embossed or in one piece.

use std::ops::Range;

use crate::{letters::is_inside_word, redact::Found};

/// How issuers divide a number.
const LAYOUTS: [&[usize]; 6] =
    [&[4, 4, 4, 4], &[4, 4, 4, 4, 3], &[4, 6, 5], &[4, 6, 4], &[4, 4, 5], &[4, 4, 4, 1]];

/// Digits that nothing but single spaces or dashes divides.
struct Run {
    groups: Vec<Range<usize>>,
    /// What lies between a group and the next.
    dividers: Vec<char>,
}

pub fn find(plain: &[char]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < plain.len() {
        let Some(run) = Run::read(plain, at) else {
            at += 1;
            continue;
        };
        at = run.groups[run.groups.len() - 1].end;
        run.find(plain, &mut found);
    }
    found
}

impl Run {
    fn read(plain: &[char], start: usize) -> Option<Self> {
        let mut run = Self { groups: Vec::new(), dividers: Vec::new() };
        let mut at = start;
        loop {
            let length = plain[at..].iter().take_while(|c| c.is_ascii_digit()).count();
            if length == 0 {
                break;
            }
            run.groups.push(at..at + length);
            at += length;
            let digit_follows = plain.get(at + 1).is_some_and(char::is_ascii_digit);
            let Some(divider) = plain.get(at).filter(|c| digit_follows && " -".contains(**c))
            else {
                break;
            };
            run.dividers.push(*divider);
            at += 1;
        }
        (!run.groups.is_empty()).then_some(run)
    }

    fn find(&self, plain: &[char], found: &mut Vec<Found>) {
        let mut first = 0;
        while first < self.groups.len() {
            let counts = self.widths(first).find(|count| self.is_card(plain, first, *count));
            if let Some(count) = counts {
                let range = self.groups[first].start..self.groups[first + count - 1].end;
                found.push(Found::card(plain, range));
                first += count;
            } else {
                first += 1;
            }
        }
    }

    /// How many groups from this one on may be a number: the most first.
    fn widths(&self, first: usize) -> impl Iterator<Item = usize> {
        let left = self.groups.len() - first;
        let all = (first == 0 && left > 5).then_some(left.min(20));
        all.into_iter().chain((1..=left.min(5)).rev())
    }

    fn is_card(&self, plain: &[char], first: usize, count: usize) -> bool {
        let groups = &self.groups[first..first + count];
        let dividers = &self.dividers[first..first + count - 1];
        let is_all = count == self.groups.len();
        let lengths: Vec<usize> = groups.iter().map(Range::len).collect();
        let fits = is_all || count == 1 || LAYOUTS.contains(&lengths.as_slice());
        let is_even = dividers.windows(2).all(|pair| pair[0] == pair[1]);
        if !fits || !is_even || self.goes_on(first, count) || self.is_part(plain, first, count) {
            return false;
        }
        let digits = groups.iter().flat_map(|group| &plain[group.clone()]);
        let digits: Vec<u32> = digits.filter_map(|c| c.to_digit(10)).collect();
        is_issued(&digits) && satisfies_luhn(&digits)
    }

    /// Whether a longer series of digits goes on at either end. A date or a code behind a card
    /// is shorter than its groups, or is divided in another way.
    fn goes_on(&self, first: usize, count: usize) -> bool {
        let is_series = |group: usize, divider: usize| {
            let is_four = self.groups[group].len() >= 4;
            match count {
                1 => self.dividers[divider] == '-',
                3 => false,
                _ => is_four && self.dividers[divider] == self.dividers[first],
            }
        };
        let last = first + count - 1;
        (first > 0 && is_series(first - 1, first - 1))
            || (last + 1 < self.groups.len() && is_series(last + 1, last))
    }

    /// Whether it is a part of a word, of a number with a fraction, or of a name with dashes.
    fn is_part(&self, plain: &[char], first: usize, count: usize) -> bool {
        let range = self.groups[first].start..self.groups[first + count - 1].end;
        let at = |at: Option<usize>| at.and_then(|at| plain.get(at)).copied().unwrap_or(' ');
        let (before, earlier) = (at(range.start.checked_sub(1)), at(range.start.checked_sub(2)));
        let (after, later) = (at(Some(range.end)), at(Some(range.end + 1)));
        let continues = |mark: char, c: char| {
            (".,".contains(mark) && c.is_ascii_digit()) || (mark == '-' && c.is_alphabetic())
        };
        is_inside_word(plain, &range)
            || before == '+'
            || continues(before, earlier)
            || continues(after, later)
    }
}

/// Whether some issuer's numbers begin so and are so long.
fn is_issued(digits: &[u32]) -> bool {
    if !(13..=19).contains(&digits.len()) {
        return false;
    }
    let begin = digits[..4].iter().fold(0, |sum, digit| sum * 10 + digit);
    match begin {
        2221..=2720 | 5100..=5599 => digits.len() == 16,
        3000..=3099 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&digits.len()),
        3400..=3499 | 3700..=3799 => digits.len() == 15,
        3500..=3599 => digits.len() >= 16,
        4000..=4999 => matches!(digits.len(), 13 | 16 | 19),
        5000..=5099 | 5600..=5899 | 6000..=6999 => true,
        _ => false,
    }
}

fn satisfies_luhn(digits: &[u32]) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let last_first = digits.iter().rev().enumerate();
    let sum: u32 =
        last_first.map(|(at, digit)| if at % 2 == 1 { doubled(*digit) } else { *digit }).sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use crate::redact::tests::masked_by;

    fn masked(text: &str) -> String {
        masked_by("cards", text)
    }

    #[test]
    fn all_but_the_last_four_digits_are_masked() {
        for (text, shown) in [
            ("4111 1111 1111 1111", "**** **** **** 1111"),
            ("card:4111-1111-1111-1111.", "card:****-****-****-1111."),
            ("4111111111111111", "************1111"),
            ("3782 822463 10005", "**** ****** *0005"),
            ("378282246310005", "***********0005"),
            ("5555555555554444", "************4444"),
            ("6011 1111 1111 1117", "**** **** **** 1117"),
            ("30569309025904", "**********5904"),
            ("4222222222222", "*********2222"),
            ("4111 1111 1111 1111 12/28 123", "**** **** **** 1111 12/28 123"),
            ("3782 822463 10005 1234", "**** ****** *0005 1234"),
            (
                "2 cards: 4111111111111111, 5555555555554444",
                "2 cards: ************1111, ************4444",
            ),
            ("41 11 11 11 11 11 11 11", "** ** ** ** ** ** 11 11"),
            ("４１１１ 1111\u{a0}1111 1111", "**** ****\u{a0}**** 1111"),
            ("4111\u{200b}111111111111", "****\u{200b}********1111"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }

    #[test]
    fn other_numbers_pass() {
        for text in [
            "4111 1111 1111 1112", // The check digit is wrong.
            "1234567812345670",    // Nobody issues these.
            "0000 0000 0000 0000",
            "41111111111111111111111", // Too long, though its beginning fits.
            "99994111111111111111",
            "4111 1111 1111 1111 4111 1111 1111 1111 2222", // A longer series.
            "ORD4111111111111111",
            "order-4111111111111111",
            "4111111111111111-12345",
            "4111111111111111.25",
            "0.4111111111111111",
            "+4111111111111111",
            "a4111111-1111-1111-8111-411111111111",
            "41111111-1111-4111-8111-1111111111ab",
            "2026-11-22 2026-11-23",
            "20261122103015",
            "1795348800125",
            "tracking 1Z 999 AA1 01 2345 6784",
            "978-3-16-148410-0",
            "192.168.100.200",
            "call me at 030 12345678",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
