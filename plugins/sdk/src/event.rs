//! The words of the hook `on-event`.

pub use crate::bindings::on_event::exports::duologue::plugin::on_event::{
    Deletion, Event, Holding, Kind, Reading, Rejection, What,
};
