//! One clock for all histories of a run.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the start of the run, monotonic. Times that probes tell (wall clock of their machine,
/// which on a cluster elsewhere may differ from ours) are translated by how long ago they were when we translate them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Counts from `start`.
    pub(crate) fn new(start: Instant) -> Self {
        Self { start }
    }

    /// Now.
    pub(crate) fn now_ns(self) -> u64 {
        nanos(self.start.elapsed())
    }

    /// A wall-clock time, nanoseconds since the Unix epoch, on this clock.
    pub(crate) fn of_epoch_ns(self, epoch_ns: u64) -> u64 {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, nanos);
        (self.now_ns() + epoch_ns).saturating_sub(wall)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_the_run_is_its_start() {
        let clock = Clock::new(Instant::now());
        assert_eq!(clock.of_epoch_ns(0), 0);
    }
}
