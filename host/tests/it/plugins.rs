//! Plugins through the doors of `duologue::plugin`: real guests, and the real compiling child.

mod asking;
mod chain;
mod compile;
mod content;
mod content_life;
mod events;
mod hostile;
mod notify;
mod notifying;
mod platform;
mod receipts;
mod replay;
mod runtimes;
mod stages;
mod staging;
mod support;
mod tryout;
mod verdicts;
mod word_filter;
