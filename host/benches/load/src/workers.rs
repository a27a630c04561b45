//! Clients that each send one request after another, as fast as they are answered.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    task::{JoinHandle, spawn_local},
    time::{sleep, timeout},
};

use crate::{
    http::{Http, Request},
    latency::{Errors, Latency, rounded},
    processes::Snapshot,
    target::Target,
};

/// What all clients of a run share.
#[derive(Default)]
struct Run {
    latency: RefCell<Latency>,
    errors: RefCell<Errors>,
    is_measured: Cell<bool>,
    is_over: Cell<bool>,
}

/// Runs so many clients over the warm-up and the time that is measured; each sends its requests in
/// turn, from the first one again after the last.
pub async fn run(
    target: &Target,
    clients: usize,
    requests: impl Fn(usize) -> Vec<Request>,
) -> Value {
    let run = Rc::new(Run::default());
    let clients: Vec<JoinHandle<()>> = (0..clients)
        .map(|number| {
            spawn_local(client(target.address.clone(), requests(number), Rc::clone(&run)))
        })
        .collect();
    sleep(target.warm_up()).await;
    let before = Snapshot::take(&target.pids);
    run.is_measured.set(true);
    sleep(target.measured()).await;
    run.is_measured.set(false);
    let after = Snapshot::take(&target.pids);
    run.is_over.set(true);
    for client in clients {
        let _ = timeout(Duration::from_secs(10), client).await;
    }
    let latency = run.latency.borrow();
    json!({
        "perSecond": rounded(latency.count() as f64 / after.secs_since(&before)),
        "latency": latency.json(),
        "errors": run.errors.borrow().json(),
        "cpu": after.used_since(&before, latency.count()),
    })
}

async fn client(address: String, requests: Vec<Request>, run: Rc<Run>) {
    let mut requests = requests.iter().cycle();
    let mut connection = None;
    while !run.is_over.get()
        && let Some(request) = requests.next()
    {
        if let Err(error) = ask(&address, &mut connection, request, &run).await {
            run.errors.borrow_mut().add(error);
            // A server that is down is not asked without end.
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn ask(
    address: &str,
    connection: &mut Option<Http>,
    request: &Request,
    run: &Run,
) -> Result<(), String> {
    let http = match connection {
        Some(http) => http,
        None => connection
            .insert(Http::connect(address).await.map_err(|error| format!("connect: {error}"))?),
    };
    let began = Instant::now();
    match http.send(request).await {
        Ok(200..300) => {
            if run.is_measured.get() {
                run.latency.borrow_mut().add(began.elapsed());
            }
            Ok(())
        }
        Ok(status) => Err(format!("status {status}")),
        Err(error) => {
            *connection = None;
            Err(error.to_string())
        }
    }
}
