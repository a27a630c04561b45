use std::error::Error as StdError;

use reqwest::{Client, StatusCode, redirect};
use tokio::sync::OnceCell;

use super::JwksSettings;
use super::set::JwkSet;

type Fault = Box<dyn StdError + Send + Sync>;

/// Fetches JWK sets: no redirects and no proxies, so that only the operator's address is asked.
pub(super) struct Downloader {
    settings: JwksSettings,
    /// Made for the first fetch: an org without a JWK set needs no CA certificates.
    client: OnceCell<Client>,
}

impl Downloader {
    pub(super) fn new(settings: JwksSettings) -> Self {
        Self { settings, client: OnceCell::new() }
    }

    pub(super) async fn fetch(&self, url: &str) -> Result<JwkSet, Fault> {
        let client = self.client.get_or_try_init(async || self.build()).await?;
        let mut response = client
            .get(url)
            .header("accept", "application/json")
            .send()
            .await
            .map_err(without_url)?;
        if response.status() != StatusCode::OK {
            return Err(format!("the answer is {}", response.status()).into());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(without_url)? {
            if body.len() + chunk.len() > self.settings.max_bytes {
                return Err("the answer is too large".into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(JwkSet::read(&body)?)
    }

    /// Trusts the CA certificates of the machine.
    fn build(&self) -> reqwest::Result<Client> {
        // Another part of the server may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(self.settings.timeout)
            // One request in minutes: nothing to keep a connection for.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("duologue/", env!("CARGO_PKG_VERSION")))
            .build()
    }
}

/// The URL is logged without its query, which the library would add again.
fn without_url(error: reqwest::Error) -> Fault {
    error.without_url().into()
}
