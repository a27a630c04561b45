use std::time::Duration;

use super::catalog::Hook;

/// What guests and the compiling of them may use. Each field is a setting of the server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long one call may take, waiting included. Default 100 ms.
    pub call_timeout: Duration,
    /// How long a guest may compute in one call, in steps of 5 ms. Default 50 ms.
    pub call_cpu: Duration,
    /// How long all plugins of an org together may take over one message. Default 250 ms.
    pub chain_timeout: Duration,
    /// The same two where a plugin may make requests of other servers: for its call, and for a
    /// message that it judges. Default 1.5 s and 2 s.
    pub http_call_timeout: Duration,
    pub http_chain_timeout: Duration,
    /// How long a call may take that tells a plugin of an event. Default 2 s.
    pub event_timeout: Duration,
    /// How long one plugin may take over how somebody is told of a message, waiting included: no
    /// message waits for it. Default 1.5 s.
    pub notify_timeout: Duration,
    /// All linear memories of an instance together. Default 64 MiB.
    pub memory_bytes: usize,
    /// All tables of an instance together. Default 20 000.
    pub table_elements: usize,
    /// What a guest may hand over at a time: an answer, or the arguments of an import. Default 1 MiB.
    pub handed_over_bytes: usize,
    /// Lines that a guest may log in one call; more are dropped and counted. Default 64.
    pub log_lines: usize,
    /// Where a logged line is cut. Default 2 KiB.
    pub log_line_bytes: usize,
    /// Lines of a plugin that are kept for its admins, and the bytes that they may have. Default
    /// 1000 and 256 KiB.
    pub log_kept_lines: usize,
    pub log_kept_bytes: usize,
    /// What a guest may ask of the server in one call, `log` and `config` aside. Default 32.
    pub host_calls: u32,
    /// Opened secrets that a guest holds at once. Default 16.
    pub open_secrets: usize,
    /// What a receipt keeps of all that a guest asks in one call, and is told. Default 64 KiB.
    pub tape_bytes: usize,
    /// When a plugin that fails is spared.
    pub breaker: BreakerLimits,
    /// Calls at once, over all orgs. Default 100.
    pub instances: u32,
    /// Calls at once of one org. Default 8.
    pub instances_per_org: usize,
    /// How long a message waits for one of those. Default 100 ms.
    pub wait_for_instance: Duration,
    /// The largest component. Default 32 MiB.
    pub upload_bytes: usize,
    /// How long compiling one may take. Default 120 s.
    pub compile_wall: Duration,
    /// How much processor time it may take. Default 60 s.
    pub compile_cpu_seconds: u64,
    /// How much address space it may take (`RLIMIT_AS`). Default 4 GiB.
    pub compile_memory_bytes: u64,
}

impl Limits {
    /// How long one call may take; `uses_http`: of a plugin that may send requests.
    pub(super) fn patience(&self, hook: Hook, uses_http: bool) -> Duration {
        match hook {
            Hook::OnEvent => self.event_timeout,
            Hook::OnNotify => self.notify_timeout,
            _ if uses_http => self.http_call_timeout,
            _ => self.call_timeout,
        }
    }
}

/// When a plugin that fails again and again is no longer asked.
#[derive(Clone, Debug)]
pub struct BreakerLimits {
    /// How many senders must have met a fault. Default 5.
    pub senders: usize,
    /// How many of them it takes for the previous version to take over, where an admin chose
    /// that. Default 5.
    pub rollback_senders: usize,
    /// Within what time. Default 30 s.
    pub window: Duration,
    /// How many of the calls of that time must be faults, in per cent. Default 50.
    pub percent: u64,
    /// How long it is not asked at first, and at most. Default 10 s and 5 min.
    pub pause: Duration,
    pub max_pause: Duration,
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self {
            senders: 5,
            rollback_senders: 5,
            window: Duration::from_secs(30),
            percent: 50,
            pause: Duration::from_secs(10),
            max_pause: Duration::from_mins(5),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_millis(100),
            call_cpu: Duration::from_millis(50),
            chain_timeout: Duration::from_millis(250),
            http_call_timeout: Duration::from_millis(1500),
            http_chain_timeout: Duration::from_secs(2),
            event_timeout: Duration::from_secs(2),
            notify_timeout: Duration::from_millis(1500),
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            handed_over_bytes: 1 << 20,
            log_lines: 64,
            log_line_bytes: 2 << 10,
            log_kept_lines: 1000,
            log_kept_bytes: 256 << 10,
            host_calls: 32,
            open_secrets: 16,
            tape_bytes: 64 << 10,
            breaker: BreakerLimits::default(),
            instances: 100,
            instances_per_org: 8,
            wait_for_instance: Duration::from_millis(100),
            upload_bytes: 32 << 20,
            compile_wall: Duration::from_mins(2),
            compile_cpu_seconds: 60,
            compile_memory_bytes: 4 << 30,
        }
    }
}
