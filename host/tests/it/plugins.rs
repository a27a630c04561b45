//! Plugins through the doors of `duologue::plugin`: real guests, and the real compiling child.

mod asking;
mod chain;
mod compile;
mod content;
mod content_life;
mod events;
mod hostile;
mod platform;
mod runtimes;
mod stages;
mod staging;
mod support;
mod verdicts;
mod word_filter;
