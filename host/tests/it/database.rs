//! The schema, the writer's batch and the statements beside it, on a real Postgres.

mod batch;
mod deleting;
mod directory;
mod kv;
mod positions;
mod pruning;
mod secrets;
mod stress;
mod support;
mod visibility;
mod writer;
