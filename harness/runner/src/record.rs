//! The history of one scenario while it grows, and what each sidecar was last seen to hold.

use crate::Events;
use crate::clock::Clock;
use harness_model::directory::Sidecar;
use harness_model::history::{Event, EventKind, Observation, Stream};
use harness_model::run_event::RunEvent;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// Records one scenario. Readings come in from the watch at any time, acts from the executor; each event gets its
/// time under the lock, so that the order of the history is the order of its times.
pub(crate) struct Recorder {
    clock: Clock,
    scenario: String,
    repetition: u32,
    events: Events,
    state: Mutex<State>,
    version: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    step: Option<usize>,
    history: Vec<Event>,
    sidecars: BTreeMap<String, Sidecar>,
    seen: BTreeMap<String, Seen>,
    silent: bool,
}

/// The last reading of a sidecar.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// What it showed, or why it showed nothing.
    pub(crate) reading: Result<Observation, String>,
    /// It was recorded in this step and after its last write.
    recorded_in_step: bool,
}

impl Recorder {
    /// An empty history.
    pub(crate) fn new(clock: Clock, scenario: String, repetition: u32, events: Events) -> Self {
        Self {
            clock,
            scenario,
            repetition,
            events,
            state: Mutex::new(State::default()),
            version: watch::Sender::new(0),
        }
    }

    /// The act with this index begins; none: what is before the first or after the last. Every sidecar's next
    /// reading is recorded, changed or not.
    pub(crate) fn begin(&self, step: Option<usize>) {
        let mut state = self.state();
        state.step = step;
        for seen in state.seen.values_mut() {
            seen.recorded_in_step = false;
        }
        if step.is_some() {
            self.append(&mut state, EventKind::StepStarted);
        }
    }

    /// Something happened after which readings are judged anew, like an acknowledged write: the next one of every sidecar is
    /// recorded, changed or not, since one that was recorded before says nothing about what came of it.
    pub(crate) fn push_and_ask_again(&self, kind: EventKind) {
        let mut state = self.state();
        for seen in state.seen.values_mut() {
            seen.recorded_in_step = false;
        }
        self.append(&mut state, kind);
    }

    /// The next reading of these sidecars is recorded, changed or not.
    pub(crate) fn ask_again(&self, names: &[String]) {
        let mut state = self.state();
        for name in names {
            if let Some(seen) = state.seen.get_mut(name) {
                seen.recorded_in_step = false;
            }
        }
    }

    /// Nothing is told from now on.
    pub(crate) fn fall_silent(&self) {
        self.state().silent = true;
    }

    /// Something happened now.
    pub(crate) fn push(&self, kind: EventKind) {
        self.append(&mut self.state(), kind);
    }

    /// A sidecar is there.
    pub(crate) fn joined(&self, sidecar: Sidecar) {
        let mut state = self.state();
        // A reading of an earlier life says nothing about this one.
        state.seen.remove(&sidecar.name);
        state.sidecars.insert(sidecar.name.clone(), sidecar.clone());
        self.append(&mut state, EventKind::SidecarJoined { sidecar });
    }

    /// A sidecar is gone. A newer life of the same name stays.
    pub(crate) fn left(&self, name: &str, pod_uid: &str) {
        let mut state = self.state();
        if state
            .sidecars
            .get(name)
            .is_some_and(|sidecar| sidecar.pod_uid == pod_uid)
        {
            state.sidecars.remove(name);
            state.seen.remove(name);
            self.append(
                &mut state,
                EventKind::SidecarLeft {
                    sidecar: name.to_owned(),
                    pod_uid: pod_uid.to_owned(),
                },
            );
        }
    }

