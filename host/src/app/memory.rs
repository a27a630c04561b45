//! How the allocator treats memory that nobody uses at the moment.
#![expect(unsafe_code, reason = "the allocator's options are those of a C library")]

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// `mi_option_purge_delay` of `mimalloc.h`, which the crate does not name.
const PURGE_DELAY: mi_option_t = 15;
/// In milliseconds, as in the allocator's next version.
const KEPT_FOR: c_long = 1000;

/// Lets freed memory wait a second before it goes back to the system. With the allocator's own
/// 10 ms a busy server gives away what it takes again at once, a page fault a message.
/// `MIMALLOC_PURGE_DELAY` in the environment goes before.
pub fn keep_freed_memory() {
    // SAFETY: the function checks the option, and writes a number that is read anew at each use.
    unsafe { mi_option_set_default(PURGE_DELAY, KEPT_FOR) }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    #[test]
    fn the_option_is_the_delay() {
        // SAFETY: it reads a number.
        let get = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(get(), 10, "mimalloc's own, unless MIMALLOC_PURGE_DELAY is set");

        keep_freed_memory();

        assert_eq!(get(), KEPT_FOR);
    }
}
