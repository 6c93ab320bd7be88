//! Open-loop load: requests go out when they are due, however slow the answers are, and every one has an outcome.

use crate::connection::Told;
use crate::sender::{Due, Sender};
use probe_api::request::{LoadReport, LoadSpec, RequestOutcome};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A probe is no load generator for benchmarks.
const HIGHEST_RATE: u32 = 2000;

/// Outcomes that are kept for a reader who comes late: more than three minutes at 1,000 requests a second.
const KEPT: usize = 200_000;

/// Why a load cannot be started or reported.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoadError {
    /// The request or rate is not possible.
    #[error("{0}")]
    Invalid(String),
    /// There is no such load.
    #[error("there is no load `{0}`")]
    Unknown(String),
    /// The reader came too late.
    #[error("outcomes before sequence {kept_from} are no longer kept")]
    Forgotten {
        /// The first outcome that is still there.
        kept_from: u64,
    },
}

/// The loads of this probe.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    running: Mutex<HashMap<String, Arc<Load>>>,
    started: Mutex<u64>,
}

impl Loads {
    fn running(&self) -> MutexGuard<'_, HashMap<String, Arc<Load>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a load and returns its name.
    pub(crate) fn start(&self, spec: &LoadSpec, told: &Told) -> Result<String, LoadError> {
        if !(1..=HIGHEST_RATE).contains(&spec.rate) {
            return Err(LoadError::Invalid(format!(
                "rate must be 1 to {HIGHEST_RATE} requests per second"
            )));
        }
        let sender =
            Sender::new(&spec.request, spec.connections, told).map_err(LoadError::Invalid)?;
        let load = Arc::new(Load::default());
        let id = {
            let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
            *started += 1;
            format!("load-{started}")
        };
        self.running().insert(id.clone(), Arc::clone(&load));
        load.tasks
            .spawn(Arc::clone(&load).run(sender, Duration::from_secs(1) / spec.rate));
        Ok(id)
    }

    /// What a load has done from sequence `since` on.
    pub(crate) fn report(&self, id: &str, since: u64) -> Result<LoadReport, LoadError> {
        let load = self.running().get(id).cloned();
        load.ok_or_else(|| LoadError::Unknown(id.to_owned()))?
            .report(id, since)
    }

    /// Stops a load, waits for what is still open, and forgets it.
    pub(crate) async fn stop(&self, id: &str, since: u64) -> Result<LoadReport, LoadError> {
        let load = self.running().get(id).cloned();
        let load = load.ok_or_else(|| LoadError::Unknown(id.to_owned()))?;
        load.stopped.cancel();
        load.tasks.close();
        load.tasks.wait().await;
        let report = load.report(id, since)?;
        self.running().remove(id);
        Ok(report)
    }
}

#[derive(Debug, Default)]
struct Load {
    outcomes: Mutex<Outcomes>,
    stopped: CancellationToken,
    tasks: TaskTracker,
}

impl Load {
    async fn run(self: Arc<Self>, sender: Sender, period: Duration) {
        let start = Due::now();
        let mut sequence: u64 = 0;
        loop {
            let due =
                start.after(period.saturating_mul(u32::try_from(sequence).unwrap_or(u32::MAX)));
            // A late timer sends what is due at once: the schedule does not move.
            tokio::select! {
                () = tokio::time::sleep_until(due.instant) => {}
                () = self.stopped.cancelled() => return,
            }
            self.outcomes().due();
            let (load, sender) = (Arc::clone(&self), sender.clone());
            self.tasks.spawn(async move {
                let outcome = sender.send(sequence, due, true).await;
                load.outcomes().put(outcome);
            });
            sequence += 1;
        }
    }

    fn outcomes(&self) -> MutexGuard<'_, Outcomes> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, id: &str, since: u64) -> Result<LoadReport, LoadError> {
        self.outcomes().report(id, since)
    }
}

/// Outcomes in order, with places for those still open.
#[derive(Debug, Default)]
struct Outcomes {
    /// Sequence of the first kept place.
    first: u64,
    places: VecDeque<Option<RequestOutcome>>,
}

impl Outcomes {
    /// One more request is due.
    fn due(&mut self) {
        self.places.push_back(None);
        if self.places.len() > KEPT {
            self.places.pop_front();
            self.first += 1;
        }
    }

    fn put(&mut self, outcome: RequestOutcome) {
        let place = outcome
            .sequence
            .checked_sub(self.first)
            .and_then(|place| usize::try_from(place).ok());
        if let Some(place) = place.and_then(|place| self.places.get_mut(place)) {
            *place = Some(outcome);
        }
    }

    fn report(&self, id: &str, since: u64) -> Result<LoadReport, LoadError> {
        let from = since.checked_sub(self.first).ok_or(LoadError::Forgotten {
            kept_from: self.first,
        })?;
        Ok(LoadReport {
            id: id.to_owned(),
            due: self.first + self.places.len() as u64,
            // Up to the first that is still open, so that a reader who asks on from the last one misses none.
            outcomes: self
                .places
                .iter()
                .skip(usize::try_from(from).unwrap_or(usize::MAX))
                .map_while(Clone::clone)
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe_api::request::{FailureKind, RequestResult};

    fn outcome(sequence: u64) -> RequestOutcome {
        RequestOutcome {
            sequence,
            intended_at_ns: 0,
            latency_us: 0,
            result: RequestResult::Failed {
                kind: FailureKind::Timeout,
                message: String::new(),
            },
        }
    }

    fn sequences(report: &LoadReport) -> Vec<u64> {
        report.outcomes.iter().map(|o| o.sequence).collect()
    }

    #[test]
    fn a_report_ends_before_the_first_open_request() {
        let mut outcomes = Outcomes::default();
        for _ in 0..4 {
            outcomes.due();
        }
        outcomes.put(outcome(0));
        outcomes.put(outcome(2));
        let report = outcomes.report("l", 0).unwrap();
        assert_eq!((report.due, sequences(&report)), (4, vec![0]));
        outcomes.put(outcome(1));
        assert_eq!(sequences(&outcomes.report("l", 1).unwrap()), [1, 2]);
        assert!(outcomes.report("l", 9).unwrap().outcomes.is_empty());
    }

    #[test]
    fn a_reader_who_comes_too_late_is_told_and_not_given_a_gap() {
        let mut outcomes = Outcomes::default();
        for sequence in 0..=KEPT as u64 {
            outcomes.due();
            outcomes.put(outcome(sequence));
        }
        assert_eq!(
            outcomes.report("l", 0),
            Err(LoadError::Forgotten { kept_from: 1 })
        );
    }
}
