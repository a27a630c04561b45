use std::{cell::Cell, rc::Rc, time::Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::task::spawn_local;

use crate::{
    http::{Http, Request},
    latency::rounded,
    target::{MESSAGES, Target, message, text},
};

const CLIENTS: usize = 16;

#[derive(Args, Clone, Copy)]
pub struct Options {
    #[arg(long, default_value_t = 50)]
    users: usize,
    /// Threads of each, with those who come next
    #[arg(long, default_value_t = 20)]
    peers: usize,
    /// Messages in each thread, there and back
    #[arg(long, default_value_t = 25)]
    messages: usize,
}

pub async fn run(target: Target, options: Options) -> Result<Value, String> {
    let began = Instant::now();
    let total = options.users * options.peers * options.messages;
    let next = Rc::new(Cell::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (target, next) = (target.clone(), Rc::clone(&next));
            spawn_local(async move {
                let mut http = Http::connect(&target.address).await?;
                while next.get() < total {
                    let number = next.replace(next.get() + 1);
                    send(&mut http, &target, options, number).await?;
                }
                Ok::<_, std::io::Error>(())
            })
        })
        .collect();
    for client in clients {
        let sent = client.await.map_err(|error| error.to_string())?;
        sent.map_err(|error| format!("seeding: {error}"))?;
    }
    let secs = began.elapsed().as_secs_f64();
    Ok(json!({ "messages": total, "perSecond": rounded(total as f64 / secs) }))
}

async fn send(
    http: &mut Http,
    target: &Target,
    Options { users, peers, .. }: Options,
    number: usize,
) -> std::io::Result<()> {
    let round = number / (users * peers);
    let one = number % users;
    let other = (one + 1 + number / users % peers) % users;
    let (from, to) = if round.is_multiple_of(2) { (one, other) } else { (other, one) };
    let body = message(&email(to), &text(90)).to_string();
    let request = Request::post(MESSAGES, &target.headers(&email(from)), &body);
    match http.send(&request).await? {
        200..300 => Ok(()),
        status => Err(std::io::Error::other(format!("status {status}"))),
    }
}

/// Of those whose messages `read` reads.
pub fn email(user: usize) -> String {
    format!("q{user}@load.test")
}
