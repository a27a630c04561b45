//! The schema, the writer's batch and the statements beside it, on a real Postgres.

mod batch;
mod connections;
mod deleting;
mod directory;
mod due;
mod fates;
mod history;
mod kv;
mod notifying;
mod overlay;
mod positions;
mod pruning;
mod reviewing;
mod scene;
mod secrets;
mod stress;
pub mod support;
mod visibility;
mod writer;
