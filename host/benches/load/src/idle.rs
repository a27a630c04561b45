use std::{
    cell::{Cell, RefCell},
    net::Ipv4Addr,
    rc::Rc,
    time::{Duration, Instant},
};

use clap::Args;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{task::spawn_local, time::timeout_at};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    latency::{Errors, Latency, rounded},
    processes::Snapshot,
    socket::{self, Packet, Socket},
    target::Target,
};

#[derive(Args, Clone, Copy)]
pub struct Options {
    #[arg(long, default_value_t = 1000)]
    sockets: usize,
    /// Orgs over which they are spread
    #[arg(long, default_value_t = 100)]
    orgs: usize,
    /// How long they stay before memory is looked at
    #[arg(long, default_value_t = 5.0)]
    hold: f64,
    /// Drops all of them afterwards, and connects all again
    #[arg(long)]
    storm: bool,
}

pub async fn run(target: Target, options: Options) -> Value {
    let before = Snapshot::take(&target.pids);
    let arrivals = connect_all(&target, options.sockets, options.orgs, Wave::First).await;
    let connected = Snapshot::take(&target.pids);
    let mut seen = arrivals.json(&connected, &before);
    let count = arrivals.sockets.len();
    let kept = keep(arrivals.sockets, Duration::from_secs_f64(options.hold)).await;
    seen["closedWhileIdle"] = json!(count - kept.len());
    seen["residentMib"] = json!({
        "before": before.resident_mib(),
        "after": Snapshot::take(&target.pids).resident_mib(),
    });
    if options.storm {
        let dropped = kept.len();
        // All at once and without a word.
        drop(kept);
        let before = Snapshot::take(&target.pids);
        let arrivals = connect_all(&target, dropped, options.orgs, Wave::Storm).await;
        let after = Snapshot::take(&target.pids);
        seen["storm"] = arrivals.json(&after, &before);
        seen["storm"]["dropped"] = json!(dropped);
        let kept = keep(arrivals.sockets, Duration::from_secs_f64(options.hold)).await;
        seen["storm"]["stayed"] = json!(kept.len());
        seen["storm"]["residentMib"] = Snapshot::take(&target.pids).resident_mib();
    }
    seen
}

#[derive(Clone, Copy)]
enum Wave {
    First,
    Storm,
}

impl Wave {
    /// How many connect at a time.
    fn at_once(self) -> usize {
        match self {
            Self::First => 64,
            Self::Storm => 256,
        }
    }

    /// Where the socket of that number comes from: of this run and wave alone, because ports stay taken
    /// for a minute, and the search for one among many would count as the server's time.
    fn source(self, number: usize) -> Ipv4Addr {
        let run = u8::try_from(std::process::id() % 120).expect("it is below 120");
        let part = u8::try_from(number / 20_000).unwrap_or(u8::MAX - 1);
        Ipv4Addr::new(127, 2 + 2 * run + u8::from(matches!(self, Self::Storm)), 1, 1 + part)
    }
}

struct Arrivals {
    sockets: Vec<Socket>,
    latency: Latency,
    errors: Errors,
    secs: f64,
}

impl Arrivals {
    fn json(&self, after: &Snapshot, before: &Snapshot) -> Value {
        let count = self.sockets.len();
        json!({
            "connected": count,
            "perSecond": rounded(count as f64 / self.secs),
            "latency": self.latency.json(),
            "errors": self.errors.json(),
            "cpu": after.used_since(before, count as u64),
        })
    }
}

/// Connects so many, a few at a time.
async fn connect_all(target: &Target, sockets: usize, orgs: usize, wave: Wave) -> Arrivals {
    let began = Instant::now();
    let next = Rc::new(Cell::new(0));
    let arrived = Rc::new(RefCell::new(Arrivals {
        sockets: Vec::with_capacity(sockets),
        latency: Latency::default(),
        errors: Errors::default(),
        secs: 0.0,
    }));
    let connecting: Vec<_> = (0..wave.at_once())
        .map(|_| {
            let (target, next, arrived) = (target.clone(), Rc::clone(&next), Rc::clone(&arrived));
            spawn_local(async move {
                while next.get() < sockets {
                    let number = next.replace(next.get() + 1);
                    connect_one(&target, number, orgs, wave, &arrived).await;
                }
            })
        })
        .collect();
    for task in connecting {
        let _ = task.await;
    }
    let mut arrived = Rc::into_inner(arrived).expect("the tasks are over").into_inner();
    arrived.secs = began.elapsed().as_secs_f64();
    arrived
}

async fn connect_one(
    target: &Target,
    number: usize,
    orgs: usize,
    wave: Wave,
    arrived: &RefCell<Arrivals>,
) {
    let org = format!("{}-{}", target.org, number % orgs);
    let auth = target.auth(&format!("i{number}@load.test"), &org);
    let began = Instant::now();
    let socket = socket::connect(&target.address, wave.source(number), &auth).await;
    let mut arrived = arrived.borrow_mut();
    match socket {
        Ok(socket) => {
            arrived.latency.add(began.elapsed());
            arrived.sockets.push(socket);
        }
        Err(error) => arrived.errors.add(error),
    }
}

/// Answers pings for so long; answers the sockets that are still open.
async fn keep(sockets: Vec<Socket>, time: Duration) -> Vec<Socket> {
    let end = tokio::time::Instant::now() + time;
    let keeping: Vec<_> =
        sockets.into_iter().map(|socket| spawn_local(keep_one(socket, end))).collect();
    let mut kept = Vec::with_capacity(keeping.len());
    for task in keeping {
        kept.extend(task.await.ok().flatten());
    }
    kept
}

async fn keep_one(mut socket: Socket, end: tokio::time::Instant) -> Option<Socket> {
    loop {
        match timeout_at(end, socket.next()).await {
            Err(_) => return Some(socket),
            Ok(Some(Ok(Message::Text(text)))) => {
                if matches!(socket::parse(&text), Packet::Ping) {
                    socket::pong(&mut socket).await.ok()?;
                }
            }
            Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return None,
            Ok(Some(Ok(_))) => {}
        }
    }
}
