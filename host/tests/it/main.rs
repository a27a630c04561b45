//! Tests through the crate's own doors: plugins, the supervised Postgres, the layout.
#![expect(clippy::unwrap_used, reason = "a failed step should fail the test")]
#![expect(unreachable_pub, reason = "nothing outside uses a test crate")]

mod architecture;
mod database;
mod embedded;
mod guests;
mod outgoing;
mod plugins;
mod wit;
