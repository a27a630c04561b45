use std::{rc::Rc, time::Instant};

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{
    http::Http,
    seed::email,
    target::{MESSAGES, Target},
    workers::{self, Run},
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

pub async fn run(target: Target, options: Options) -> Result<Value, String> {
    let client = |number, run| read(target.clone(), options.clone(), number, run);
    Ok(workers::run(&target, options.clients, client).await)
}

async fn read(target: Target, options: Options, number: usize, run: Rc<Run>) {
    let requests = requests(&target, &options);
    // Not all at the same place.
    let mut requests = requests.iter().cycle().skip(number * 17);
    let mut connection = None;
    while !run.is_over()
        && let Some((headers, path)) = requests.next()
    {
        let http = match &mut connection {
            Some(http) => http,
            None => match Http::connect(&target.address).await {
                Ok(http) => connection.insert(http),
                Err(error) => {
                    run.failed(format!("connect: {error}")).await;
                    continue;
                }
            },
        };
        let began = Instant::now();
        match http.get(path, headers).await {
            Ok(200) => run.succeeded(began),
            Ok(status) => run.failed(format!("status {status}")).await,
            Err(error) => {
                connection = None;
                run.failed(error.to_string()).await;
            }
        }
    }
}

/// The headers and the path of each.
fn requests(target: &Target, options: &Options) -> Vec<(String, String)> {
    let path = |peer: &str| match options.what {
        What::Threads => format!("{MESSAGES}/threads?limit=50"),
        What::History => format!("{MESSAGES}/thread/{}?limit=50", peer.replace('@', "%40")),
        What::Unread => format!("{MESSAGES}/unread-count"),
    };
    if let Some(reader) = &options.reader {
        return vec![(target.headers(reader), path(&options.peer))];
    }
    let headers: Vec<String> =
        (0..options.users).map(|user| target.headers(&email(user))).collect();
    let threads =
        (0..options.peers).flat_map(|peer| (0..options.users).map(move |user| (user, peer)));
    let request = |(user, peer): (usize, usize)| {
        (headers[user].clone(), path(&email((user + 1 + peer) % options.users)))
    };
    threads.map(request).collect()
}
