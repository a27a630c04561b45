//! Leaves people alone in their night: notifications wait until the morning of the recipient's own
//! time zone (the claim `zoneinfo` of their token), or come without a sound.
//!
//! | key of the configuration | means |
//! | --- | --- |
//! | `from`, `to` | when it is quiet, such as `22:00` (default) and `07:00` (default) |
//! | `mode` | `delay` (default): told when it is over; `list`: in the list at once, and not told live; `suppress`: nobody is told |
//! | `urgent` | a key of the message's metadata: a message that has it is told at any time; default `urgent`, `none`: no message is |
//! | `unknown-zone` | for whom the zone is not known: `deliver` (default), or `utc`: as if theirs were UTC |
//!
//! The message itself is there at once, whatever the hour.

pub mod config;
mod plugin;
