//! Lets links pass only where they lead to domains that an org has listed.
//!
//! | key of the configuration | means |
//! | --- | --- |
//! | `allow` | domains, separated by commas, spaces or line breaks; `*.example.com` is every name below `example.com`, but not that itself; none: no link passes |
//! | `mode` | `reject` (default): the message is refused; `hold`: it waits for a review; `label`: it passes with the label `links` |
//! | `message` | what the sender is told when a message is refused |
//! | `endings` | which names without scheme and path (`evil.com`) count as links: by their last part; default [`config::ENDINGS`], `none` for none |
//!
//! It looks at the content, the names of attachments, the values of metadata and the hosts that
//! attachments lie on, in new messages and in edits.

mod config;
mod links;
mod names;
mod plugin;
mod punycode;
