//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// The longest first pause.
const FIRST: Duration = Duration::from_millis(100);
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses of random length whose bound doubles from 100 ms to 5 s. The whole length is random ("full jitter"), so that
/// the agents of many nodes do not come back to an authority all at once.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Begins anew, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Waits after one more failure; no longer than `most`, where somebody waits who cannot wait for long.
    #[expect(
        clippy::disallowed_methods,
        reason = "the pause is the point: nothing tells that a server is back"
    )]
    pub async fn pause(&mut self, most: Option<Duration>) {
        let bound = self.next_bound();
        let bound = most.map_or(bound, |most| most.min(bound));
        tokio::time::sleep(rand::random_range(Duration::ZERO..=bound)).await;
    }

    fn next_bound(&mut self) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        bound.min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_five_seconds_and_begin_anew() {
        let mut backoff = Backoff::default();
        let bounds: Vec<u128> = (0..8).map(|_| backoff.next_bound().as_millis()).collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.next_bound(), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_within_its_bound_and_as_long_as_chance_has_it() {
        let mut backoff = Backoff::default();
        let mut longest = Vec::new();
        for _ in 0..100 {
            let bound = backoff.clone().next_bound();
            let started = tokio::time::Instant::now();
            backoff.pause(None).await;
            let pause = started.elapsed();
            // Tokio's timers are of whole milliseconds, rounded up.
            assert!(pause <= bound + Duration::from_millis(1));
            if bound == LONGEST {
                longest.push(pause);
            }
        }
        let most = longest.iter().max().expect("some");
        let least = longest.iter().min().expect("some");
        assert!(*most - *least > LONGEST / 2, "{longest:?}");
    }
}
