//! The wish to stop: the first asks to stop, heal and take down, the second to leave at once.

use std::sync::Arc;
use tokio::sync::watch;

/// The wish to stop, shared by whoever hears signals and whoever works. Clones are one.
#[derive(Clone, Debug)]
pub struct Interrupt {
    level: Arc<watch::Sender<Level>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Level {
    signal: Option<i32>,
    count: u32,
}

impl Default for Interrupt {
    fn default() -> Self {
        Self::new()
    }
}

impl Interrupt {
    /// Nobody wants to stop yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            level: Arc::new(watch::Sender::new(Level::default())),
        }
    }

    /// Tells that `signal` was received, and returns how many were by now. The first one stops, heals and takes down; every later
    /// one ends at once.
    pub fn raise(&self, signal: i32) -> u32 {
        let mut count = 0;
        self.level.send_modify(|level| {
            level.signal.get_or_insert(signal);
            level.count += 1;
            count = level.count;
        });
        count
    }

    /// The first signal, if one was received.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.level.borrow().signal
    }

    /// Ends when the first signal has been received.
    pub async fn stop(&self) {
        self.reached(1).await;
    }

    /// Ends when the second signal has been received.
    pub async fn at_once(&self) {
        self.reached(2).await;
    }

    async fn reached(&self, count: u32) {
        let mut level = self.level.subscribe();
        // The sender lives as long as `self`, so the wait can only end by the condition.
        if level.wait_for(|level| level.count >= count).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn the_first_signal_stops_and_the_second_ends_at_once() {
        let interrupt = Interrupt::new();
        assert!(interrupt.stop().now_or_never().is_none());
        assert_eq!(interrupt.raise(2), 1);
        assert!(interrupt.stop().now_or_never().is_some());
        assert!(interrupt.at_once().now_or_never().is_none());
        assert_eq!(interrupt.raise(15), 2);
        assert!(interrupt.at_once().now_or_never().is_some());
        assert_eq!(
            interrupt.signal(),
            Some(2),
            "the first one names the exit code"
        );
    }
}
