//! A server behind TLS on this machine, and names that lead wherever a test wants.

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use duologue::{
    domain::{
        HeaderText, HostPattern, Network, Org, OrgId, OrgSettings, OrgSlug, OutgoingError,
        OutgoingMethod, OutgoingRequest, OutgoingResponse, Secret,
    },
    service::{Limits, LookUp, Names, Outgoing},
    settings::{self, Settings},
};
use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

/// The name in the test server's certificate.
pub const HOST: &str = "api.test";
/// Generous: it is only ever waited out by a test that fails.
pub const LONG: Duration = Duration::from_mins(1);

/// One answer for everybody who connects; `None`: never any.
pub struct Peer {
    pub port: u16,
    /// What was asked, each request whole.
    pub requests: Arc<Mutex<Vec<String>>>,
    pub connections: Arc<AtomicUsize>,
}

impl Peer {
    pub async fn start(answer: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Self {
            port: listener.local_addr().unwrap().port(),
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let (requests, connections) = (peer.requests.clone(), peer.connections.clone());
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(connection, answer.clone(), requests.clone()));
            }
        });
        peer
    }

    pub async fn answering(head: &str, body: &str) -> Self {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        Self::start(Some(text.into())).await
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{HOST}:{}{path}", self.port)
    }

    pub fn grant(&self) -> HostPattern {
        host(&format!("{HOST}:{}", self.port))
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(
    connection: TcpStream,
    answer: Arc<Option<Vec<u8>>>,
    requests: Arc<Mutex<Vec<String>>>,
) {
    let Ok(mut stream) = acceptor().accept(connection).await else { return };
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    requests.lock().unwrap().push(String::from_utf8(request).unwrap());
    match answer.as_ref() {
        // The client may hang up when it has seen enough.
        Some(answer) => drop(stream.write_all(answer).await),
        None => std::future::pending().await,
    }
    let _ = stream.shutdown().await;
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
    /// Where the certificate lies as PEM.
    roots: std::path::PathBuf,
}

fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
        let name = format!("duologue-roots-{}.pem", std::process::id());
        let roots = std::env::temp_dir().join(name);
        std::fs::write(&roots, made.cert.pem()).unwrap();
        Identity {
            certificate: made.cert.der().clone(),
            key: made.signing_key.serialize_der(),
            roots,
        }
    })
}

fn acceptor() -> TlsAcceptor {
    let Identity { certificate, key, .. } = identity();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.clone()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Each look-up gets the next answer, and the last one for ever.
pub struct Script {
    answers: Vec<Vec<IpAddr>>,
    pub lookups: AtomicUsize,
}

impl Script {
    pub fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |text: &&str| text.parse().unwrap();
        let answers = answers.iter().map(|answer| answer.iter().map(parse).collect()).collect();
        Arc::new(Self { answers, lookups: AtomicUsize::new(0) })
    }

    /// This machine.
    pub fn local() -> Arc<Self> {
        Self::new(&[&["127.0.0.1"]])
    }
}

impl Names for Script {
    fn look_up(&self, _: String) -> LookUp {
        let nth = self.lookups.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.get(nth).or(self.answers.last()).cloned();
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// The defaults, but for a test server's certificate and address.
pub fn local_settings() -> settings::Outgoing {
    settings::Outgoing {
        private_networks: vec![Network::parse("127.0.0.1/32").unwrap()],
        connect: LONG,
        ..public_settings()
    }
}

/// Without the address.
pub fn public_settings() -> settings::Outgoing {
    let defaults = Settings::parse(None).unwrap().outgoing;
    settings::Outgoing { extra_roots: Some(identity().roots.clone()), ..defaults }
}

pub struct Scene {
    pub outgoing: Outgoing,
    pub org: Org,
}

impl Scene {
    pub fn new(settings: settings::Outgoing, names: Arc<dyn Names>) -> Self {
        let outgoing = Outgoing::new(settings, Arc::new(Limits::default()), names).unwrap();
        Self { outgoing, org: org() }
    }

    pub fn local() -> Self {
        Self::new(local_settings(), Script::local())
    }

    /// To a peer that was granted.
    pub async fn ask(
        &self,
        peer: &Peer,
        request: OutgoingRequest,
    ) -> Result<OutgoingResponse, OutgoingError> {
        self.outgoing.send(&self.org, &[peer.grant()], request, LONG).await
    }

    /// What becomes of a URL where all that the tests name is granted.
    pub async fn ask_for(&self, url: &str) -> Result<OutgoingResponse, OutgoingError> {
        let grants = ["api.test", "*.api.test", "api.test:8443"].map(host);
        self.outgoing.send(&self.org, &grants, get(url), LONG).await
    }
}

pub fn org() -> Org {
    Org {
        id: OrgId::new(),
        slug: OrgSlug::parse("acme").unwrap(),
        name: "Acme".to_owned(),
        suspended: false,
        settings: OrgSettings::default(),
    }
}

pub fn host(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

pub fn get(url: &str) -> OutgoingRequest {
    OutgoingRequest {
        method: OutgoingMethod::Get,
        url: url.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: None,
    }
}

pub fn with_header(url: &str, name: &str, text: HeaderText) -> OutgoingRequest {
    OutgoingRequest { headers: vec![(name.to_owned(), text)], ..get(url) }
}

pub fn plain(text: &str) -> HeaderText {
    HeaderText::Plain(text.to_owned())
}

pub fn secret(value: &str, bound_to: HostPattern) -> Arc<Secret> {
    Arc::new(Secret { value: Zeroizing::new(value.to_owned()), hosts: vec![bound_to] })
}

#[track_caller]
pub fn assert_denied<T: std::fmt::Debug>(answer: &Result<T, OutgoingError>) {
    assert!(matches!(answer, Err(OutgoingError::Denied(_))), "{answer:?}");
}
