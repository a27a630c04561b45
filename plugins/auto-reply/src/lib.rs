//! Answers for people who are away: whoever writes to them reads it from the org's bot, once in a
//! while.
//!
//! | key of the configuration | means |
//! | --- | --- |
//! | `for` | e-mails of those who are away, separated by commas; required |
//! | `message` | what the bot says; `{name}` is the name of who is away, or their e-mail; default "{name} is away and will answer later." |
//! | `every-hours` | how often at most one person reads it about another: 1 to 720, default 12 |
//!
//! It needs the grants `messages` and `kv`. The bot's words pass the org's plugins like any other.

pub mod config;
mod plugin;
