//! The schema, the writer's batch and the statements beside it, on a real Postgres.

mod batch;
mod deleting;
mod due;
mod fates;
mod positions;
mod pruning;
mod reviewing;
mod scene;
mod stress;
pub mod support;
mod visibility;
mod writer;
