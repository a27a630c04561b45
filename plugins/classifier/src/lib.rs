//! Asks a classifier elsewhere what it makes of a text, and holds the message on doubt.
//!
//! | key of the configuration | means |
//! | --- | --- |
//! | `url` | where the classifier is, such as `https://api.example.com/classify`; required |
//! | `secret` | the name of the secret that is sent to it as `Authorization: Bearer …`; default `classifier`; `none`: nothing is |
//! | `label-at`, `hold-at`, `reject-at` | scores from 0 to 1 from which on a message is labelled, held or refused, or `never`; default 0.5, 0.8 and `never` |
//! | `timeout-ms` | how long to wait for the answer; default 1000 |
//! | `message` | what the sender is told when a message is refused |
//!
//! It posts `{"text": "…"}`: the content, the names of attachments and the values of metadata,
//! line by line. It expects 200 and `{"score": 0.93, "label": "spam"}`; `label` may be left out.
//! Everything else is doubt: no answer in time, another status, another score.

mod answer;
mod config;
mod plugin;
