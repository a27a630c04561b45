//! Names of hosts, in the form in which they are compared.

use unicode_normalization::UnicodeNormalization;

use crate::punycode;

const MOST_LETTERS: usize = 253;

/// A name as a browser would look it up: percent-encoding undone, full-width and the like made
/// plain, lower case, international labels in their ASCII form, no dots at its end.
///
/// None where no host can be called so. That includes names in which a character stands for
/// a slash or an at sign: programs differ in where they think that such a host ends.
pub fn canonical(written: &str) -> Option<String> {
    // Most names are plain, and nothing of what follows changes a plain one.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if written.bytes().all(is_plain) {
        let name = written.trim_end_matches('.').to_ascii_lowercase();
        return (1..=MOST_LETTERS).contains(&name.len()).then_some(name);
    }
    let decoded = percent_decoded(written)?;
    let visible = decoded.chars().filter(|c| !is_invisible(*c));
    let folded: String = visible.nfkc().flat_map(char::to_lowercase).map(as_dot).collect();
    let name: String = folded.nfkc().collect();
    let name = name.trim_end_matches('.');
    let plain = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.".contains(c);
    // DNS has no longer ones, and the arithmetic of their ASCII form takes time.
    let fits = (1..=MOST_LETTERS).contains(&name.chars().count());
    if !fits || !name.chars().all(plain) {
        return None;
    }
    let labels: Option<Vec<String>> = name.split('.').map(punycode::to_ascii).collect();
    Some(labels?.join("."))
}

/// The full stops of East Asian scripts divide labels, too.
pub fn as_dot(c: char) -> char {
    if matches!(c, '\u{3002}' | '\u{ff61}') { '.' } else { c }
}

/// Characters without width that names lose on their way to DNS. The two joiners are not among
/// them: they make another name.
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// None where an escape is cut off or the bytes are no text.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The domains that links may lead to.
#[derive(Debug, Default)]
pub struct Allowed {
    names: Vec<String>,
    /// With a dot before them.
    below: Vec<String>,
}

impl Allowed {
    /// Reads domains that are separated by commas, spaces or line breaks.
    pub fn parse(list: &str) -> Result<Self, String> {
        let mut allowed = Self::default();
        let entries = list.split(|c: char| c == ',' || c.is_whitespace());
        for entry in entries.filter(|entry| !entry.is_empty()) {
            let (name, is_below) = match entry.strip_prefix("*.") {
                Some(name) => (name, true),
                None => (entry, false),
            };
            let name = canonical(name).filter(|name| name.split('.').all(|part| !part.is_empty()));
            let Some(name) = name else {
                return Err(format!(
                    "`allow` must list domains such as example.com or *.example.com, without \
                     https:// and paths; `{entry}` is none"
                ));
            };
            if is_below {
                allowed.below.push(format!(".{name}"));
            } else {
                allowed.names.push(name);
            }
        }
        Ok(allowed)
    }

    /// Whether a name in its canonical form is one of them.
    pub fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|allowed| allowed == name)
            || self.below.iter().any(|end| name.len() > end.len() && name.ends_with(end.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_equal() {
        for written in [
            "good.example",
            "GOOD.Example",
            "good.example.",
            "ｇｏｏｄ．example",
            "good。example",
            "go%6fd.example",
            "go%EF%BD%8Fd.example",
            "go\u{200b}od.exam\u{ad}ple",
        ] {
            assert_eq!(canonical(written).as_deref(), Some("good.example"), "{written}");
        }
        assert_eq!(canonical("MÜLLER.example"), canonical("xn--mller-kva.example"));
    }

    #[test]
    fn look_alikes_are_other_names() {
        for written in [
            "gооd.example", // with Cyrillic letters
            "xn--good-.example",
            "good\u{200d}.example",
            "gòod.example",
            "good..example",
        ] {
            assert_ne!(canonical(written).as_deref(), Some("good.example"), "{written}");
        }
    }

    #[test]
    fn what_may_end_a_host_is_in_no_name() {
        for written in
            ["", ".", "good.example／x", "good.example%2fx", "a℀b", "a%", "a%ff", "a b", "a@b"]
        {
            assert_eq!(canonical(written), None, "{written}");
        }
    }

    #[test]
    fn a_name_is_no_longer_than_dns_has_them() {
        assert!(canonical(&format!("{}.example", "ü".repeat(245))).is_some());
        assert_eq!(canonical(&format!("{}.example", "ü".repeat(246))), None);
    }

    #[test]
    fn a_star_is_for_what_lies_below() {
        let allowed = Allowed::parse("a.example, *.b.example\nMüller.example").unwrap();

        for name in ["a.example", "x.b.example", "x.y.b.example", "xn--mller-kva.example"] {
            assert!(allowed.contains(name), "{name}");
        }
        for name in ["x.a.example", "b.example", ".b.example", "evilb.example", "a.example.org"] {
            assert!(!allowed.contains(name), "{name}");
        }
    }

    #[test]
    fn what_is_no_domain_is_refused_with_a_word() {
        for entry in ["https://a.example", "a.example/x", "*", "*.", "a..b", "a@b"] {
            let refused = Allowed::parse(&format!("fine.example, {entry}")).unwrap_err();
            assert!(refused.contains(&format!("`{entry}`")), "{refused}");
        }
    }
}
