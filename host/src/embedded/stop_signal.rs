//! Ends every wait of the module at once.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Raised once, when the server is to stop; whoever waits for something wakes up.
#[derive(Debug, Default)]
pub(super) struct StopSignal {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl StopSignal {
    pub(super) fn raise(&self) {
        // A poisoned bool is still a bool.
        *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    pub(super) fn is_raised(&self) -> bool {
        self.sleep(Duration::ZERO)
    }

    /// Waits this long, or until the signal is raised; tells whether it is.
    pub(super) fn sleep(&self, time: Duration) -> bool {
        let raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(raised, time, |raised| !*raised);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
