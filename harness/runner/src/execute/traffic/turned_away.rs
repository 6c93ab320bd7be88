//! How many connections the sidecars of a callee have turned away, and for which cause, where somebody wants to know.

use crate::execute::Execution;
use futures::future::join_all;
use harness_model::causes::chain;
use harness_model::expectation::Expectation;
use harness_model::history::{EventKind, RefusalCause};
use harness_model::protocol::Protocol;
use harness_model::scenario::Traffic;
use probe_api::state::{Sidecar, SidecarReading};
use std::collections::BTreeMap;
use std::time::Duration;

/// Between a read that failed and the next one.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

impl Execution {
    /// Records it, where the scenario expects this batch to be refused for a cause that its caller is told nothing of, and some
    /// sidecar tells. Where none could be read that is recorded, too: it does not say that none tells.
    pub(super) async fn count_turned_away(&self, traffic: &Traffic) {
        let mut expected = self.script.scenario.then.iter();
        let asked = expected.find_map(|expectation| match expectation {
            Expectation::Refused {
                traffic: name,
                because,
            } if *name == traffic.name => Some((*because, counter(*because, traffic.protocol)?)),
            _ => None,
        });
        let Some((because, counter)) = asked else {
            return;
        };
        let prober = self.environment.prober();
        let patience = self.environment.patience().probe.0;
        let callees = self.environment.watch().workloads().into_iter();
        let callees = callees.filter(|workload| workload.sidecar.application == traffic.to);
        let reads = callees.map(|workload| async move {
            let read = || async {
                match prober.state(&workload.address).await {
                    Ok(state) => told(&state.sidecar, counter),
                    Err(error) => Err(chain(&error)),
                }
            };
            let count = repeated(patience, read).await;
            (workload.sidecar.name, count)
        });
        if let Some(sidecars) = counted(join_all(reads).await) {
            self.recorder.push(EventKind::TurnedAway {
                traffic: traffic.name.clone(),
                because,
                sidecars,
            });
        }
    }
}

/// Where a sidecar tells how many connections it has turned away for one cause.
type Counter = fn(&Sidecar) -> Option<u64>;

/// That of this cause, where a caller is told no more than that its connection ended, as it is by a callee that crashed.
fn counter(because: RefusalCause, spoken: Protocol) -> Option<Counter> {
    match because {
        RefusalCause::Plaintext => Some(|sidecar| sidecar.turned_away),
        // Requests are answered, and the answer says why.
        RefusalCause::NotAllowed if spoken.is_bytes() => Some(|sidecar| sidecar.not_allowed),
        _ => None,
    }
}

/// What a callee's sidecar told; none where it could not be read.
type Count = Option<Told>;

/// How many connections a sidecar says that it has turned away, where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Many(u64),
    Nothing,
}

/// What is to be recorded of the callee's sidecars: who tells; nothing where those that could be read do not, or there are none.
fn counted(counts: Vec<(String, Count)>) -> Option<BTreeMap<String, u64>> {
    let is_unread = !counts.is_empty() && counts.iter().all(|(_, count)| count.is_none());
    let sidecars: BTreeMap<String, u64> = counts
        .into_iter()
        .filter_map(|(sidecar, count)| match count {
            Some(Told::Many(many)) => Some((sidecar, many)),
            Some(Told::Nothing) | None => None,
        })
        .collect();
    (is_unread || !sidecars.is_empty()).then_some(sidecars)
}

/// What a sidecar tells.
///
/// # Errors
///
/// Why it could not be read.
fn told(sidecar: &SidecarReading, counter: Counter) -> Result<Told, String> {
    match sidecar {
        SidecarReading::Read(held) => Ok(counter(held).map_or(Told::Nothing, Told::Many)),
        SidecarReading::None => Ok(Told::Nothing),
        SidecarReading::Unreachable(reason) => Err(reason.clone()),
    }
}

/// What a read gives, which is repeated while it fails: it changes nothing. None where it still does when `patience` is over.
#[expect(
    clippy::disallowed_methods,
    reason = "a probe that does not answer tells nobody when it will: the pause only spares the processor"
)]
async fn repeated<F>(patience: Duration, read: impl Fn() -> F) -> Count
where
    F: Future<Output = Result<Told, String>>,
{
    let answer = async {
        loop {
            match read().await {
                Ok(told) => return told,
                Err(reason) => {
                    tracing::debug!(
                        reason,
                        "cannot read whom a callee's sidecar has turned away"
                    );
                }
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    };
    tokio::time::timeout(patience, answer).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn who_tells_nothing_has_no_count() {
        let counter: Counter = |sidecar| sidecar.turned_away;
        let read = |turned_away| {
            let held = Sidecar {
                turned_away,
                ..Sidecar::default()
            };
            told(&SidecarReading::Read(Box::new(held)), counter)
        };
        assert_eq!(read(Some(0)), Ok(Told::Many(0)));
        assert_eq!(read(None), Ok(Told::Nothing));
        assert_eq!(told(&SidecarReading::None, counter), Ok(Told::Nothing));
        let gone = SidecarReading::Unreachable("gone".to_owned());
        assert_eq!(told(&gone, counter), Err("gone".to_owned()));
    }

    /// Who says why it refuses needs no count for it.
    #[test]
    fn refusals_that_tell_nothing_have_counters_of_their_own() {
        let sidecar = Sidecar {
            turned_away: Some(1),
            not_allowed: Some(2),
            ..Sidecar::default()
        };
        let counted = |because, spoken| counter(because, spoken)?(&sidecar);
        for spoken in Protocol::ALL {
            let not_allowed = spoken.is_bytes().then_some(2);
            assert_eq!(counted(RefusalCause::Plaintext, spoken), Some(1));
            assert_eq!(counted(RefusalCause::NotAllowed, spoken), not_allowed);
            assert_eq!(counted(RefusalCause::Untrusted, spoken), None);
        }
    }

    #[test]
    fn that_none_could_be_read_is_not_that_none_tells() {
        let of = |counts: &[Count]| {
            let named = counts.iter().enumerate();
            let named = named.map(|(place, count)| (place.to_string(), *count));
            counted(named.collect())
        };
        let one = BTreeMap::from([("1".to_owned(), 7)]);
        assert_eq!(of(&[None, Some(Told::Many(7))]), Some(one));
        assert_eq!(of(&[None, Some(Told::Nothing)]), None);
        assert_eq!(of(&[None, None]), Some(BTreeMap::new()));
        assert_eq!(of(&[]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_fails_is_repeated_until_the_probes_time_is_over() {
        let reads = Cell::new(0_u64);
        let read = |fails: u64| {
            reads.set(0);
            let reads = &reads;
            move || async move {
                reads.set(reads.get() + 1);
                if reads.get() > fails {
                    Ok(Told::Many(reads.get()))
                } else {
                    Err("gone".to_owned())
                }
            }
        };
        let patience = Duration::from_secs(1);
        assert_eq!(repeated(patience, read(0)).await, Some(Told::Many(1)));
        assert_eq!(repeated(patience, read(3)).await, Some(Told::Many(4)));
        assert_eq!(repeated(patience, read(u64::MAX)).await, None);
        assert!(reads.get() > 4, "{}", reads.get());
    }
}
