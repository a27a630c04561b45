//! WASI 0.2, inert: what the runtimes of JavaScript and Python need to start, with nothing behind
//! it. No files, no network, no environment; clocks that stand at the call's time; randomness of
//! the call's own; what is printed goes to the plugin's log.

use std::time::Duration;

use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::{
    HostWallClock, WasiCtx, WasiCtxView, WasiView, async_trait,
    p2::{
        DynPollable, Pollable, add_to_linker_async, bindings::clocks::monotonic_clock, subscribe,
    },
};

use super::{
    Limits,
    printed::{Printed, Taken},
    store::Guest,
};

/// The packages of which a guest may import what the linker has. Not among them is `wasi:http`:
/// guests get no HTTP but our own.
const PACKAGES: &[&str] = &["cli", "clocks", "filesystem", "io", "random", "sockets"];

/// Streams, pollables and errors that a guest holds at once.
const MAX_RESOURCES: usize = 256;

/// What all randomness of one call comes from.
pub(super) type Seed = [u8; 32];

/// Whether an import is one that every guest may have, because nothing is behind it.
pub(super) fn is_inert(import: &str) -> bool {
    let Some((package, rest)) = import.strip_prefix("wasi:").and_then(|name| name.split_once('/'))
    else {
        return false;
    };
    let patch = rest.split_once("@0.2.").map(|(_, patch)| patch);
    PACKAGES.contains(&package) && patch.is_some_and(|patch| patch.parse::<u32>().is_ok())
}

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    add_to_linker_async(linker)?;
    // With the crate's own clock a guest would sleep, and keep its place among the instances.
    linker.allow_shadowing(true);
    monotonic_clock::add_to_linker::<_, HasSelf<_>>(linker, |guest| guest)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// What a guest finds behind WASI in one call. Made when it first looks: most never do.
pub(super) struct Runtime {
    limits: Limits,
    /// Since 1970 UTC.
    now: Duration,
    /// Drawn when it is first needed. The same seed gives a guest the same randomness again.
    seed: Option<Seed>,
    world: Option<Box<World>>,
}

struct World {
    wasi: WasiCtx,
    resources: ResourceTable,
    printed: Printed,
}

impl Runtime {
    pub(super) fn new(now_ms: u64, limits: &Limits) -> Self {
        let now = Duration::from_millis(now_ms);
        Self { limits: limits.clone(), now, seed: None, world: None }
    }

    /// What its randomness came from; `None`: nobody has looked.
    pub(super) fn seed(&self) -> Option<&Seed> {
        self.seed.as_ref()
    }

    /// Gives it the randomness of another call; comes before anybody looks.
    pub(super) fn reseed(&mut self, seed: Seed) {
        self.seed = Some(seed);
    }

    /// The whole lines that were printed since the last look.
    pub(super) fn take_printed(&self) -> Taken {
        self.world.as_ref().map_or_else(Taken::default, |world| world.printed.take())
    }

    /// The same at the end of the call, with what ends without a line break.
    pub(super) fn take_all_printed(&self) -> Taken {
        self.world.as_ref().map_or_else(Taken::default, |world| world.printed.take_all())
    }

    fn world(&mut self) -> &mut World {
        let seed = *self.seed.get_or_insert_with(draw);
        self.world.get_or_insert_with(|| Box::new(World::new(self.now, &seed, &self.limits)))
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.now.as_nanos()).unwrap_or(u64::MAX)
    }
}

fn draw() -> Seed {
    let mut seed = Seed::default();
    getrandom::fill(&mut seed).expect("the system has had randomness since this process started");
    seed
}

impl World {
    fn new(now: Duration, seed: &Seed, limits: &Limits) -> Self {
        let printed = Printed::new(limits);
        let random = ChaCha20Rng::from_seed(*seed);
        let mut insecure = ChaCha20Rng::from_seed(*seed);
        insecure.set_stream(1);
        let insecure_seed = u128::from(insecure.next_u64()) << 64 | u128::from(insecure.next_u64());

        // What is not named here is empty: stdin, arguments, environment, directories.
        let wasi = WasiCtx::builder()
            .stdout(printed.stdout())
            .stderr(printed.stderr())
            .wall_clock(StandingClock(now))
            .secure_random(random)
            .insecure_random(insecure)
            .insecure_random_seed(insecure_seed)
            .max_random_size(limits.handed_over_bytes as u64)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(MAX_RESOURCES);
        Self { wasi, resources, printed }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let world = self.runtime.world();
        WasiCtxView { ctx: &mut world.wasi, table: &mut world.resources }
    }
}

struct StandingClock(Duration);

impl HostWallClock for StandingClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

/// This clock stands as well, so whoever waits for a time has it at once.
impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.runtime.monotonic_ns())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1_000_000)
    }

    fn subscribe_instant(&mut self, _when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe_duration(0)
    }

    fn subscribe_duration(&mut self, _: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let resources = &mut self.runtime.world().resources;
        let come = resources.push(Come)?;
        subscribe(resources, come)
    }
}

/// A time that has come.
struct Come;

#[async_trait]
impl Pollable for Come {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

    use super::*;

    #[test]
    fn only_what_is_inert_is_free_to_import() {
        for inert in ["wasi:io/streams@0.2.0", "wasi:cli/exit@0.2.12", "wasi:sockets/tcp@0.2.3"] {
            assert!(is_inert(inert), "{inert}");
        }
        for other in [
            "wasi:http/outgoing-handler@0.2.3",
            "wasi:io/streams@0.3.0",
            "wasi:io/streams@0.2.0-rc-2023-11-10",
            "wasi:io/streams",
            "wasi:keyvalue/store@0.2.0",
            "mine:io/streams@0.2.0",
            "wasi:io",
        ] {
            assert!(!is_inert(other), "{other}");
        }
    }

    #[test]
    fn randomness_follows_from_the_seed_and_differs_between_calls() {
        let drawn = |seed| {
            let mut runtime = Runtime { seed, ..Runtime::new(0, &Limits::default()) };
            let source = runtime.world().wasi.random();
            let secure = random::Host::get_random_bytes(source, 32).unwrap();
            let insecure = insecure::Host::get_insecure_random_bytes(source, 32).unwrap();
            (secure, insecure, insecure_seed::Host::insecure_seed(source).unwrap())
        };

        let first = drawn(Some([1; 32]));

        assert_eq!(first, drawn(Some([1; 32])));
        for other in [drawn(Some([2; 32])), drawn(None), drawn(None)] {
            assert!(first.0 != other.0 && first.1 != other.1 && first.2 != other.2);
        }
        assert_ne!(first.0, first.1);
        assert_ne!(drawn(None), drawn(None));
    }
}