    /// A sidecar was read. Recorded when it differs from the last reading or is the first in this step.
    pub(crate) fn read(&self, name: &str, pod_uid: &str, reading: Result<Observation, String>) {
        let mut state = self.state();
        let lives = state
            .sidecars
            .get(name)
            .is_some_and(|sidecar| sidecar.pod_uid == pod_uid);
        if !lives {
            return;
        }
        let known = state
            .seen
            .get(name)
            .is_some_and(|seen| seen.recorded_in_step && seen.reading == reading);
        if !known {
            let kind = match &reading {
                Ok(observation) => EventKind::Observed(Box::new(observation.clone())),
                Err(reason) => EventKind::ObservationFailed {
                    sidecar: name.to_owned(),
                    reason: reason.clone(),
                },
            };
            state.seen.insert(
                name.to_owned(),
                Seen {
                    reading,
                    recorded_in_step: true,
                },
            );
            self.append(&mut state, kind);
        }
    }

    /// The sidecars that are there, in order of their names.
    pub(crate) fn sidecars(&self) -> Vec<Sidecar> {
        self.state().sidecars.values().cloned().collect()
    }

    /// What a sidecar was last seen to hold; none when it was not read or could not be.
    pub(crate) fn observation(&self, name: &str) -> Option<Observation> {
        self.state().seen.get(name)?.reading.clone().ok()
    }

    /// The stream of every sidecar that has one.
    pub(crate) fn streams(&self) -> BTreeMap<String, Stream> {
        self.state()
            .seen
            .iter()
            .filter_map(|(name, seen)| {
                Some((name.clone(), seen.reading.as_ref().ok()?.stream.clone()))
            })
            .collect()
    }

    /// Sidecars without a recorded reading in this step after its last write.
    pub(crate) fn unread_in_step(&self) -> Vec<Sidecar> {
        let state = self.state();
        state
            .sidecars
            .values()
            .filter(|sidecar| {
                !state
                    .seen
                    .get(&sidecar.name)
                    .is_some_and(|seen| seen.recorded_in_step && seen.reading.is_ok())
            })
            .cloned()
            .collect()
    }

    /// Waits until `missing` names nobody, at most until `deadline`; it is asked again after every change. The last
    /// answer, empty on success.
    pub(crate) async fn wait_until_nobody(
        &self,
        deadline: Instant,
        mut missing: impl FnMut(&[Sidecar], &BTreeMap<String, Seen>) -> Vec<String>,
    ) -> Vec<String> {
        let mut version = self.version.subscribe();
        loop {
            version.borrow_and_update();
            let last = {
                let state = self.state();
                let sidecars: Vec<Sidecar> = state.sidecars.values().cloned().collect();
                missing(&sidecars, &state.seen)
            };
            let more = !last.is_empty()
                && matches!(
                    tokio::time::timeout_at(deadline.into(), version.changed()).await,
                    Ok(Ok(()))
                );
            if !more {
                return last;
            }
        }
    }

    /// Waits until the history is as wanted, and gives it as it was then. It is asked for after changes, but not more often
    /// than once in `pause`.
    pub(crate) async fn wait_for(
        &self,
        pause: Duration,
        mut is_wanted: impl FnMut(&[Event]) -> bool,
    ) -> Vec<Event> {
        let mut version = self.version.subscribe();
        let mut pauses = tokio::time::interval(pause);
        pauses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pauses.tick().await;
            version.borrow_and_update();
            let history = self.history();
            if is_wanted(&history) {
                return history;
            }
            if version.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The clock of the history.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// The history so far.
    pub(crate) fn history(&self) -> Vec<Event> {
        self.state().history.clone()
    }

    fn append(&self, state: &mut State, kind: EventKind) {
        let event = Event {
            at_ns: self.clock.now_ns(),
            step: state.step,
            kind,
        };
        state.history.push(event.clone());
        if !state.silent {
            // Nobody listening is no reason to stop.
            let _ = self.events.send(RunEvent::ScenarioEvent {
                scenario: self.scenario.clone(),
                repetition: self.repetition,
                event,
            });
        }
        self.version.send_modify(|version| *version += 1);
    }

    /// Every change under the lock is whole before the next, so a panic elsewhere leaves it usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
