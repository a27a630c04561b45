//! Finding and masking in one text.

use std::ops::Range;

use crate::{cards, config::Config, emails, ibans, letters::Letters};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Card,
    Iban,
    Phone,
    Email,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Card, Self::Iban, Self::Phone, Self::Email];

    /// As labels and refusals name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Phone => "phone",
            Self::Email => "email",
        }
    }
}

/// Something personal, by the places of its letters.
#[derive(Debug)]
pub struct Found {
    pub kind: Kind,
    pub range: Range<usize>,
    /// The part that a mask leaves.
    pub shown: Range<usize>,
}

impl Found {
    pub fn card(plain: &[char], range: Range<usize>) -> Self {
        let digits = range.clone().rev().filter(|at| plain[*at].is_ascii_digit());
        let shown = digits.take(4).last().unwrap_or(range.end)..range.end;
        Self { kind: Kind::Card, range, shown }
    }
}

/// What is in a text, and the text without it; none where there is nothing.
pub fn redact(config: &Config, text: &str) -> Option<(Vec<Kind>, String)> {
    let letters = Letters::of(text);
    let plain = letters.plain();
    // An account first: what lies within one is no card.
    let mut found: Vec<Found> = Vec::new();
    for kind in [Kind::Iban, Kind::Card, Kind::Phone, Kind::Email] {
        if !config.kinds.contains(&kind) {
            continue;
        }
        let news = match kind {
            Kind::Iban => ibans::find(plain),
            Kind::Card => cards::find(plain),
            Kind::Phone => config.national.find(plain),
            Kind::Email => emails::find(plain),
        };
        let mut taken = vec![false; plain.len()];
        for earlier in &found {
            taken[earlier.range.clone()].fill(true);
        }
        found.extend(news.into_iter().filter(|new| !taken[new.range.clone()].contains(&true)));
    }
    if found.is_empty() {
        return None;
    }
    let hidden = found
        .iter()
        .flat_map(|Found { range, shown, .. }| range.clone().filter(|at| !shown.contains(at)));
    let masked = letters.mask(text, hidden);
    let mut kinds: Vec<Kind> = found.iter().map(|found| found.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    Some((kinds, masked))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// What becomes of a text where these kinds are looked for.
    pub fn masked_by(kinds: &str, text: &str) -> String {
        let config = Config::read(|key| (key == "kinds").then(|| kinds.to_owned())).unwrap();
        redact(&config, text).map_or_else(|| text.to_owned(), |(_, masked)| masked)
    }

    #[test]
    fn several_kinds_are_found_in_one_text() {
        let text = "4111111111111111, DE89370400440532013000, +49 30 123456, bob@b.example";
        let config = Config::read(|_| None).unwrap();

        let (kinds, masked) = redact(&config, text).unwrap();

        assert_eq!(kinds, [Kind::Card, Kind::Iban, Kind::Phone]);
        let shown = "************1111, DE********************, +** ** ******, bob@b.example";
        assert_eq!(masked, shown);
    }

    #[test]
    fn an_account_shows_no_digits_although_a_card_lies_in_it() {
        // The digits behind the country satisfy a card's check, too.
        let text = "DE95 4111 1111 1111 1111 00";

        assert_eq!(masked_by("cards, ibans", text), "DE** **** **** **** **** **");
    }

    #[test]
    fn a_long_text_of_digits_is_read_in_time() {
        let text = "4 ".repeat(20_000) + &"+1".repeat(10_000) + &"DE12 ".repeat(5_000);

        assert_eq!(masked_by("cards, ibans, phones, emails", &text), text);
    }
}
