//! One clock for all histories of a run.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the start of the run, monotonic. Times that probes tell (wall clock of their machine,
/// which on a cluster elsewhere may differ from ours) are translated by how long ago they were when we translate them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    began_ms: i64,
}

impl Clock {
    /// Counts from `start`.
    pub(crate) fn new(start: Instant) -> Self {
        let began = wall().saturating_sub(nanos(start.elapsed()));
        Self {
            start,
            began_ms: i64::try_from(began / 1_000_000).unwrap_or(i64::MAX),
        }
    }

    /// When it began, in milliseconds since the Unix epoch. Always the same: what is translated by it does not differ from
    /// one reading to the next.
    pub(crate) fn began_ms(self) -> i64 {
        self.began_ms
    }

    /// Now.
    pub(crate) fn now_ns(self) -> u64 {
        nanos(self.start.elapsed())
    }

    /// A wall-clock time, nanoseconds since the Unix epoch, on this clock.
    pub(crate) fn of_epoch_ns(self, epoch_ns: u64) -> u64 {
        (self.now_ns() + epoch_ns).saturating_sub(wall())
    }
}

/// The time of day, nanoseconds since the Unix epoch.
fn wall() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, nanos)
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

    #[test]
    fn both_translations_agree_on_when_the_run_began() {
        let earlier = Instant::now();
        let clock = Clock::new(earlier);
        let began_ns = u64::try_from(clock.began_ms()).expect("after 1970") * 1_000_000;
        // A millisecond is lost to rounding; what a test machine takes between two looks is no second.
        assert!(clock.of_epoch_ns(began_ns) < 1_000_000_000);
        let later_ns = began_ns + 5_000_000_000;
        let at = clock.of_epoch_ns(later_ns);
        assert!((4_000_000_000..=6_000_000_000).contains(&at), "{at}");
    }
}
