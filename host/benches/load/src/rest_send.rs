use std::{rc::Rc, time::Instant};

use clap::Args;
use serde_json::Value;

use crate::{
    http::Http,
    target::{MESSAGES, Target, message, text},
    workers::{self, Run},
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

pub async fn run(target: Target, options: Options) -> Result<Value, String> {
    let client = |number, run| send(target.clone(), options, number, run);
    Ok(workers::run(&target, options.clients, client).await)
}

async fn send(
    target: Target,
    Options { clients, users, size }: Options,
    number: usize,
    run: Rc<Run>,
) {
    // Each client speaks for its share of the people.
    let requests: Vec<(String, Vec<u8>)> = (number % users..users)
        .step_by(clients.max(users.min(clients)))
        .map(|sender| {
            let body = message(&email((sender + 1) % users), &text(size));
            (target.headers(&email(sender)), body.to_string().into_bytes())
        })
        .collect();
    let mut requests = requests.iter().cycle();
    let mut connection = None;
    while !run.is_over()
        && let Some((headers, body)) = requests.next()
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
        match http.post(MESSAGES, headers, body).await {
            Ok(200..300) => run.succeeded(began),
            Ok(status) => run.failed(format!("status {status}")).await,
            Err(error) => {
                connection = None;
                run.failed(error.to_string()).await;
            }
        }
    }
}

fn email(user: usize) -> String {
    format!("u{user}@load.test")
}
