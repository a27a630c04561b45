//! Masks, rejects, holds, shadows or labels messages that hold one of an org's words.
//!
//! | key of the configuration | means |
//! | --- | --- |
//! | `words` | the words, separated by commas or line breaks; none: everything passes |
//! | `mode` | `mask` (default): letters become `*`; `reject`: the message is refused; `hold`: it waits for a review; `shadow`: only its sender sees it; `label`: it is noted |
//! | `message` | what the sender is told when a message is refused |
//!
//! It looks at all text that a recipient may see: the content, the names of attachments and
//! the values of metadata, in new messages and in edits.

pub mod config;
pub mod filter;
mod plugin;
pub mod words;
