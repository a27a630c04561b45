//! Owns the content type `duologue.poll`: a question, and what can be chosen.
//!
//! ```json
//! {"question": "Where do we meet?", "options": ["At the pier", "At the kiosk"], "multiple": false}
//! ```
//!
//! The schema asks for a question of at most 200 characters and 2 to 10 options of at most 100;
//! `multiple` may be left out. The plugin stores them without spaces around them, refuses options
//! that are the same but for case and spaces, and shows `Poll: …` in lists.
//! It has no configuration.

mod plugin;
pub mod poll;
