//! Waiting for what has no event of its own: looking again and again, within a bound, and saying what was seen last.

use std::time::Duration;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Looks until something is there, and returns it.
///
/// # Panics
///
/// When it is not there within `bound`: with what was seen instead, which a look returns as its error.
pub async fn until<T>(
    what: &str,
    bound: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let mut seen = "nothing".to_owned();
    let looks = async {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match look().await {
                Ok(found) => return found,
                Err(instead) => seen = instead,
            }
        }
    };
    match tokio::time::timeout(bound, looks).await {
        Ok(found) => found,
        Err(_) => panic!("{what}: not within {bound:?}; last seen: {seen}"),
    }
}
