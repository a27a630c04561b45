use clap::Args;
use serde_json::Value;

use crate::{
    http::Request,
    target::{MESSAGES, Target, message, text},
    workers,
};

#[derive(Args, Clone, Copy)]
pub struct Options {
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// People, each of whom writes to the next one
    #[arg(long, default_value_t = 200)]
    users: usize,
    /// Bytes of a message
    #[arg(long, default_value_t = 100)]
    size: usize,
}

pub async fn run(target: Target, Options { clients, users, size }: Options) -> Value {
    // Each client speaks for its share of the people.
    let requests = |client: usize| {
        let senders = (client % users..users).step_by(clients);
        let request = |sender| {
            let body = message(&email((sender + 1) % users), &text(size)).to_string();
            Request::post(MESSAGES, &target.headers(&email(sender)), &body)
        };
        senders.map(request).collect()
    };
    workers::run(&target, clients, requests).await
}

fn email(user: usize) -> String {
    format!("u{user}@load.test")
}
