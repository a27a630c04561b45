//! The supervised Postgres: starts, survives what may happen to it, and leaves nothing behind.

mod crashes;
mod refusals;
mod shared;
mod starts;
mod support;
