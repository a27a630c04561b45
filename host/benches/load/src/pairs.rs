//! Pairs of sockets: one sends, the other one receives. Latency is from the send, or from when it
//! was meant to be, to `newMessage` on the peer's socket.

mod pair;
mod sockets;

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::spawn_local,
    time::{sleep, timeout},
};

use self::pair::{Pair, Watch};
use crate::{latency::rounded, processes::Snapshot, target::Target};

/// How long what is still under way at the end may take.
const GRACE: Duration = Duration::from_secs(8);

#[derive(Args, Clone, Copy)]
pub struct Options {
    #[arg(long, default_value_t = 50)]
    pairs: usize,
    /// Messages of a pair under way at a time
    #[arg(long, default_value_t = 1)]
    window: usize,
    /// Messages a second over all pairs, whether or not the server keeps up; in place of a window
    #[arg(long)]
    rate: Option<f64>,
    /// Bytes of a message
    #[arg(long, default_value_t = 100)]
    size: usize,
}

/// A pair, and the way to its sender's socket.
struct Line {
    pair: Rc<Pair>,
    sender: UnboundedSender<usize>,
}

impl Line {
    /// `meant`: when the message was to be sent.
    fn send(&self, meant: Instant) {
        // A sender that is gone has noted why.
        let _ = self.sender.send(self.pair.next(meant));
    }
}

pub async fn run(target: Target, options: Options) -> Result<Value, String> {
    let watch = Rc::new(Watch::default());
    let mut lines = Vec::with_capacity(options.pairs);
    for number in 0..options.pairs {
        let window = if options.rate.is_some() { 0 } else { options.window };
        let pair = Rc::new(Pair::new(number, window));
        let (sender, numbers) = unbounded_channel();
        sockets::receive(&target, &pair, &watch).await?;
        sockets::send(&target, &pair, &watch, (options.size, numbers)).await?;
        lines.push(Rc::new(Line { pair, sender }));
    }
    if options.rate.is_none() {
        for line in &lines {
            spawn_local(keep_full(Rc::clone(line), Rc::clone(&watch)));
        }
    }
    let (before, after, late) = drive(&target, options.rate, &lines, &watch).await;
    let lost = settle(&lines).await;
    let delivered = watch.latency.borrow().count();
    Ok(json!({
        "perSecond": rounded(delivered as f64 / after.secs_since(&before)),
        "latency": watch.latency.borrow().json(),
        "lost": lost,
        "duplicates": watch.duplicates.get(),
        "outOfOrder": watch.out_of_order.get(),
        "foreign": watch.foreign.get(),
        "lateMs": rounded(late.as_secs_f64() * 1000.0),
        "errors": watch.errors.borrow().json(),
        "cpu": after.used_since(&before, delivered),
    }))
}

/// Sends whenever there is room in the pair's window.
async fn keep_full(line: Rc<Line>, watch: Rc<Watch>) {
    while !watch.is_over.get() {
        // A message that is lost must not stop the pair for ever.
        if let Ok(Ok(room)) = timeout(Duration::from_secs(5), line.pair.window.acquire()).await {
            room.forget();
        }
        if !watch.is_over.get() {
            line.send(Instant::now());
        }
    }
}

/// Warms up and measures; answers also how far this program itself fell behind the rate.
async fn drive(
    target: &Target,
    rate: Option<f64>,
    lines: &[Rc<Line>],
    watch: &Watch,
) -> (Snapshot, Snapshot, Duration) {
    let began = Instant::now();
    let mut before = None;
    let (mut sent, mut late) = (0, Duration::ZERO);
    loop {
        if before.is_none() && began.elapsed() >= target.warm_up() {
            before = Some(Snapshot::take(&target.pids));
            watch.measured_from.set(Some(Instant::now()));
        }
        if began.elapsed() >= target.warm_up() + target.measured() {
            break;
        }
        let Some(rate) = rate else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        // What counts is when a message was meant to go, so a stalled server is not forgiven.
        let meant = |number: u32| began + Duration::from_secs_f64(f64::from(number) / rate);
        while meant(sent) <= Instant::now() {
            late = late.max(meant(sent).elapsed());
            lines[sent as usize % lines.len()].send(meant(sent));
            sent += 1;
        }
        sleep(Duration::from_millis(1)).await;
    }
    let after = Snapshot::take(&target.pids);
    watch.measured_to.set(Some(Instant::now()));
    watch.is_over.set(true);
    (before.unwrap_or_else(|| Snapshot::take(&target.pids)), after, late)
}

/// Waits for what is under way; answers how many messages never came.
async fn settle(lines: &[Rc<Line>]) -> usize {
    let began = Instant::now();
    let missing = || lines.iter().map(|line| line.pair.missing()).sum::<usize>();
    while began.elapsed() < GRACE && missing() > 0 {
        sleep(Duration::from_millis(50)).await;
    }
    missing()
}
