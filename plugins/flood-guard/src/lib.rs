//! Slows down who sends too much, strangers first, and holds a text that goes to many people.
//!
//! | key of the configuration | means |
//! | --- | --- |
//! | `per-minute`, `per-hour` | messages of one sender; default 30 and 500; 0: no limit |
//! | `strangers-per-minute`, `strangers-per-hour` | of these, messages of a stranger; default 6 and 60; 0: no limit |
//! | `strangers` | who is one, separated by commas: `new` (first seen less than `stranger-days` ago) and `unanswered` (the recipient wrote none of the last 10 messages between them); default both |
//! | `stranger-days` | default 3 |
//! | `copies` | to how many people a sender may write one text before it is held; default 5; 0: to any number |
//! | `copies-minutes`, `copies-letters` | within which time, and how many letters and digits make a text count; default 10 and 20 |
//! | `exempt` | who may send anything, separated by commas: `staff`, `admins`, roles of their token; default `staff`; `none`: nobody |
//! | `message` | what the sender is told when a message is refused |
//!
//! What it counts stays counted where a message is refused. Minutes, hours and spans of
//! `copies-minutes` are those of the clock, so at the turn of one a sender may go on at once. An
//! edit counts as no message, but its text counts as a copy.

mod config;
mod counting;
mod plugin;
mod texts;
