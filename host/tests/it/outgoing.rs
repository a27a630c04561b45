//! Requests of plugins: to a real server over TLS, by names that the tests resolve.

mod addresses;
mod admission;
mod exchange;
pub mod support;
