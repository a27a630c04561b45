//! The settings that Postgres runs with.

use super::Durability;
use super::cluster::Cluster;

/// For every server, all on the command line: it wins over files in the cluster.
const ALWAYS: [(&str, &str); 14] = [
    // The socket only, and in a directory of mode 0700 at that.
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("max_connections", "100"),
    ("shared_buffers", "128MB"),
    // Many small commits: room for their log between two flushes, and less of it.
    ("wal_buffers", "16MB"),
    ("wal_compression", "on"),
    // Short queries on what is today hardly ever a spinning disk.
    ("random_page_cost", "1.1"),
    ("jit", "off"),
    // Workers would need /dev/shm, which is small in containers.
    ("max_parallel_workers_per_gather", "0"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    // The log shows no values of columns and no statements: they hold people's messages.
    ("log_error_verbosity", "terse"),
    ("log_min_error_statement", "panic"),
    ("log_checkpoints", "off"),
];

const DURABLE: [(&str, &str); 3] =
    [("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")];

/// `synchronous_commit` stays on: it costs nothing without fsync, and keeps rows when Postgres
/// is killed.
const NOT_DURABLE: [(&str, &str); 5] = [
    ("fsync", "off"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
];

/// `NAME=VALUE` for each `-c` of the command line; the last of a name wins.
pub(super) fn of(cluster: &Cluster) -> Vec<String> {
    let durability = match cluster.durability {
        Durability::Full => DURABLE.as_slice(),
        Durability::None => NOT_DURABLE.as_slice(),
    };
    let ours = ALWAYS.iter().chain(durability).map(|(name, value)| format!("{name}={value}"));
    let theirs = cluster.settings.iter().map(|(name, value)| format!("{name}={value}"));
    ours.chain(theirs).collect()
}
