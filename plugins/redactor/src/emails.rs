//! E-mail addresses.

use crate::redact::{Found, Kind};

pub fn find(plain: &[char]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut done = 0;
    for at in (0..plain.len()).filter(|at| plain[*at] == '@') {
        let is_local = |c: &&char| c.is_alphanumeric() || "._%+-".contains(**c);
        let is_domain = |c: &&char| c.is_alphanumeric() || ".-".contains(**c);
        let before = plain[done..at].iter().rev().take_while(is_local).count();
        let behind: String = plain[at + 1..].iter().take_while(is_domain).collect();
        let domain = behind.trim_end_matches(['.', '-']);
        let ending = domain.rsplit_once('.').map_or("", |(_, ending)| ending);
        let is_ending = ending.chars().count() >= 2 && ending.chars().all(char::is_alphabetic);
        if before > 0 && is_ending {
            done = at + 1 + domain.chars().count();
            found.push(Found { kind: Kind::Email, shown: at..at, range: at - before..done });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::redact::tests::masked_by;

    #[test]
    fn addresses_are_masked() {
        for (text, shown) in [
            ("bob.b+x@mail.example.com.", "***.*+*@****.*******.***."),
            ("<a@b.org> or c@d.net", "<*@*.***> or *@*.***"),
            ("jörg@müller.de", "****@******.**"),
        ] {
            assert_eq!(masked_by("emails", text), shown);
        }
    }

    #[test]
    fn other_texts_pass() {
        for text in ["@bob", "5 @ 3.50", "a@b", "a@1.2", "see you @cafe.", "@@"] {
            assert_eq!(masked_by("emails", text), text);
        }
    }
}
