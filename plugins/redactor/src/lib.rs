//! Masks personal data: card numbers, bank accounts, phone numbers and, if wanted, e-mail addresses.
//!
//! | key of the configuration | means |
//! | --- | --- |
//! | `kinds` | what to look for, separated by commas: `cards`, `ibans`, `phones`, `emails`; default `cards, ibans, phones` |
//! | `mode` | `mask` (default): letters and digits become `*`, but for a card's last four; `reject`: the message is refused; `label`: it passes with a label for each kind |
//! | `message` | what the sender is told when a message is refused |
//! | `national` | how phone numbers without `+` are written, separated by commas; `#` is a digit, `N` one from 2 to 9, all else stands for itself; default [`config::NATIONAL`], `none` for none |
//!
//! It looks at the content, the names of attachments and the values of metadata, in new messages
//! and in edits. It would rather miss a number than mask an order's: a card must satisfy its check
//! digit and the lengths of its issuers, an account its own check, and a phone number a pattern.

mod cards;
mod config;
mod emails;
mod ibans;
mod letters;
mod phones;
mod plugin;
mod redact;
