//! Switching something off for a while: it comes on again by itself, or earlier when that is asked for.

use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Off until a time, or on.
#[derive(Clone, Debug)]
pub(super) struct Switch(watch::Sender<Option<Instant>>);

impl Switch {
    /// On.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Off for this time from now on. Nothing happens by it: whoever switches acts.
    pub(super) fn off_for(&self, time: Duration) {
        self.0.send_replace(Some(Instant::now() + time));
    }

    /// On again, now.
    pub(super) fn on(&self) {
        self.0.send_replace(None);
    }

    /// Returns when it is on.
    pub(super) async fn is_on(&self) {
        let mut asked = self.0.subscribe();
        loop {
            let until = *asked.borrow_and_update();
            let Some(until) = until.filter(|until| *until > Instant::now()) else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                // We hold the other end.
                _ = asked.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_off_comes_on_by_itself() {
        let switch = Switch::new();
        switch.is_on().await;
        let begun = Instant::now();
        switch.off_for(Duration::from_secs(3));
        switch.is_on().await;
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_off_comes_on_when_asked() {
        let switch = Switch::new();
        switch.off_for(Duration::from_secs(3000));
        let waiting = tokio::spawn({
            let switch = switch.clone();
            async move { switch.is_on().await }
        });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        switch.on();
        waiting.await.expect("it does not panic");
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
