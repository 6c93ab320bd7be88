//! How many connections the sidecars of a callee have turned away, where somebody wants to know.

use crate::execute::Execution;
use futures::future::join_all;
use harness_model::expectation::Expectation;
use harness_model::history::{EventKind, RefusalCause};
use harness_model::scenario::Traffic;
use probe_api::state::SidecarReading;
use std::collections::BTreeMap;

impl Execution {
    /// Records it, where the scenario expects this batch to be refused since it is in plaintext, and some sidecar tells.
    pub(super) async fn count_turned_away(&self, traffic: &Traffic) {
        let mut expected = self.script.scenario.then.iter();
        let is_asked = expected.any(|expectation| {
            matches!(expectation, Expectation::Refused { traffic: name, because: RefusalCause::Plaintext } if *name == traffic.name)
        });
        if !is_asked {
            return;
        }
        let prober = self.environment.prober();
        let callees = self.environment.watch().workloads().into_iter();
        let callees = callees.filter(|workload| workload.sidecar.application == traffic.to);
        let counts = callees.map(|workload| async move {
            // Whose probe does not answer tells nothing.
            let state = prober.state(&workload.address).await.ok()?;
            let count = told(&state.sidecar)?;
            Some((workload.sidecar.name, count))
        });
        let counts = join_all(counts).await;
        let sidecars: BTreeMap<String, u64> = counts.into_iter().flatten().collect();
        if !sidecars.is_empty() {
            self.recorder.push(EventKind::TurnedAway {
                traffic: traffic.name.clone(),
                sidecars,
            });
        }
    }
}

/// How many connections a sidecar says that it has turned away.
fn told(sidecar: &SidecarReading) -> Option<u64> {
    match sidecar {
        SidecarReading::Read(held) => held.turned_away,
        SidecarReading::None | SidecarReading::Unreachable(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe_api::state::Sidecar;

    #[test]
    fn who_tells_nothing_has_no_count() {
        let read = |turned_away| {
            told(&SidecarReading::Read(Box::new(Sidecar {
                turned_away,
                ..Sidecar::default()
            })))
        };
        assert_eq!(read(Some(0)), Some(0));
        assert_eq!(read(None), None);
        assert_eq!(told(&SidecarReading::None), None);
        assert_eq!(told(&SidecarReading::Unreachable("gone".to_owned())), None);
    }
}
