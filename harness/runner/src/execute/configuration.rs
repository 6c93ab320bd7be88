//! Writing and deleting configurations, and reading the mesh's own status of them.

use super::Execution;
use harness_model::configuration::{Configuration, ScopeEntry};
use harness_model::directory::Sidecar;
use harness_model::history::{DeliveryStatus, EventKind};
use harness_model::oracle::Oracle;
use harness_model::patience::Whose;
use harness_model::scenario::{Act, CANARY_APPLICATION};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

impl Execution {
    /// Creates or replaces a configuration, with the canaries as extra recipients where a proof needs them.
    pub(super) async fn write(&mut self, configuration: Configuration) {
        let configuration = self.with_canaries(configuration);
        let name = configuration.name.clone();
        self.recorder.push(EventKind::WriteStarted {
            configuration: Some(configuration.clone()),
            name: name.clone(),
        });
        let mut after = self.oracle.clone();
        after.write(configuration.clone());
        self.remember(&after);
        let (mesh, keys) = (self.environment.mesh(), self.keys.clone());
        let asked_for = configuration.clone();
        let write = async move { mesh.write(&keys, &asked_for).await };
        match self.writes.carry_out(write).await {
            Ok(written) => {
                self.recorder.push_and_ask_again(EventKind::Written {
                    name,
                    objects: written.objects,
                });
                self.oracle = after;
            }
            Err(error) => self.write_failed(name, &error),
        }
    }

    /// Deletes a configuration by name.
    pub(super) async fn delete(&mut self, name: &str) {
        self.recorder.push(EventKind::WriteStarted {
            configuration: None,
            name: name.to_owned(),
        });
        let mut after = self.oracle.clone();
        after.delete(name);
        self.remember(&after);
        let (mesh, keys) = (self.environment.mesh(), self.keys.clone());
        let asked_for = name.to_owned();
        let delete = async move { mesh.delete(&keys, &asked_for).await };
        match self.writes.carry_out(delete).await {
            Ok(written) => {
                self.recorder.push_and_ask_again(EventKind::Written {
                    name: name.to_owned(),
                    objects: written.objects,
                });
                self.extra.remove(name);
                self.oracle = after;
            }
            Err(error) => self.write_failed(name.to_owned(), &error),
        }
    }

    fn write_failed(&self, name: String, error: &harness_mesh::WriteError) {
        self.recorder.push(EventKind::WriteFailed {
            name,
            error: harness_model::causes::chain(error),
            refused: error.is_refused(),
        });
    }

    /// A proof of absence on a replica needs somebody on it for whom the write changes something. Where that is not so on
    /// some replica, the canaries are added, one of which is on each. The same configuration is always written the
    /// same way, so that one that comes back comes back exactly.
    fn with_canaries(&mut self, configuration: Configuration) -> Configuration {
        let earlier = self
            .written
            .iter()
            .find(|(asked_for, _)| *asked_for == configuration)
            .map(|(_, as_written)| as_written.clone());
        if let Some(as_written) = earlier {
            let own = configuration.scope.entries.len();
            let extra = as_written.scope.entries[own..].to_vec();
            self.extra.insert(configuration.name, extra);
            return as_written;
        }
        let before = self.extra.get(&configuration.name).cloned();
        let by_address = self.canary_addresses();
        // Who was a recipient stays one where that will do: scope and payload are two objects, and must not both change.
        // After a fault there may be other replicas than now, and the canaries are what is put on each of them.
        let nobody_extra = (!self.breaks_something()).then(Vec::new);
        let choices = before
            .into_iter()
            .chain(nobody_extra)
            .chain([vec![by_application()], by_address]);
        let extended = |extra: &Vec<ScopeEntry>| {
            let mut extended = configuration.clone();
            extended.scope.entries.extend(extra.iter().cloned());
            extended
        };
        let extra = choices
            .into_iter()
            .find(|extra| self.reaches_every_replica(&extended(extra)))
            .unwrap_or_else(|| vec![by_application()]);
        let as_written = extended(&extra);
        self.extra.insert(configuration.name.clone(), extra);
        self.written.push((configuration, as_written.clone()));
        as_written
    }

    fn breaks_something(&self) -> bool {
        self.script
            .scenario
            .when
            .iter()
            .any(|act| matches!(act, Act::Inject(_)))
    }

    /// The entries that make the canaries recipients, whatever less specific scope covers them already.
    fn canary_addresses(&self) -> Vec<ScopeEntry> {
        self.recorder
            .sidecars()
            .into_iter()
            .filter(|sidecar| sidecar.application == CANARY_APPLICATION)
            .map(|sidecar| ScopeEntry {
                // Addresses are unique within a cluster only.
                cluster: Some(sidecar.cluster),
                ip: Some(format!("{}/32", sidecar.ip)),
                ..ScopeEntry::default()
            })
            .collect()
    }

