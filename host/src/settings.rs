//! The server's settings. `host/duologue.toml` holds each with its default and its meaning;
//! a server starts from that very text.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer};

use crate::domain::{HostPattern, KvLimits, Network, OrgSettings};

/// The commented default configuration.
pub const DEFAULTS: &str = include_str!("../duologue.toml");

#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be read: {0}")]
pub struct InvalidSettings(#[from] toml::de::Error);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub server: Server,
    pub database: Database,
    pub writer: Writer,
    pub http: Http,
    pub sockets: Sockets,
    pub tokens: Tokens,
    pub presence: Presence,
    pub review: Review,
    pub notifications: Notifications,
    pub receipts: Receipts,
    pub plugins: Plugins,
    pub events: Events,
    pub stages: Stages,
    pub kv: KvLimits,
    pub outgoing: Outgoing,
    pub secrets: Secrets,
    pub org: OrgSettings,
}

impl Settings {
    /// The defaults with a configuration file laid over them, field by field.
    pub fn parse(file: Option<&str>) -> Result<Self, InvalidSettings> {
        let mut merged: toml::Table = toml::from_str(DEFAULTS)?;
        if let Some(file) = file {
            lay_over(&mut merged, toml::from_str(file)?);
        }
        Ok(Self::deserialize(merged)?)
    }
}

