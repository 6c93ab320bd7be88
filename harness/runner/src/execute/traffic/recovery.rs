//! Letting a load go on until what it is to show after a fault is decided.
//!
//! Invariant: the checker says when that is, over the history so far; the wait ends by itself all the same.

use super::{COLLECT_EVERY, Execution, REQUEST};
use crate::judging::{JUDGE_EVERY, is_recovery_open};
use crate::record::Recorder;
use harness_model::history::{Event, EventKind};
use harness_model::patience::Patience;
use std::time::Duration;

impl Execution {
    /// Waits, where an expectation `recovers` names the load and a fault has ended, until the traffic is back or went on until
    /// the bound was over without: a load that ended before could show neither.
    pub(in crate::execute) async fn wait_for_recovery(&self, load: &str) {
        let Some(ended) = self.loads.ended(load) else {
            return;
        };
        let patience = self.environment.patience();
        let scenario = &self.script.scenario;
        let is_open = |history: &[Event]| is_recovery_open(scenario, history, patience, load);
        let longest = longest(patience);
        if wait(&self.recorder, load, is_open, ended, longest).await == Waited::InVain {
            self.give_up(format!(
                "`{load}` to show whether it is answered again after the fault"
            ));
        }
    }
}

/// The longest that it may take: a fault that has ended leaves the bound at most, and the first outcome of a request beyond it
/// comes in when that has run out of time, after the next look, and as late as a probe may answer.
fn longest(patience: &Patience) -> Duration {
    patience.recovery.0 + REQUEST + COLLECT_EVERY + patience.probe.0
}

/// How a wait ended.
#[derive(Debug, PartialEq, Eq)]
enum Waited {
    /// There is nothing to wait for any more.
    Enough,
    /// Its time was over.
    InVain,
}

/// Waits until nothing is open any more or no outcome comes in, at most for `longest`. Only outcomes of the load can
/// change what is open, so it is asked again after those alone.
async fn wait(
    recorder: &Recorder,
    load: &str,
    mut is_open: impl FnMut(&[Event]) -> bool,
    ended: impl Future<Output = ()>,
    longest: Duration,
) -> Waited {
    let mut asked_over = None;
    let decided = recorder.wait_for(JUDGE_EVERY, |history| {
        let outcomes = outcomes(history, load);
        let is_new = asked_over.replace(outcomes) != Some(outcomes);
        is_new && !is_open(history)
    });
    let enough = async {
        tokio::select! {
            biased;
            _ = decided => {}
            () = ended => {}
        }
    };
    match tokio::time::timeout(longest, enough).await {
        Ok(()) => Waited::Enough,
        Err(_) => Waited::InVain,
    }
}

fn outcomes(history: &[Event], load: &str) -> usize {
    let is_of_load =
        |event: &&Event| matches!(&event.kind, EventKind::Request(seen) if seen.traffic == load);
    history.iter().filter(is_of_load).count()
}

#[cfg(test)]
mod tests;
