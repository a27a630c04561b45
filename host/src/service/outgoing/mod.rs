//! Requests of plugins to other servers: to granted hosts alone, at public addresses alone.
//!
//! A name is looked up once for each request, every address that it has is checked, and the
//! connection goes to one of those: a name that changes its mind in between changes nothing.

mod admission;
mod names;

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use dashmap::DashMap;
use reqwest::{
    Client, Method, Response,
    dns::{Addrs, Name, Resolve, Resolving},
};
use rustls::{
    ClientConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use tokio::sync::{OnceCell, Semaphore};

use super::limits::Limits;
use crate::{
    Error, Result,
    auth::{ReadError, read_body},
    domain::{
        HostPattern, Org, OrgId, OutgoingError, OutgoingMethod, OutgoingRequest, OutgoingResponse,
        RequestsLeft, is_public,
    },
    settings,
};
use admission::{Admitted, admit};
pub use names::{LookUp, Names, SystemNames};

#[derive(Clone)]
pub struct Outgoing(Arc<Shared>);

struct Shared {
    settings: settings::Outgoing,
    limits: Arc<Limits>,
    names: Arc<dyn Names>,
    extra_roots: Vec<CertificateDer<'static>>,
    /// Made for the first request: a server without such plugins needs no CA certificates.
    tls: OnceCell<ClientConfig>,
    /// A look-up cannot be called off. Each org has so many, so that one whose name server
    /// never answers takes no other's.
    lookups: DashMap<OrgId, Arc<Semaphore>>,
}

impl Outgoing {
    /// # Errors
    /// [`Error::Invalid`] where the file of extra roots cannot be read.
    pub fn new(
        settings: settings::Outgoing,
        limits: Arc<Limits>,
        names: Arc<dyn Names>,
    ) -> Result<Self> {
        let extra_roots = read_roots(&settings)?;
        let (tls, lookups) = (OnceCell::new(), DashMap::new());
        Ok(Self(Arc::new(Shared { settings, limits, names, extra_roots, tls, lookups })))
    }

    /// What one call of a plugin may ask for.
    pub fn per_call(&self) -> RequestsLeft {
        RequestsLeft::new(self.0.settings.requests_per_call)
    }

    /// Makes a request for a plugin of that org, which was granted these hosts, within the time
    /// that its call has left.
    pub async fn send(
        &self,
        org: &Org,
        grants: &[HostPattern],
        request: OutgoingRequest,
        budget: Duration,
    ) -> Result<OutgoingResponse, OutgoingError> {
        let admitted = admit(&request, grants, &self.0.settings)?;
        self.0
            .limits
            .outgoing(org.id, &org.settings.limits)
            .map_err(|_| OutgoingError::QuotaExceeded)?;
        let patience = request.timeout.map_or(budget, |timeout| timeout.min(budget));
        let exchange = self.0.exchange(org.id, admitted, request);
        tokio::time::timeout(patience, exchange).await.map_err(|_| OutgoingError::Timeout)?
    }
}

impl Shared {
    async fn exchange(
        &self,
        org_id: OrgId,
        admitted: Admitted,
        request: OutgoingRequest,
    ) -> Result<OutgoingResponse, OutgoingError> {
        let addresses = self.addresses(org_id, &admitted.host, admitted.port).await?;
        let client = self.client(addresses).await?;
        let response = client
            .request(method(request.method), admitted.url)
            .headers(admitted.headers)
            .body(request.body)
            .send()
            .await
            .map_err(|error| fault(&error))?;
        self.read(response).await
    }

    /// All addresses of a host, if each of them may be reached.
    async fn addresses(
        &self,
        org_id: OrgId,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, OutgoingError> {
        const UNKNOWN: OutgoingError =
            OutgoingError::Transport(Cow::Borrowed("the host's name is not known"));

        let most = self.settings.lookups_per_org.max(1);
        let places =
            self.lookups.entry(org_id).or_insert_with(|| Arc::new(Semaphore::new(most))).clone();
        let place = places.acquire_owned().await.map_err(|_| OutgoingError::Timeout)?;
        let look_up = self.names.look_up(host.to_owned());
        // A task of its own keeps the place until the look-up has really ended.
        let found = tokio::spawn(async move {
            let found = look_up.await;
            drop(place);
            found
        });
        let found = found.await.map_err(|_| UNKNOWN)?.map_err(|_| UNKNOWN)?;
        if found.is_empty() {
            return Err(UNKNOWN);
        }
        if !found.iter().all(|address| self.may_reach(*address)) {
            return Err(OutgoingError::denied(format!("{host} is not at public addresses alone")));
        }
        Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    fn may_reach(&self, address: IpAddr) -> bool {
        is_public(address)
            || self.settings.private_networks.iter().any(|network| network.contains(address))
    }

    /// A client that knows these addresses and no others, for one request.
    async fn client(&self, addresses: Vec<SocketAddr>) -> Result<Client, OutgoingError> {
        let tls = self.tls.get_or_try_init(async || self.make_tls()).await.map_err(|error| {
            tracing::error!(%error, "plugins can make no requests: TLS cannot be set up");
            OutgoingError::Transport("this server cannot make requests".into())
        })?;
        crate::auth::client()
            .tls_backend_preconfigured(tls.clone())
            .https_only(true)
            .connect_timeout(self.settings.connect)
            .dns_resolver(Checked(addresses))
            .build()
            .map_err(|error| fault(&error))
    }

    /// Trusts the CA certificates of the machine, and those of the setting.
    fn make_tls(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(default_provider());
        let roots = self.extra_roots.iter().cloned();
        let verifier = Verifier::new_with_extra_roots(roots, provider.clone())?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(config)
    }

    async fn read(&self, response: Response) -> Result<OutgoingResponse, OutgoingError> {
        let status = response.status().as_u16();
        let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(str::to_owned);
        let headers: Vec<(String, String)> = response
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?)))
            .collect();
        let header_bytes = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let most = self.settings.max_response_bytes.checked_sub(header_bytes);
        let body = read_body(response, most.ok_or(OutgoingError::TooLarge)?).await;
        let body = body.map_err(|error| match error {
            ReadError::TooLarge => OutgoingError::TooLarge,
            ReadError::Broken(error) => fault(&error),
        })?;
        Ok(OutgoingResponse { status, headers, body })
    }
}

/// Answers what was checked, whatever is asked.
struct Checked(Vec<SocketAddr>);

impl Resolve for Checked {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

fn method(method: OutgoingMethod) -> Method {
    match method {
        OutgoingMethod::Get => Method::GET,
        OutgoingMethod::Post => Method::POST,
        OutgoingMethod::Put => Method::PUT,
        OutgoingMethod::Patch => Method::PATCH,
        OutgoingMethod::Delete => Method::DELETE,
    }
}

/// What a guest may know of a failure: nothing about our network.
fn fault(error: &reqwest::Error) -> OutgoingError {
    if error.is_timeout() {
        OutgoingError::Timeout
    } else if error.is_connect() {
        OutgoingError::Transport("no connection, or no certificate that counts".into())
    } else {
        OutgoingError::Transport("the answer cannot be read".into())
    }
}

fn read_roots(settings: &settings::Outgoing) -> Result<Vec<CertificateDer<'static>>> {
    let Some(path) = &settings.extra_roots else { return Ok(Vec::new()) };
    let refused = |error: &dyn std::fmt::Display| {
        let message = format!("cannot be read as PEM: {}: {error}", path.display());
        Error::invalid("outgoing.extra_roots", message)
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| refused(&error))?;
    certificates.collect::<Result<_, _>>().map_err(|error| refused(&error))
}
