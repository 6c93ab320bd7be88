//! Which sidecar is on which control-plane replica, and moving them.
//!
//! A proof of absence needs, on each replica, somebody who got the payload. Sidecars that dial a service address land
//! where chance puts them, so unless a fault takes replicas away we spread them evenly: every data center and every
//! application has sidecars on every replica, as far as it has enough of them. Canaries alone would not do: a scope may except the place of one.

use crate::sidecar_watch::SidecarWatch;
use harness_mesh::{Mesh, Replica, Workload};
use harness_model::causes::chain;
use harness_model::scenario::{Act, Rollout, Scenario};
use harness_probe::Prober;
use probe_api::state::{SidecarReading, SidecarState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Who is pinned to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrangement {
    /// Everybody: evenly over the replicas, within each data center and each application.
    Spread,
    /// The canaries only, one for each replica; all others dial the service address. After a replica was taken away.
    Canaries,
    /// Nobody: for faults that take a replica away.
    Free,
}

impl Arrangement {
    /// How sidecars are to be pinned for a scenario that disturbs everything: nobody is where a replica may go away, since who
    /// is pinned to it could not dial another.
    pub(crate) fn during(scenario: &Scenario) -> Self {
        let takes_replicas_away = scenario.when.iter().any(|act| match act {
            Act::Inject(fault) => fault.may_take_replicas(),
            Act::Restart(Rollout::Component(_)) => true,
            _ => false,
        });
        if takes_replicas_away {
            Self::Free
        } else {
            Self::Spread
        }
    }
}

/// Moves sidecars between replicas and remembers where it put them.
pub(crate) struct Streams {
    mesh: Arc<Mesh>,
    prober: Prober,
    watch: Arc<SidecarWatch>,
    pins: Mutex<Pins>,
    patience: Duration,
}

/// A sidecar that was told to dial a replica.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    /// Stable name.
    pub(crate) sidecar: String,
    /// Readings with at least this epoch are of the new stream; or why the probe did not do it.
    pub(crate) epoch: Result<u64, String>,
    /// The replica it was told to dial, by pod name; none when any will do.
    pub(crate) replica: Option<String>,
}

/// What the sidecars were told to dial.
#[derive(Debug, Default)]
struct Pins {
    /// Pod UID → what it dials. A pod that is not listed dials the service address.
    pods: BTreeMap<String, Pin>,
}

#[derive(Debug, PartialEq, Eq)]
enum Pin {
    /// This `ip:port`.
    Replica(String),
    /// What it was told last, or what it was told before: the probe did not answer.
    Unknown,
}

impl Pins {
    /// The pod dials this target; none is the service address.
    fn are_at(&self, uid: &str, target: Option<&String>) -> bool {
        match self.pods.get(uid) {
            None => target.is_none(),
            Some(Pin::Replica(pin)) => target == Some(pin),
            Some(Pin::Unknown) => false,
        }
    }

    /// The pod was told to dial this target, and its probe answered or did not.
    fn told<T, E>(&mut self, uid: String, target: Option<String>, answer: &Result<T, E>) {
        match (answer, target) {
            (Ok(_), Some(target)) => self.pods.insert(uid, Pin::Replica(target)),
            (Ok(_), None) => self.pods.remove(&uid),
            (Err(_), _) => self.pods.insert(uid, Pin::Unknown),
        };
    }
}

impl Streams {
    /// Nobody is pinned yet. `patience` bounds each wait for new streams.
    pub(crate) fn new(
        mesh: Arc<Mesh>,
        prober: Prober,
        watch: Arc<SidecarWatch>,
        patience: Duration,
    ) -> Self {
        Self {
            mesh,
            prober,
            watch,
            pins: Mutex::default(),
            patience,
        }
    }

    /// The replicas that are ready.
    pub(crate) async fn replicas(&self) -> Result<Vec<Replica>, String> {
        let replicas = self.mesh.replicas().await.map_err(|error| chain(&error))?;
        Ok(replicas
            .into_iter()
            .filter(|replica| replica.ready)
            .collect())
    }

    /// Puts the sidecars into an arrangement and waits until all of them are connected. Who is there already is not
    /// moved. Says who did not arrive.
    pub(crate) async fn arrange(&self, arrangement: Arrangement) -> Result<Vec<String>, String> {
        let replicas = self.replicas().await?;
        let workloads = self.watch.workloads();
        let targets = targets(arrangement, &workloads, &replicas);
        let moves: Vec<(Workload, Option<&Replica>)> = {
            let pins = self.pins();
            workloads
                .into_iter()
                .filter_map(|workload| {
                    let replica = targets.get(&workload.sidecar.name).copied();
                    let uid = &workload.sidecar.pod_uid;
                    let is_there = pins.are_at(uid, replica.map(|replica| &replica.xds));
                    (!is_there).then_some((workload, replica))
                })
                .collect()
        };
        let moved = self.dial(moves).await;
        self.watch.read_from_now_on();
        let mut late = untold(&moved);
        late.extend(self.wait_for(&moved).await);
        Ok(late)
    }

