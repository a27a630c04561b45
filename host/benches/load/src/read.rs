use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{
    http::Request,
    seed::email,
    target::{MESSAGES, Target},
    workers,
};

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// The newest 50 threads
    Threads,
    /// The newest 50 messages of a thread
    History,
    /// The badge
    Unread,
}

#[derive(Args, Clone)]
pub struct Options {
    #[arg(long)]
    what: What,
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// As `seed` had it
    #[arg(long, default_value_t = 50)]
    users: usize,
    /// As `seed` had it
    #[arg(long, default_value_t = 20)]
    peers: usize,
    /// Whose messages to read; those that `seed` stored where nobody is named
    #[arg(long)]
    reader: Option<String>,
    /// With whom the reader's thread is
    #[arg(long, default_value = "")]
    peer: String,
}

pub async fn run(target: Target, options: Options) -> Value {
    let requests = |client: usize| {
        let mut requests = requests(&target, &options);
        // Not all at the same place.
        let start = client * 17 % requests.len();
        requests.rotate_left(start);
        requests
    };
    workers::run(&target, options.clients, requests).await
}

fn requests(target: &Target, options: &Options) -> Vec<Request> {
    let path = |peer: &str| match options.what {
        What::Threads => format!("{MESSAGES}/threads?limit=50"),
        What::History => format!("{MESSAGES}/thread/{}?limit=50", peer.replace('@', "%40")),
        What::Unread => format!("{MESSAGES}/unread-count"),
    };
    if let Some(reader) = &options.reader {
        return vec![Request::get(&path(&options.peer), &target.headers(reader))];
    }
    let headers: Vec<String> =
        (0..options.users).map(|user| target.headers(&email(user))).collect();
    let threads =
        (0..options.peers).flat_map(|peer| (0..options.users).map(move |user| (user, peer)));
    let request = |(user, peer): (usize, usize)| {
        Request::get(&path(&email((user + 1 + peer) % options.users)), &headers[user])
    };
    threads.map(request).collect()
}
