//! Acts on who is there and on which replica: join, leave, reconnect.

use super::Execution;
use harness_model::history::EventKind;
use probe_api::state::SidecarReading;

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
                    crate::sidecar_watch::chain(&error)
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
        self.give_up_on("the new pod's sidecar to be read", &missing);
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
                crate::sidecar_watch::chain(&error)
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
        self.give_up_on("the sidecars to be gone", &missing);
        let everybody = self.recorder.sidecars();
        let missing = self
            .environment
            .watch()
            .wait_until_nobody(
                self.deadline(self.environment.patience().delivery),
                |latest| {
                    everybody
                        .iter()
                        .filter(|sidecar| {
                            let state = latest(&sidecar.name);
                            let Some(SidecarReading::Read(held)) =
                                state.as_ref().map(|state| &state.sidecar)
                            else {
                                return false;
                            };
                            held.endpoints.values().flatten().any(|endpoint| {
                                let ip = endpoint.address.split(':').next().unwrap_or_default();
                                leaving.iter().any(|left| left.ip == ip)
                            })
                        })
                        .map(|sidecar| sidecar.name.clone())
                        .collect()
                },
            )
            .await;
        self.give_up_on("the endpoints of who left to be gone", &missing);
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
                    Ok(_) => self.recorder.push(EventKind::Reconnected {
                        sidecar: moved.sidecar.clone(),
                        replica: Some(replica.clone()),
                    }),
                    Err(reason) => {
                        self.give_up(format!("{} to reconnect: {reason}", moved.sidecar));
                    }
                }
            }
            let missing = self.environment.streams().wait_for(&turn.moved).await;
            self.give_up_on(&format!("everybody to be connected to {replica}"), &missing);
            self.settle_and_prove().await;
        }
        self.busy = Some(self.environment.rendezvous().busy().await);
    }
}
