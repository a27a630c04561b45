//! What every request of ours to another server has in common.

use reqwest::{ClientBuilder, Response, redirect};

/// Why an answer could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the answer is too large")]
    TooLarge,
    #[error(transparent)]
    Broken(#[from] reqwest::Error),
}

/// A client that asks the named server alone: no redirects and no proxies. It keeps no
/// connections, so that none is shared and each goes to an address that was checked for it.
pub fn client() -> ClientBuilder {
    // Another part of the server may have installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .user_agent(concat!("duologue/", env!("CARGO_PKG_VERSION")))
}

/// An answer's body, of so many bytes at most.
pub async fn read_body(mut response: Response, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
    if response.content_length().is_some_and(|length| length > max_bytes as u64) {
        return Err(ReadError::TooLarge);
    }
    let mut body = Vec::new();
    // A URL may hold what nobody else is to see.
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > max_bytes {
            return Err(ReadError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
