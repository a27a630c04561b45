//! What a request must be like before anything is looked up or sent for it.

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::{
    domain::{HeaderText, HostPattern, OutgoingError, OutgoingRequest, Secret},
    settings,
};

/// A request that may go out, if the addresses of its host allow it.
pub(super) struct Admitted {
    pub(super) url: Url,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) headers: HeaderMap,
}

/// They steer the connection, or say who is calling: that is ours alone.
const OURS: [&str; 15] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
    "x-original-host",
];

pub(super) fn admit(
    request: &OutgoingRequest,
    grants: &[HostPattern],
    settings: &settings::Outgoing,
) -> Result<Admitted, OutgoingError> {
    if size(request) > settings.max_request_bytes {
        return Err(OutgoingError::TooLarge);
    }
    let url = parse_url(&request.url)?;
    let Some(Host::Domain(host)) = url.host() else {
        return Err(OutgoingError::denied("the URL must name a host, not an address"));
    };
    let (host, port) = (host.to_owned(), url.port_or_known_default().unwrap_or(0));
    // A final dot names the same host, and would slip past a list of names.
    if host.ends_with('.') {
        return Err(OutgoingError::denied("the host must not end with a dot"));
    }
    if !grants.iter().any(|grant| grant.grants(&host, port)) {
        return Err(OutgoingError::denied(format!("{host}:{port} is not granted to this plugin")));
    }
    if settings.denied_hosts.iter().any(|denied| denied.denies(&host, port)) {
        return Err(OutgoingError::denied(format!("{host} is denied by this server's operator")));
    }
    let headers = headers(&request.headers, &host, port)?;
    Ok(Admitted { url, host, port, headers })
}

fn size(request: &OutgoingRequest) -> usize {
    let header = |(name, text): &(String, HeaderText)| {
        name.len()
            + match text {
                HeaderText::Plain(text) => text.len(),
                HeaderText::Secret(secret) | HeaderText::Bearer(secret) => secret.value.len(),
            }
    };
    request.url.len() + request.body.len() + request.headers.iter().map(header).sum::<usize>()
}

fn parse_url(text: &str) -> Result<Url, OutgoingError> {
    let url = Url::parse(text).map_err(|_| OutgoingError::denied("the URL cannot be read"))?;
    if url.scheme() != "https" {
        return Err(OutgoingError::denied("the URL must be https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(OutgoingError::denied("the URL must have no credentials"));
    }
    Ok(url)
}

fn headers(
    named: &[(String, HeaderText)],
    host: &str,
    port: u16,
) -> Result<HeaderMap, OutgoingError> {
    // The guest gets what was sent: decompressed it could be of any size.
    let mut headers =
        HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
    for (name, text) in named {
        let parsed = HeaderName::try_from(name.as_str())
            .map_err(|_| OutgoingError::denied("a header's name cannot be read"))?;
        require_free(&parsed, text)?;
        let value = value(text, host, port)?;
        headers.append(parsed, value);
    }
    Ok(headers)
}

fn require_free(name: &HeaderName, text: &HeaderText) -> Result<(), OutgoingError> {
    let name = name.as_str();
    let is_ours = OURS.contains(&name)
        || ["proxy-", "x-forwarded", "sec-"].iter().any(|prefix| name.starts_with(prefix));
    if is_ours {
        return Err(OutgoingError::denied(format!("the header {name} cannot be set")));
    }
    if name == "authorization" && matches!(text, HeaderText::Plain(_)) {
        return Err(OutgoingError::denied("the header authorization takes a secret alone"));
    }
    Ok(())
}

fn value(text: &HeaderText, host: &str, port: u16) -> Result<HeaderValue, OutgoingError> {
    let (text, is_secret) = match text {
        HeaderText::Plain(text) => (Zeroizing::new(text.clone()), false),
        HeaderText::Secret(secret) => (spend(secret, host, port)?.clone(), true),
        HeaderText::Bearer(secret) => {
            (Zeroizing::new(format!("Bearer {}", **spend(secret, host, port)?)), true)
        }
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| OutgoingError::denied("a header's value cannot be sent"))?;
    value.set_sensitive(is_secret);
    Ok(value)
}

fn spend<'s>(
    secret: &'s Secret,
    host: &str,
    port: u16,
) -> Result<&'s Zeroizing<String>, OutgoingError> {
    let bound = secret.hosts.iter().any(|pattern| pattern.grants(host, port));
    bound
        .then_some(&secret.value)
        .ok_or_else(|| OutgoingError::denied(format!("the secret is not for {host}:{port}")))
}
