//! The server under load, and the people who put it there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

pub const MESSAGES: &str = "/community/messages";

#[derive(Args, Clone)]
pub struct Target {
    /// IP:PORT of the server
    #[arg(long)]
    pub address: String,
    /// The HS256 key of the org, and of ORG-0, ORG-1 and so on
    #[arg(long)]
    pub secret: String,
    #[arg(long)]
    pub org: String,
    /// NAME=PID of a process whose use of processors is told, with its children; more than once
    #[arg(long = "pid")]
    pub pids: Vec<String>,
    /// How long to measure
    #[arg(long, default_value_t = 10.0)]
    pub secs: f64,
    /// How long to warm up before
    #[arg(long, default_value_t = 2.0)]
    pub warm: f64,
}

impl Target {
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm)
    }

    pub fn measured(&self) -> Duration {
        Duration::from_secs_f64(self.secs)
    }

    /// The headers of this person's requests.
    pub fn headers(&self, email: &str) -> String {
        let token = self.token(email, &self.org);
        format!("orgid: {}\r\nAuthorization: Bearer {token}\r\n", self.org)
    }

    /// What this person's CONNECT says.
    pub fn auth(&self, email: &str, org: &str) -> Value {
        json!({ "token": self.token(email, org), "orgId": org })
    }

    fn token(&self, email: &str, org: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_secs();
        let claims = json!({
            "sub": email, "email": email, "orgId": org, "iat": now - 5, "exp": now + 24 * 3600,
        });
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }
}

/// So many bytes of text.
pub fn text(bytes: usize) -> String {
    "lorem ipsum dolor sit amet ".chars().cycle().take(bytes).collect()
}

/// The body of a request that sends a message.
pub fn message(to: &str, content: &str) -> Value {
    json!({ "to": to, "content": content, "contentType": "text" })
}
