use std::time::Duration;

/// What guests and the compiling of them may use. Each field is a setting of the server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long one call may take, waiting included. Default 100 ms.
    pub call_timeout: Duration,
    /// How long a guest may compute in one call, in steps of 5 ms. Default 50 ms.
    pub call_cpu: Duration,
    /// How long all plugins of an org together may take over one message. Default 250 ms.
    pub chain_timeout: Duration,
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
    /// Calls at once, over all orgs. Default 100.
    pub instances: u32,
    /// Calls at once of one org. Default 8.
    pub instances_per_org: usize,
    /// How long a message waits for one of those. Default 20 ms.
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_millis(100),
            call_cpu: Duration::from_millis(50),
            chain_timeout: Duration::from_millis(250),
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            handed_over_bytes: 1 << 20,
            log_lines: 64,
            log_line_bytes: 2 << 10,
            instances: 100,
            instances_per_org: 8,
            wait_for_instance: Duration::from_millis(20),
            upload_bytes: 32 << 20,
            compile_wall: Duration::from_mins(2),
            compile_cpu_seconds: 60,
            compile_memory_bytes: 4 << 30,
        }
    }
}
