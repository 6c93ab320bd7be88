//! Telling how far bringing up is.

use crate::Events;
use harness_model::run_event::RunEvent;
use std::future::Future;
use std::time::Instant;

/// Tells of the parts of bringing an environment up.
#[derive(Clone)]
pub(crate) struct Phases {
    events: Events,
}

impl Phases {
    /// Tells `events`.
    pub(crate) fn new(events: Events) -> Self {
        Self { events }
    }

    /// One part, from its start to its end. A part that fails has no end.
    pub(crate) async fn part<T, E>(
        &self,
        phase: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let started = Instant::now();
        self.tell(RunEvent::PhaseStarted {
            phase: phase.to_owned(),
        });
        let outcome = work.await?;
        self.tell(RunEvent::PhaseFinished {
            phase: phase.to_owned(),
            millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        Ok(outcome)
    }

    /// A function that takes lines about one part.
    pub(crate) fn lines(&self, phase: &'static str) -> impl Fn(String) + Send + Sync + 'static {
        let phases = self.clone();
        move |message| {
            phases.tell(RunEvent::PhaseProgress {
                phase: phase.to_owned(),
                message,
            });
        }
    }

    fn tell(&self, event: RunEvent) {
        // Nobody listening is no reason to stop.
        let _ = self.events.send(event);
    }
}