    /// Makes every sidecar of the replica's cluster but the canaries dial `replica`, and tells the epochs without waiting for the streams.
    pub(crate) async fn move_all(&self, replica: &Replica) -> Vec<Moved> {
        let moves = self
            .watch
            .workloads()
            .into_iter()
            .filter(|workload| !workload.canary && is_beside(workload, replica))
            .map(|workload| (workload, Some(replica)))
            .collect();
        self.dial(moves).await
    }

    /// Waits until everybody who moved is on a new stream, to the replica it was told to dial. Says who is not, and how
    /// far it got. A sidecar names its replica from that one's first answer on: until then it still names the last one.
    pub(crate) async fn wait_for(&self, moved: &[Moved]) -> Vec<String> {
        let deadline = Instant::now() + self.patience;
        self.watch
            .wait_until_nobody(deadline, |latest| {
                moved
                    .iter()
                    .filter_map(|moved| {
                        let state = latest(&moved.sidecar);
                        not_arrived(moved, state.as_deref())
                            .map(|why| format!("{}: {why}", moved.sidecar))
                    })
                    .collect()
            })
            .await
    }

    async fn dial(&self, moves: Vec<(Workload, Option<&Replica>)>) -> Vec<Moved> {
        let dialled = moves.into_iter().map(|(workload, replica)| async move {
            let target = replica.map(|replica| replica.xds.clone());
            let reply = self
                .prober
                .reconnect(&workload.address, target.as_deref())
                .await;
            let epoch = reply
                .map(|reply| reply.epoch)
                .map_err(|error| chain(&error));
            self.pins().told(workload.sidecar.pod_uid, target, &epoch);
            Moved {
                sidecar: workload.sidecar.name,
                epoch,
                replica: replica.map(|replica| replica.pod.clone()),
            }
        });
        futures::future::join_all(dialled).await
    }

    /// The map is whole after every change, so a panic elsewhere leaves it usable.
    fn pins(&self) -> MutexGuard<'_, Pins> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who was not told, and why. Nobody waits for them.
fn untold(moved: &[Moved]) -> Vec<String> {
    moved
        .iter()
        .filter_map(|moved| {
            let reason = moved.epoch.as_ref().err()?;
            Some(format!("{}: {reason}", moved.sidecar))
        })
        .collect()
}

fn not_arrived(moved: &Moved, state: Option<&SidecarState>) -> Option<String> {
    let epoch = match &moved.epoch {
        Ok(epoch) => *epoch,
        // It was never told, so there is nothing to wait for; whoever moved it has said so.
        Err(_) => return None,
    };
    let Some(SidecarReading::Read(sidecar)) = state.map(|state| &state.sidecar) else {
        return Some("not readable".to_owned());
    };
    let stream = &sidecar.control_plane;
    let named = stream.replica.as_deref();
    let arrived = stream.connected
        && stream.epoch >= epoch
        && named.is_some()
        && (moved.replica.is_none() || named == moved.replica.as_deref());
    (!arrived).then(|| {
        format!(
            "{} to {} in epoch {} instead of {epoch}",
            if stream.connected {
                "connected"
            } else {
                "not connected"
            },
            named.unwrap_or("no replica"),
            stream.epoch
        )
    })
}

/// Both are in one cluster: sidecars do not know replicas of another one.
fn is_beside(workload: &Workload, replica: &Replica) -> bool {
    workload.sidecar.cluster == replica.address.cluster
}

/// Stable name → the replica it is to be pinned to; who is not listed dials the service address.
fn targets<'a>(
    arrangement: Arrangement,
    workloads: &[Workload],
    replicas: &'a [Replica],
) -> BTreeMap<String, &'a Replica> {
    if arrangement == Arrangement::Free {
        return BTreeMap::new();
    }
    let clusters: BTreeSet<&str> = workloads
        .iter()
        .map(|workload| workload.sidecar.cluster.as_str())
        .collect();
    clusters
        .into_iter()
        .flat_map(|cluster| {
            let own = |workload: &&Workload| workload.sidecar.cluster == cluster;
            let workloads: Vec<&Workload> = workloads.iter().filter(own).collect();
            let replicas: Vec<&Replica> = replicas
                .iter()
                .filter(|replica| replica.address.cluster == cluster)
                .collect();
            targets_in_cluster(arrangement, &workloads, &replicas)
        })
        .collect()
}

fn targets_in_cluster<'a>(
    arrangement: Arrangement,
    workloads: &[&Workload],
    replicas: &[&'a Replica],
) -> Vec<(String, &'a Replica)> {
    if replicas.is_empty() {
        return Vec::new();
    }
    let position = |of: fn(&Workload) -> &str, value: &str| {
        let mut values: Vec<&str> = workloads.iter().map(|workload| of(workload)).collect();
        values.sort_unstable();
        values.dedup();
        values.binary_search(&value).unwrap_or(0)
    };
    let mut canaries = 0;
    workloads
        .iter()
        .filter_map(|workload| {
            let sidecar = &workload.sidecar;
            let number = if workload.canary {
                canaries += 1;
                canaries - 1
            } else if arrangement == Arrangement::Spread {
                position(|w| &w.sidecar.application, &sidecar.application)
                    + position(|w| &w.sidecar.data_center, &sidecar.data_center)
            } else {
                return None;
            };
            Some((sidecar.name.clone(), replicas[number % replicas.len()]))
        })
        .collect()
}

#[cfg(test)]
mod tests;
