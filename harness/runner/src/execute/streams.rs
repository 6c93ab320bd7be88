//! Acts on who is there and on which replica: join, leave, reconnect.

use super::Execution;
use harness_model::directory::Sidecar;
use harness_model::history::EventKind;
use harness_model::patience::Whose;
use probe_api::state::{SidecarReading, SidecarState};

impl Execution {
    /// Starts one more pod of a workload and waits until its sidecar can be read.
    pub(super) async fn join(&mut self, application: &str, data_center: &str) {
        let ready = self.environment.patience().ready;
        let joined = self
            .environment
            .mesh()
            .join(application, data_center, ready.0)
            .await;
        let workload = match joined {
            Ok(workload) => workload,
            Err(error) => {
                self.give_up(format!(
                    "one more pod of {application} in {data_center}: {}",
                    harness_model::causes::chain(&error)
                ));
                return;
            }
        };
        let uid = workload.sidecar.pod_uid;
        let missing = self
            .recorder
            .wait_until_nobody(
                self.deadline(self.environment.patience().marker),
                |sidecars, seen| {
                    let read = sidecars
                        .iter()
                        .filter(|sidecar| sidecar.pod_uid == uid)
                        .any(|sidecar| {
                            seen.get(&sidecar.name)
                                .is_some_and(|seen| seen.reading.is_ok())
                        });
                    if read { Vec::new() } else { vec![uid.clone()] }
                },
            )
            .await;
        self.give_up_on(Whose::Harness, "the new pod's sidecar to be read", &missing);
    }

    /// Has a workload scheduled in another data center and waits until its new sidecar can be read and the old one is gone.
    pub(super) async fn reschedule(&mut self, application: &str, from: &str, to: &str) {
        let before = self.recorder.sidecars();
        let is_at = |sidecar: &Sidecar, data_center: &str| {
            sidecar.application == application && sidecar.data_center == data_center
        };
        let ready = self.environment.patience().ready;
        let mesh = self.environment.mesh();
        if let Err(error) = mesh.reschedule(application, from, to, ready.0).await {
            self.give_up(format!(
                "{application} to move from {from} to {to}: {}",
                harness_model::causes::chain(&error)
            ));
            return;
        }
        let deadline = self.deadline(self.environment.patience().marker);
        let missing = self
            .recorder
            .wait_until_nobody(deadline, |sidecars, seen| {
                let stays = sidecars
                    .iter()
                    .filter(|sidecar| is_at(sidecar, from))
                    .map(|sidecar| format!("{} to be gone", sidecar.name));
                let mut missing: Vec<String> = stays.collect();
                let is_new = |sidecar: &Sidecar| {
                    let known = |before: &Sidecar| before.pod_uid == sidecar.pod_uid;
                    is_at(sidecar, to) && !before.iter().any(known)
                };
                let is_read = sidecars.iter().filter(|one| is_new(one)).any(|sidecar| {
                    let seen = seen.get(&sidecar.name);
                    seen.is_some_and(|seen| seen.reading.is_ok())
                });
                if !is_read {
                    missing.push(format!("the new sidecar in {to} to be read"));
                }
                missing
            })
            .await;
        self.give_up_on(Whose::Harness, "the workload to have moved", &missing);
    }

