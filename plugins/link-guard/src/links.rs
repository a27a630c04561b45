//! Finding links as apps and browsers would: with a scheme, with `www.`, or as a bare name.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::{config::Endings, names};

/// Where a link leads: the canonical name, or none where it cannot be told.
pub type Target = Option<String>;

/// Schemes of which browsers take any number of slashes.
const WEB: [&str; 5] = ["http", "https", "ftp", "ws", "wss"];

/// Endings of files that no domain has: `node.js/react` is no link.
const FILES: &str = "asp bat cfg conf cpp css csv dll doc docx env exe gif gz hpp htm html ini ipynb \
    jar jpeg jpg js json jsx jsp lock log mjs mkv mp3 mp4 odt pdf php png ppt pptx rtf svg tar toml \
    ts tsv tsx txt vue wasm wav webp xls xlsx xml yaml yml";

/// All links of a text, bare names among them if they end so.
pub fn targets(text: &str, endings: &Endings) -> Vec<Target> {
    let mut finder = Finder { endings, found: Vec::new() };
    let plain = plain(text);
    for chunk in plain.split_whitespace() {
        finder.chunk(chunk);
    }
    finder.found
}

/// Without invisible characters, and with letters as they are read. What stands for a slash or
/// an at sign stays what it is: a host with such a character is looked at by itself.
fn plain(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.into();
    }
    let visible: Vec<char> = text.chars().filter(|c| !names::is_invisible(*c)).collect();
    let is_part = |at: Option<usize>| {
        at.and_then(|at| visible.get(at)).is_some_and(char::is_ascii_alphanumeric)
    };
    let mut plain = String::with_capacity(text.len());
    for (at, c) in visible.iter().copied().enumerate() {
        // Else every Chinese sentence would make a name with the next one.
        let divides = is_part(at.checked_sub(1)) && is_part(Some(at + 1));
        let c = if divides { names::as_dot(c) } else { c };
        let steers = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-.".contains(c);
        if c.is_ascii() || c.nfkc().any(steers) {
            plain.push(c);
        } else {
            plain.extend(c.nfkc());
        }
    }
    plain.into()
}

struct Finder<'a> {
    endings: &'a Endings,
    found: Vec<Target>,
}

impl Finder<'_> {
    /// Text without white space.
    fn chunk(&mut self, chunk: &str) {
        let mut rest = chunk;
        let mut is_path = false;
        while let Some((before, behind)) = split_scheme(rest) {
            self.prose(before, is_path);
            // A browser sees no end of the host before these; a comma or a quote is part of it.
            let end = behind.find(['/', '\\', '?', '#']).unwrap_or(behind.len());
            let (authority, tail) = behind.split_at(end);
            if let Some(host) = host_in(authority) {
                self.found.push(names::canonical(host));
            }
            (rest, is_path) = (tail, true);
        }
        self.prose(rest, is_path);
    }

    /// Text without schemes; `is_path`: it follows a host, so names begin behind a bracket or
    /// a quote at the earliest.
    fn prose(&mut self, text: &str, is_path: bool) {
        if is_path {
            let ends = |c: char| "<>\"'()[]{}|,;`".contains(c);
            text.split(ends).skip(1).for_each(|part| self.prose(part, false));
            return;
        }
        let divides = |c: char| {
            let in_name = c.is_alphanumeric() || is_combining_mark(c) || is_joiner(c);
            !in_name && !".-_@%:/\\?#".contains(c)
        };
        text.split(divides)
            .filter(|piece| piece.contains(['.', '%']))
            .for_each(|piece| self.piece(piece));
    }

    /// A run of what can be in a link: `link:evil.com/x`, `a@b.example`, `either/or`.
    fn piece(&mut self, piece: &str) {
        let slashes = piece.len() - piece.trim_start_matches(['/', '\\']).len();
        let mut is_strong = slashes >= 2;
        let mut is_behind_slash = slashes == 1;
        let mut rest = &piece[slashes..];
        while !rest.is_empty() {
            let end = rest.find(['/', '\\', '?', '#', ':']).unwrap_or(rest.len());
            let (head, tail) = rest.split_at(end);
            let leads_on = leads_on(tail);
            is_strong |= leads_on && !is_behind_slash;
            if self.bare(head, is_strong, leads_on) {
                return;
            }
            let mut chars = tail.chars();
            is_behind_slash = chars.next().is_some_and(|c| c != ':');
            is_strong = false;
            rest = chars.as_str();
        }
    }

    /// Notes the name if it is one. `is_strong`: it stands where only a link makes sense.
    fn bare(&mut self, head: &str, is_strong: bool, leads_on: bool) -> bool {
        let (is_mail, written) = match head.rsplit_once('@') {
            Some((_, name)) => (true, name),
            None => (false, head),
        };
        if is_mail && !leads_on {
            return false;
        }
        let written = written.trim_start_matches(['.', '-', '_']).trim_end_matches(['-', '_']);
        let Some(name) = names::canonical(written) else { return false };
        let labels: Vec<&str> = name.split('.').collect();
        if labels.len() < 2 || labels.iter().any(|label| label.is_empty()) {
            return false;
        }
        // A joiner makes it another name, but still one that is read like this one.
        let read = written.replace(is_joiner, "");
        let ends = self.endings.end(&name)
            || names::canonical(&read).is_some_and(|read| self.endings.end(&read));
        let is_link = ends || ((is_strong || labels[0] == "www") && could_be_domain(&labels));
        if is_link {
            self.found.push(Some(name));
        }
        is_link
    }
}

