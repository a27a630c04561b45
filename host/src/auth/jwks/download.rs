use std::error::Error as StdError;

use reqwest::{Client, StatusCode};
use tokio::sync::OnceCell;

use super::JwksSettings;
use super::set::JwkSet;
use crate::auth::fetch::{self, read_body};

type Fault = Box<dyn StdError + Send + Sync>;

/// Fetches JWK sets from the operator's address alone.
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
        let response = client
            .get(url)
            .header("accept", "application/json")
            .send()
            .await
            .map_err(without_url)?;
        if response.status() != StatusCode::OK {
            return Err(format!("the answer is {}", response.status()).into());
        }
        let body = read_body(response, self.settings.max_bytes).await?;
        Ok(JwkSet::read(&body)?)
    }

    /// Trusts the CA certificates of the machine.
    fn build(&self) -> reqwest::Result<Client> {
        fetch::client().timeout(self.settings.timeout).build()
    }
}

/// The URL is logged without its query, which the library would add again.
fn without_url(error: reqwest::Error) -> Fault {
    error.without_url().into()
}