    fn reaches_every_replica(&self, configuration: &Configuration) -> bool {
        let mut after = self.oracle.clone();
        after.write(configuration.clone());
        let streams = self.recorder.streams();
        let replicas = |chosen: &dyn Fn(&Sidecar) -> bool| -> BTreeSet<String> {
            self.recorder
                .sidecars()
                .iter()
                .filter(|sidecar| chosen(sidecar))
                .filter_map(|sidecar| streams.get(&sidecar.name)?.replica.clone())
                .collect()
        };
        let reached = replicas(&|sidecar| after.expected(sidecar) != self.oracle.expected(sidecar));
        reached == replicas(&|_| true)
    }

    /// Remembers whom a write is going to change, and what they show of rules whose content changes under the same name: as
    /// long as they show that, they have not got the new one.
    fn remember(&mut self, after: &Oracle) {
        for sidecar in self.recorder.sidecars() {
            let (old, new) = (self.oracle.expected(&sidecar), after.expected(&sidecar));
            if old == new {
                continue;
            }
            self.affected.insert(sidecar.name.clone());
            // Only where the old content was seen to be there does its hash tell it from the new one.
            let Some(shown) = self
                .recorder
                .observation(&sidecar.name)
                .filter(|_| self.settled)
            else {
                continue;
            };
            for (name, rule) in &new.rules {
                if let (Some(before), Some(hash)) = (old.rules.get(name), shown.rules.get(name))
                    && before != rule
                {
                    self.outdated
                        .insert((sidecar.name.clone(), name.clone()), hash.clone());
                }
            }
        }
        self.settled = false;
    }

    /// Waits until every sidecar in scope says that it rejected an update.
    pub(super) async fn wait_for_rejection(&mut self, name: &str) {
        // A sidecar that rejects keeps what it had: no hash tells anything until somebody has accepted again.
        self.outdated.clear();
        self.affected.clear();
        let deadline = self.deadline(self.environment.patience().delivery);
        let missing = self
            .recorder
            .wait_until_nobody(deadline, |sidecars, seen| {
                sidecars
                    .iter()
                    .filter(|sidecar| self.oracle.in_scope(name, sidecar))
                    .filter(|sidecar| {
                        seen.get(&sidecar.name)
                            .and_then(|seen| seen.reading.as_ref().ok())
                            .is_none_or(|reading| reading.rejected.is_empty())
                    })
                    .map(|sidecar| sidecar.name.clone())
                    .collect()
            })
            .await;
        self.give_up_on(
            Whose::Mesh,
            "every sidecar in scope to reject the update",
            &missing,
        );
    }

    /// Reads the mesh's status of a configuration until it is about the latest generation and everybody who must match has
    /// answered; records the last one. A scope has generations of its own, so who matches tells whether it is known.
    pub(super) async fn record_status(&self, name: &str) {
        let deadline = self.deadline(self.environment.patience().delivery);
        let mesh = self.environment.mesh();
        let sidecars = self.recorder.sidecars();
        let is_matched = |sidecar: &&Sidecar| self.oracle.in_scope(name, sidecar);
        let matched = sidecars.iter().filter(is_matched).count() as u64;
        let (last, problem) = loop {
            let (status, problem) = match mesh.status(&self.keys, name).await {
                Ok(Some(status)) => {
                    let problem = unsettled(&status, matched);
                    (status, problem)
                }
                Ok(None) => (
                    DeliveryStatus::default(),
                    Some("the mesh has none".to_owned()),
                ),
                Err(error) => (
                    DeliveryStatus::default(),
                    Some(harness_model::causes::chain(&error)),
                ),
            };
            if problem.is_none() || Instant::now() >= deadline {
                break (status, problem);
            }
            between_two_reads_of_a_status().await;
        };
        self.recorder.push(EventKind::Status {
            name: name.to_owned(),
            status: last,
        });
        if let Some(problem) = problem {
            let waited_for = format!("the status of `{name}` to be settled: {problem}");
            self.give_up_within(Whose::Mesh, waited_for);
        }
    }
}

/// The entry that makes all canaries recipients.
fn by_application() -> ScopeEntry {
    ScopeEntry {
        application: Some(CANARY_APPLICATION.to_owned()),
        ..ScopeEntry::default()
    }
}

fn unsettled(status: &DeliveryStatus, matched: u64) -> Option<String> {
    let answered = status.acknowledged + status.rejected.len() as u64;
    if status.observed_generation != status.generation {
        Some(format!(
            "it is about generation {} of {}",
            status.observed_generation, status.generation
        ))
    } else if status.matched != matched {
        Some(format!("{} of {matched} match", status.matched))
    } else if answered != status.matched {
        Some(format!("{answered} of {} have answered", status.matched))
    } else {
        None
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a status is not part of what sidecars tell, and one read costs less than a watch of its own"
)]
async fn between_two_reads_of_a_status() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