/// Whether what follows a name makes it a link: a path, a port, something asked for.
fn leads_on(tail: &str) -> bool {
    let mut chars = tail.chars();
    let (first, second) = (chars.next(), chars.next());
    match first {
        Some('/' | '\\') => true,
        Some(':') => second.is_some_and(|c| c.is_ascii_digit()),
        Some(_) => second.is_some_and(char::is_alphanumeric),
        None => false,
    }
}

fn could_be_domain(labels: &[&str]) -> bool {
    let last = labels[labels.len() - 1];
    let is_word = last.len() >= 2 && last.bytes().all(|byte| byte.is_ascii_alphabetic());
    (is_word || last.starts_with("xn--")) && !FILES.split(' ').any(|ending| ending == last)
}

/// Splits at the first scheme that a host may follow, its slashes left out.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    text.match_indices(':').find_map(|(colon, _)| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let run = &text[text[..colon].trim_end_matches(is_part).len()..colon];
        let scheme = run.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        let behind = &text[colon + 1..];
        let host = behind.trim_start_matches(['/', '\\']);
        let is_web = WEB.iter().any(|web| scheme.eq_ignore_ascii_case(web));
        let leads = match behind.len() - host.len() {
            // `C:\\x` is a folder.
            2.. => scheme.len() > 1,
            1 => is_web,
            // Without slashes it may be prose, and is looked at only so far.
            _ => is_web && host.chars().take(256).any(|c| c == '.'),
        };
        leads.then(|| (&text[..colon - scheme.len()], host))
    })
}

/// The host of an authority: without a user, a port and what ends a sentence.
fn host_in(authority: &str) -> Option<&str> {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split(['<', '>', '"']).next()?;
    let ends = |c: char| ".,;:!'`*~_|(){}".contains(c) || (c == ']' && !host.starts_with('['));
    let host = host.trim_end_matches(|c: char| ends(c) || (!c.is_ascii() && !c.is_alphanumeric()));
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    (!host.is_empty()).then_some(host)
}

/// They join and part letters, in some scripts rightly.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn found(text: &str) -> Vec<Target> {
        targets(text, &Config::read(|_| None).unwrap().endings)
    }

    #[track_caller]
    fn assert_leads(text: &str, name: &str) {
        assert_eq!(found(text), [Some(name.to_owned())], "{text}");
    }

    #[test]
    fn links_are_found_however_they_are_written() {
        for text in [
            "https://evil.example",
            "see HTTPS://EVIL.example/x?y=1#z, please",
            "(https://evil.example).",
            "<https://evil.example>",
            "[here](https://evil.example/a)",
            "link:https://evil.example",
            "„https://evil.example“",
            "https://evil.example:8443/",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "https:\\\\evil.example\\x",
            "ht\u{200b}tps://ev\u{ad}il.exam\u{2060}ple",
            "//evil.example/x",
            "evil.example/path",
            "link:evil.example/path",
            "evil.example:8443",
            "evil.example?x=1",
            "evil%2eexample/path",
            "evil.example./path",
            "ｅｖｉｌ.ｅｘａｍｐｌｅ/path",
            "\"evil.example/path\"",
            "myapp://evil.example",
            "bob@evil.example/path",
        ] {
            assert_leads(text, "evil.example");
        }
        for text in ["evil.com", "it's evil.com.", "EVIL.COM!", "either/evil.com", "evil。com"] {
            assert_leads(text, "evil.com");
        }
        for text in ["www.evil.example", "WWW.evil.example/x", "http://www.evil.example"] {
            assert_leads(text, "www.evil.example");
        }
        assert_leads("зло.рф", "xn--g1aij.xn--p1ai");
    }

    #[test]
    fn a_user_before_the_host_deceives_nobody() {
        for text in [
            "https://good.example@evil.example",
            "https://good.example:x@evil.example/",
            "https://good.example,x@evil.example",
            "https://good.example\"@evil.example",
            "https://a@good.example@evil.example",
            "good.example@evil.example/x",
        ] {
            assert_leads(text, "evil.example");
        }
        // To a browser the host ends at the backslash.
        assert_leads("https://evil.example\\@good.example", "evil.example");
    }

    #[test]
    fn a_host_that_programs_read_differently_leads_nobody_knows_where() {
        for text in [
            "https://good.example,evil.example/",
            "https://good.example／.evil.example/",
            "https://good.example%2f.evil.example/",
            "https://good.example%ff/",
            "https://[::1]/",
        ] {
            assert_eq!(found(text)[0], None, "{text}");
        }
        assert_leads("https://2130706433/", "2130706433");
        assert_leads("https://127.0.0.1/", "127.0.0.1");
    }

    #[test]
    fn each_link_is_found_also_one_in_anothers_query() {
        let expected = [Some("a.example".to_owned()), Some("b.example".to_owned())];

        for text in [
            "https://a.example https://b.example",
            "https://a.example/?to=https://b.example/",
            "https://a.example/x,b.example/y",
            "a.example/x)b.example/y",
            "https://a.example/\nb.example/",
        ] {
            let mut found = found(text);
            found.dedup();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_link_passes() {
        for text in [
            "well.then see you at 10.30/11",
            "e.g. i.e. p.m./a.m.",
            "wait...what/so",
            "version 1.2.3.4 of config.json",
            "node.js/react",
            "write to bob@evil.com",
            "mailto:bob@evil.com",
            "either/or and 1/2",
            "C:\\\\temp\\x.txt",
            "src/parser.rs",
            "it is done.Then we go.Is it?",
            "note: https: is safer than http://",
            "привет.как дела",
            "看。我们/你们",
            "50%.5",
            "",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn a_path_is_not_taken_for_names() {
        assert_leads("https://a.example/crates.io/file.com?q=b.com&r=c.com#d.com", "a.example");
        assert_leads("a.example/wiki/b.com", "a.example");
    }
}