    /// Scales a workload to nothing and waits until its sidecars are gone and nobody has an endpoint of them.
    pub(super) async fn leave(&mut self, application: &str, data_center: &str) {
        let leaving: Vec<_> = self
            .recorder
            .sidecars()
            .into_iter()
            .filter(|sidecar| {
                sidecar.application == application && sidecar.data_center == data_center
            })
            .collect();
        let ready = self.environment.patience().ready;
        if let Err(error) = self
            .environment
            .mesh()
            .vacate(application, data_center, ready.0)
            .await
        {
            self.give_up(format!(
                "{application} in {data_center} to leave: {}",
                harness_model::causes::chain(&error)
            ));
            return;
        }
        let missing = self
            .recorder
            .wait_until_nobody(self.deadline(ready), |sidecars, _| {
                sidecars
                    .iter()
                    .filter(|sidecar| leaving.iter().any(|left| left.pod_uid == sidecar.pod_uid))
                    .map(|sidecar| sidecar.name.clone())
                    .collect()
            })
            .await;
        self.give_up_on(Whose::Harness, "the sidecars to be gone", &missing);
        // Those of other clusters have never known them, and may know others with their addresses.
        let mut everybody = self.recorder.sidecars();
        everybody.retain(|sidecar| leaving.iter().any(|left| left.cluster == sidecar.cluster));
        let missing = self
            .environment
            .watch()
            .wait_until_nobody(
                self.deadline(self.environment.patience().delivery),
                |latest| {
                    everybody
                        .iter()
                        .filter_map(|sidecar| {
                            let state = latest(&sidecar.name);
                            let why = still_knows(state.as_deref(), &leaving)?;
                            Some(format!("{}: {why}", sidecar.name))
                        })
                        .collect()
                },
            )
            .await;
        self.give_up_on(
            Whose::Mesh,
            "the endpoints of who left to be gone",
            &missing,
        );
    }

    /// Takes part in a round of reconnections: on each replica in turn, everybody is recorded, settles and proves.
    pub(super) async fn reconnect(&mut self) {
        let Some(busy) = self.busy.take() else {
            return;
        };
        let mut turns = self.environment.rendezvous().join(busy);
        while let Some(turn) = turns.recv().await {
            let replica = match &turn.replica {
                Ok(replica) => replica.clone(),
                Err(reason) => {
                    self.give_up(format!("the sidecars to reconnect: {reason}"));
                    continue;
                }
            };
            for moved in &turn.moved {
                match &moved.epoch {
                    Ok(epoch) => self.recorder.push(EventKind::Reconnected {
                        sidecar: moved.sidecar.clone(),
                        replica: Some(replica.clone()),
                        epoch: *epoch,
                    }),
                    Err(reason) => {
                        self.give_up(format!("{} to reconnect: {reason}", moved.sidecar));
                    }
                }
            }
            let missing = self.environment.streams().wait_for(&turn.moved).await;
            let waited_for = format!("everybody to be connected to {replica}");
            self.give_up_on(Whose::Harness, &waited_for, &missing);
            self.settle_and_prove().await;
        }
        self.be_busy().await;
    }
}

/// Why a sidecar is not known to be without endpoints of these; none when it is, or when there is no sidecar.
fn still_knows(state: Option<&SidecarState>, left: &[Sidecar]) -> Option<String> {
    match state.map(|state| &state.sidecar) {
        None => Some("not read yet".to_owned()),
        Some(SidecarReading::None) => None,
        Some(SidecarReading::Unreachable(why)) => Some(why.clone()),
        Some(SidecarReading::Read(held)) => held
            .endpoints
            .values()
            .flatten()
            .any(|endpoint| {
                let ip = endpoint.address.split(':').next().unwrap_or_default();
                left.iter().any(|left| left.ip == ip)
            })
            .then(|| "still has an endpoint of them".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe_api::state::Identity;

    #[test]
    fn a_sidecar_that_cannot_be_read_may_still_have_an_endpoint() {
        let read = |sidecar| SidecarState {
            hash: String::new(),
            observed_at_ns: 0,
            resolution_ms: 1,
            identity: Identity::default(),
            sidecar,
        };
        assert_eq!(still_knows(None, &[]).as_deref(), Some("not read yet"));
        let away = read(SidecarReading::Unreachable("away".to_owned()));
        assert_eq!(still_knows(Some(&away), &[]).as_deref(), Some("away"));
        let none = read(SidecarReading::None);
        assert_eq!(still_knows(Some(&none), &[]), None);
    }
}
