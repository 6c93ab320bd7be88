//! How long to wait before a container is started again.

use std::time::Duration;

/// Nothing before the first restart, then `first`, doubled from restart to restart up to thirty times `first`.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    next: Duration,
}

/// The longest wait, in first waits: Kubernetes' 10 s and 5 min.
const CAP: u32 = 30;

/// A container that ran this many first waits is healthy again: Kubernetes' 10 min.
const RESET_AFTER: u32 = 60;

impl Backoff {
    pub(crate) fn new(first: Duration) -> Self {
        Self {
            first,
            next: Duration::ZERO,
        }
    }

    /// The wait after a run that lasted `ran`.
    pub(crate) fn after_run(&mut self, ran: Duration) -> Duration {
        if ran >= self.first * RESET_AFTER {
            self.next = Duration::ZERO;
        }
        let wait = self.next;
        self.next = (self.next * 2).clamp(self.first, self.first * CAP);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_cap_and_starts_over_after_a_long_run() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second * 10);
        let waits: Vec<u64> = (0..8)
            .map(|_| backoff.after_run(second).as_secs())
            .collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.after_run(second * 600), Duration::ZERO);
    }
}
