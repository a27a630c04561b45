//! Duologue: one-to-one messages for many orgs, each shaped by its own plugins.
//! `ARCHITECTURE.md` beside the sources draws the modules.

pub mod app;
pub mod auth;
pub mod cli;
pub mod db;
pub mod domain;
pub mod embedded;
pub mod error;
pub mod events;
pub mod http;
pub mod plugin;
pub mod service;
pub mod settings;
pub mod socket;
pub mod wire;

pub use error::{Error, Result};
