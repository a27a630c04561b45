use url::{Host, Url};

const MAX_BYTES: usize = 2048;

/// Reads the address of a JWK set: https, or http on the loopback interface, where nobody can
/// sit in between.
///
/// The error is a sentence's end for the field it came from.
pub(in crate::auth) fn parse_address(text: &[u8]) -> Result<Url, &'static str> {
    if text.len() > MAX_BYTES {
        return Err("must be at most 2048 bytes");
    }
    let url = std::str::from_utf8(text)
        .ok()
        .and_then(|text| Url::parse(text.trim()).ok())
        .ok_or("must be a URL")?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        _ => return Err("must be an https URL (http only for this machine itself)"),
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err("must have no credentials and no fragment");
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_fetched_over_https_or_from_this_machine() {
        for good in [
            "https://id.example.com/.well-known/jwks.json",
            "https://10.0.0.7:8443/keys?v=1",
            "http://localhost:8080/jwks",
            "http://127.0.0.1/jwks",
            "http://[::1]:9/jwks",
        ] {
            assert!(parse_address(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "id.example.com/jwks",
            "http://id.example.com/jwks",
            "http://localhost.example.com/jwks",
            "http://127.0.0.1.example.com/jwks",
            "http://localhost@example.com/jwks",
            "https://user:pass@id.example.com/jwks",
            "https://id.example.com/jwks#a",
            "ftp://id.example.com/jwks",
            "file:///etc/passwd",
        ] {
            assert!(parse_address(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
