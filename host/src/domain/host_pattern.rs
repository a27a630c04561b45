use std::fmt;

use serde::{Deserialize, Serialize};

/// Hosts that a plugin may call: `api.example.com`, or `*.example.com` for every name below
/// `example.com` but not that itself; with `:8443` for another port than 443.
///
/// Addresses in place of a name are refused: a name is what a certificate proves.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    /// Lower case, international names in their ASCII form.
    name: String,
    below: bool,
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a host such as api.example.com, *.example.com or api.example.com:8443; no address"
)]
pub struct InvalidHost;

impl HostPattern {
    const HTTPS: u16 = 443;

    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(parse_port(port)?)),
            None => (text, None),
        };
        let (name, below) = match host.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (host, false),
        };
        let Ok(url::Host::Domain(name)) = url::Host::parse(name) else { return Err(InvalidHost) };
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        let valid = name.len() <= 253
            && name.chars().all(plain)
            && name.split('.').all(|label| !label.is_empty());
        valid.then_some(Self { name, below, port }).ok_or(InvalidHost)
    }

    /// Whether a request to that host and port is granted by this.
    ///
    /// The host is one that a URL parser has read: lower case and ASCII.
    pub fn grants(&self, host: &str, port: u16) -> bool {
        self.names(host) && port == self.port.unwrap_or(Self::HTTPS)
    }

    /// The same for a list of what is denied: without a port it means all of them.
    pub fn denies(&self, host: &str, port: u16) -> bool {
        self.names(host) && self.port.is_none_or(|ours| ours == port)
    }

    fn names(&self, host: &str) -> bool {
        if !self.below {
            return host == self.name;
        }
        let rest = host.strip_suffix(self.name.as_str());
        rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }
}

fn parse_port(text: &str) -> Result<u16, InvalidHost> {
    let port = text.parse().map_err(|_| InvalidHost)?;
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    (plain && port != 0).then_some(port).ok_or(InvalidHost)
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, below, port } = self;
        f.write_str(if *below { "*." } else { "" })?;
        f.write_str(name)?;
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl TryFrom<String> for HostPattern {
    type Error = InvalidHost;

    fn try_from(text: String) -> Result<Self, InvalidHost> {
        Self::parse(&text)
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(pattern: &str, host: &str, port: u16) -> bool {
        HostPattern::parse(pattern).unwrap().grants(host, port)
    }

    #[test]
    fn a_name_grants_itself_and_a_star_what_is_below() {
        assert!(grants("API.example.com", "api.example.com", 443));
        assert!(!grants("api.example.com", "api.example.com", 8443));
        assert!(grants("api.example.com:8443", "api.example.com", 8443));
        assert!(!grants("api.example.com:8443", "api.example.com", 443));
        assert!(!grants("example.com", "api.example.com", 443));
        assert!(grants("*.example.com", "a.b.example.com", 443));
        for other in ["example.com", ".example.com", "evilexample.com", "example.com.evil.org"] {
            assert!(!grants("*.example.com", other, 443), "{other}");
        }
    }

    #[test]
    fn a_denied_name_is_denied_at_every_port() {
        let pattern = HostPattern::parse("*.internal").unwrap();

        assert!(pattern.denies("db.internal", 443) && pattern.denies("db.internal", 8443));
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        for bad in [
            "",
            "*",
            "*.",
            "a.*.com",
            "**.a.com",
            "127.0.0.1",
            "0x7f.1",
            "2130706433",
            "[::1]",
            "::1",
            "a.com:",
            "a.com:0",
            "a.com:+1",
            "a.com:65536",
            "a.com.",
            "a..com",
            "https://a.com",
            "a.com/x",
            "u@a.com",
            "a b.com",
        ] {
            assert_eq!(HostPattern::parse(bad), Err(InvalidHost), "{bad:?}");
        }
    }

    #[test]
    fn it_reads_what_it_writes() {
        for text in ["api.example.com", "*.example.com", "*.example.com:8443"] {
            assert_eq!(HostPattern::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            HostPattern::parse("Bücher.example").unwrap().to_string(),
            "xn--bcher-kva.example"
        );
    }
}