fn lay_over(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => lay_over(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    #[serde(rename = "stop_ms", deserialize_with = "millis")]
    pub stop: Duration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    pub connections: u32,
    pub connections_per_org: usize,
    pub connections_for_plugins: usize,
    pub connections_for_plugins_per_org: usize,
    #[serde(rename = "acquire_ms", deserialize_with = "millis")]
    pub acquire: Duration,
    #[serde(rename = "statement_ms", deserialize_with = "millis")]
    pub statement: Duration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Writer {
    pub queue: usize,
    pub batch: usize,
    #[serde(rename = "patience_ms", deserialize_with = "millis")]
    pub patience: Duration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    pub max_body_bytes: usize,
    pub max_head_bytes: usize,
    #[serde(rename = "header_ms", deserialize_with = "millis")]
    pub header: Duration,
    #[serde(rename = "body_ms", deserialize_with = "millis")]
    pub body: Duration,
    #[serde(rename = "patience_ms", deserialize_with = "millis")]
    pub patience: Duration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sockets {
    pub max_packet_bytes: usize,
    pub max_queued_bytes: usize,
    pub buffer_packets: usize,
    #[serde(rename = "connect_ms", deserialize_with = "millis")]
    pub connect: Duration,
    #[serde(rename = "ping_interval_ms", deserialize_with = "millis")]
    pub ping_interval: Duration,
    #[serde(rename = "ping_timeout_ms", deserialize_with = "millis")]
    pub ping_timeout: Duration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    #[serde(rename = "clock_skew_ms", deserialize_with = "millis")]
    pub clock_skew: Duration,
    pub max_bytes: usize,
    #[serde(rename = "jwks_max_age_ms", deserialize_with = "millis")]
    pub jwks_max_age: Duration,
    #[serde(rename = "jwks_max_stale_ms", deserialize_with = "millis")]
    pub jwks_max_stale: Duration,
    #[serde(rename = "jwks_interval_ms", deserialize_with = "millis")]
    pub jwks_interval: Duration,
    #[serde(rename = "jwks_timeout_ms", deserialize_with = "millis")]
    pub jwks_timeout: Duration,
    pub jwks_max_bytes: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presence {
    #[serde(rename = "grace_ms", deserialize_with = "millis")]
    pub grace: Duration,
    #[serde(rename = "pause_ms", deserialize_with = "millis")]
    pub pause: Duration,
    pub at_once: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    #[serde(rename = "interval_ms", deserialize_with = "millis")]
    pub interval: Duration,
    #[serde(rename = "ask_again_ms", deserialize_with = "millis")]
    pub ask_again: Duration,
    #[serde(rename = "ask_again_most_ms", deserialize_with = "millis")]
    pub ask_again_most: Duration,
    pub refusals_queue: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notifications {
    #[serde(rename = "interval_ms", deserialize_with = "millis")]
    pub interval: Duration,
    #[serde(rename = "lease_ms", deserialize_with = "millis")]
    pub lease: Duration,
    pub attempts: u32,
    pub at_once: usize,
    pub at_once_per_org: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipts {
    pub queue: usize,
    pub queue_bytes: u32,
    pub per_message: u32,
    #[serde(rename = "gather_ms", deserialize_with = "millis")]
    pub gather: Duration,
    #[serde(rename = "read_wait_ms", deserialize_with = "millis")]
    pub read_wait: Duration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plugins {
    pub max_upload_bytes: usize,
    #[serde(rename = "call_ms", deserialize_with = "millis")]
    pub call: Duration,
    #[serde(rename = "call_cpu_ms", deserialize_with = "millis")]
    pub call_cpu: Duration,
    #[serde(rename = "chain_ms", deserialize_with = "millis")]
    pub chain: Duration,
    #[serde(rename = "http_call_ms", deserialize_with = "millis")]
    pub http_call: Duration,
    #[serde(rename = "http_chain_ms", deserialize_with = "millis")]
    pub http_chain: Duration,
    #[serde(rename = "event_ms", deserialize_with = "millis")]
    pub event: Duration,
    #[serde(rename = "notify_ms", deserialize_with = "millis")]
    pub notify: Duration,
    pub memory_bytes: usize,
    pub table_elements: usize,
    pub handed_over_bytes: usize,
    pub log_lines: usize,
    pub log_line_bytes: usize,
    pub log_kept_lines: usize,
    pub log_kept_bytes: usize,
    pub host_calls: u32,
    pub open_secrets: usize,
    pub tape_bytes: usize,
    pub breaker_senders: usize,
    pub rollback_senders: usize,
    #[serde(rename = "breaker_window_ms", deserialize_with = "millis")]
    pub breaker_window: Duration,
    pub breaker_percent: u64,
    #[serde(rename = "breaker_pause_ms", deserialize_with = "millis")]
    pub breaker_pause: Duration,
    #[serde(rename = "breaker_max_pause_ms", deserialize_with = "millis")]
    pub breaker_max_pause: Duration,
    pub instances: u32,
    pub instances_per_org: usize,
    #[serde(rename = "wait_ms", deserialize_with = "millis")]
    pub wait: Duration,
    #[serde(rename = "compile_ms", deserialize_with = "millis")]
    pub compile: Duration,
    #[serde(rename = "compile_cpu_ms", deserialize_with = "millis")]
    pub compile_cpu: Duration,
    pub compile_memory_bytes: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    #[serde(rename = "poll_ms", deserialize_with = "millis")]
    pub poll: Duration,
    pub at_once: usize,
    pub at_once_per_org: usize,
    #[serde(rename = "lease_ms", deserialize_with = "millis")]
    pub lease: Duration,
    pub attempts: u32,
    #[serde(rename = "retry_ms", deserialize_with = "millis")]
    pub retry: Duration,
    #[serde(rename = "retry_most_ms", deserialize_with = "millis")]
    pub retry_most: Duration,
    pub waiting_per_org: u32,
    pub sampled_burst: u32,
    pub sampled_per_second: u32,
    pub sampled_queue: usize,
    pub messages_per_call: u32,
    pub most_depth: i16,
}

/// How versions are tried before they decide.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stages {
    pub trial_queue: usize,
    pub trial_at_once: usize,
    pub trial_messages: u64,
    pub backtest_messages: u64,
    pub backtest_busy_percent: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outgoing {
    #[serde(rename = "connect_ms", deserialize_with = "millis")]
    pub connect: Duration,
    pub max_request_bytes: usize,
    pub max_response_bytes: usize,
    pub requests_per_call: u32,
    pub lookups_per_org: usize,
    pub denied_hosts: Vec<HostPattern>,
    pub private_networks: Vec<Network>,
    #[serde(deserialize_with = "path")]
    pub extra_roots: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    #[serde(deserialize_with = "path")]
    pub key_file: Option<PathBuf>,
    pub max_value_bytes: usize,
    pub max_per_plugin: u32,
}

/// Empty: none.
fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty()))
}

fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        let settings = Settings::parse(None).unwrap();

        assert_eq!(settings.org, OrgSettings::default());
        assert_eq!(settings.server.listen.to_string(), "127.0.0.1:4000");
    }

    #[test]
    fn a_file_changes_only_what_it_names() {
        let settings =
            Settings::parse(Some("[writer]\nbatch = 7\n[org.limits]\nsendBurst = 0")).unwrap();

        assert_eq!(settings.writer.batch, 7);
        assert_eq!(settings.writer.queue, 4096);
        assert_eq!(settings.org.limits.send_burst, 0);
    }

    #[test]
    fn a_network_or_host_that_is_none_is_refused_with_what_it_should_be() {
        for (line, wanted) in [
            ("private_networks = ['10.0.0.0']", "such as 10.0.0.0/8"),
            ("denied_hosts = ['https://a.example']", "a host such as"),
        ] {
            let error = Settings::parse(Some(&format!("[outgoing]\n{line}"))).unwrap_err();

            assert!(error.to_string().contains(wanted), "{error}");
        }
    }

    #[test]
    fn a_setting_that_does_not_exist_is_named() {
        let error = Settings::parse(Some("[writer]\nbatches = 7")).unwrap_err();

        assert!(error.to_string().contains("batches"), "{error}");
    }
}
