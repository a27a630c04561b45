//! International bank account numbers (ISO 13616).

use crate::{
    letters::is_inside_word,
    redact::{Found, Kind},
};

/// The length of a number in each country that has them.
const LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 \
    CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 \
    HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 \
    ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 \
    SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";

pub fn find(plain: &[char]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for start in 0..plain.len().saturating_sub(14) {
        let is_behind = found.last().is_none_or(|earlier| start >= earlier.range.end);
        if let Some(end) = end_of(&plain[start..]).filter(|_| is_behind) {
            let range = start..start + end;
            if !is_inside_word(plain, &range) {
                // The country is no secret, and says what was there.
                found.push(Found { kind: Kind::Iban, shown: start..start + 2, range });
            }
        }
    }
    found
}

/// Where a number that begins here ends.
fn end_of(plain: &[char]) -> Option<usize> {
    let is_begin = plain[..2].iter().all(char::is_ascii_alphabetic)
        && plain[2..4].iter().all(char::is_ascii_digit);
    if !is_begin {
        return None;
    }
    let length = length_in([plain[0].to_ascii_uppercase(), plain[1].to_ascii_uppercase()])?;
    let mut number = Vec::with_capacity(length);
    let mut at = 0;
    while number.len() < length {
        let c = *plain.get(at)?;
        let is_divider = " -".contains(c) && plain[at - 1].is_ascii_alphanumeric();
        if c.is_ascii_alphanumeric() {
            number.push(c);
        } else if !is_divider {
            return None;
        }
        at += 1;
    }
    (remainder(&number) == 1).then_some(at)
}

fn length_in(country: [char; 2]) -> Option<usize> {
    let entries = LENGTHS.split_ascii_whitespace();
    let mut lengths = entries.filter(|entry| entry.chars().take(2).eq(country));
    lengths.next()?[2..].parse().ok()
}

/// Of the division by 97, the beginning moved to the end and letters counted from 10.
fn remainder(number: &[char]) -> u32 {
    let (begin, rest) = number.split_at(4);
    rest.iter().chain(begin).filter_map(|c| c.to_digit(36)).fold(0, |sum, value| {
        let shift = if value > 9 { 100 } else { 10 };
        (sum * shift + value) % 97
    })
}

#[cfg(test)]
mod tests {
    use crate::redact::tests::masked_by;

    fn masked(text: &str) -> String {
        masked_by("ibans", text)
    }

    #[test]
    fn accounts_are_masked_up_to_their_country() {
        for (text, shown) in [
            ("DE89 3704 0044 0532 0130 00", "DE** **** **** **** **** **"),
            ("de89370400440532013000", "de********************"),
            ("to GB29NWBK60161331926819, please", "to GB********************, please"),
            ("NO93 8601 1117 947 thanks", "NO** **** **** *** thanks"),
            ("FR14-2004-1010-0505-0001-3M02-606", "FR**-****-****-****-****-****-***"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }

    #[test]
    fn other_texts_pass() {
        for text in [
            "DE88 3704 0044 0532 0130 00",
            "DE89 3704 0044 0532 0130 0",
            "DE893704004405320130000",
            "XDE89370400440532013000",
            "XX89 3704 0044 0532 0130 00",
            "DE89  3704 0044 0532 0130 00",
            "In 2026 we sold 120 of them to 12 shops.",
            "AB12",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
