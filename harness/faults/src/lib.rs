//! Breaking things and un-breaking them: every fault is in the ledger before it is in the cluster, is measured to
//! bite, and is measured to have ended.
//!
//! Invariant: nothing here knows a mesh, a probe or a scenario; how reachability is measured is told by the caller.

pub mod ledger;

mod away;
mod pod_kill;
mod pulse;
mod zone_outage;

pub use away::Removal;
pub use ledger::{Entry, Ledger, LedgerError};
pub use pod_kill::Victim;
pub use pulse::Pulse;
pub use zone_outage::{Crossing, Reachability, Reached};

use away::Remedy;
use harness_cluster::{ClusterError, Clusters, Part, nodes};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Injects faults into clusters and removes them.
pub struct Injector {
    clusters: Arc<Clusters>,
    ledger: Ledger,
    /// By number in the ledger.
    remedies: Mutex<BTreeMap<u64, Remedy>>,
    /// Parts of clusters that were given back before their time, until somebody has waited for them.
    given_back: Mutex<Vec<Part>>,
}

/// A fault that was measured to bite. It stays in the ledger until it is measured to have ended: hand it to
/// [`Injector::wait_for_end`] or [`Injector::heal_all`].
#[must_use = "a fault that nobody waits for stays in the ledger"]
#[derive(Clone, Debug)]
pub struct ActiveFault {
    /// Number in the ledger.
    pub number: u64,
    /// What was measured, in words.
    pub efficacy: String,
    kind: Kind,
}

impl ActiveFault {
    /// How much of its time is left; none where what it hit is gone for good.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        match self.kind {
            Kind::PodKill => None,
            Kind::Away { ends, .. } | Kind::ZoneOutage { ends, .. } => {
                Some(ends.saturating_duration_since(Instant::now()))
            }
        }
    }

    /// What it hit does not come back as it was: it has ended when all of the mesh is ready.
    #[must_use]
    pub fn needs_replacement(&self) -> bool {
        matches!(
            self.kind,
            Kind::PodKill
                | Kind::Away {
                    is_replaced: true,
                    ..
                }
        )
    }
}

#[derive(Clone, Debug)]
enum Kind {
    PodKill,
    Away {
        /// When it comes back at the latest.
        ends: Instant,
        /// What lives again then.
        pulses: Vec<Pulse>,
        is_replaced: bool,
    },
    ZoneOutage {
        data_center: String,
        /// When the kernel drops the rule at the latest.
        ends: Instant,
    },
}

/// A fault could not be injected, or could not be shown to bite.
#[derive(Debug, thiserror::Error)]
pub enum InjectError {
    /// The ledger cannot be written, so nothing was injected.
    #[error("note the fault in the ledger")]
    Ledger(#[source] LedgerError),
    /// What the fault hits could not be reached before it, so its bite could not have been measured.
    #[error("measure before the fault: {0}")]
    NotReachableBefore(String),
    /// The API server did not delete the pod.
    #[error("delete the pod {pod}")]
    Delete {
        /// Pod name.
        pod: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// The cluster did not cut the data center off.
    #[error("cut off {data_center}")]
    Cut {
        /// Which.
        data_center: String,
        /// Why.
        #[source]
        source: ClusterError,
    },
    /// The cluster did not take it away.
    #[error("{what}")]
    TakeAway {
        /// What was to be done.
        what: String,
        /// Why.
        #[source]
        source: ClusterError,
    },
    /// It was injected, but nothing shows that it bites. It was removed again.
    #[error("the fault has no effect: {0}")]
    WithoutEffect(String),
}

/// What a fault hit has not come back.
#[derive(Debug, thiserror::Error)]
pub enum EndError {
    /// Still cut off after the rule must have gone.
    #[error("wait {seconds} s for {data_center} to be reachable again; last seen: {last}")]
    StillCut {
        /// Which data center.
        data_center: String,
        /// For how long.
        seconds: u64,
        /// What was measured last.
        last: String,
    },
    /// What was taken away does not live again.
    #[error("wait {seconds} s for what was taken away to be back; last seen: {last}")]
    NotBack {
        /// For how long.
        seconds: u64,
        /// What was measured last.
        last: String,
    },
    /// Nodes did not become ready again.
    #[error("wait {seconds} s for the nodes to be ready again; last seen: {last}")]
    NodesNotReady {
        /// For how long.
        seconds: u64,
        /// Which nodes are not ready.
        last: String,
    },
}

impl Injector {
    /// An injector for `clusters` that notes its faults in `ledger`.
    #[must_use]
    pub fn new(clusters: Arc<Clusters>, ledger: Ledger) -> Self {
        Self {
            clusters,
            ledger,
            remedies: Mutex::default(),
            given_back: Mutex::default(),
        }
    }

    /// Waits until a fault has ended by itself and what it hit can be reached again, at most `patience` beyond its own
    /// duration and what the cluster grants such a part to be back, and crosses it out. Pods that were killed have no end of their own.
    ///
    /// # Errors
    ///
    /// When what it hit does not come back; the fault stays in the ledger.
    pub async fn wait_for_end(
        &self,
        fault: &ActiveFault,
        reachability: &dyn Reachability,
        patience: Duration,
    ) -> Result<(), EndError> {
        match &fault.kind {
            Kind::PodKill => {}
            Kind::ZoneOutage { data_center, ends } => {
                zone_outage::wait_for_end(data_center, *ends, reachability, patience).await?;
            }
            Kind::Away { ends, pulses, .. } => {
                self.wait_until_back(fault.number, *ends, pulses, patience)
                    .await?;
            }
        }
        let _ = self.remedy(fault.number);
        self.ledger.cross_out(fault.number);
        Ok(())
    }

    /// Waits until Kubernetes says of every node that it is ready.
    ///
    /// # Errors
    ///
    /// When one is not within `patience`.
    pub async fn wait_for_nodes(&self, patience: Duration) -> Result<(), EndError> {
        let ready = self.clusters.all().iter().map(|cluster| async move {
            nodes::wait_until_ready(&cluster.client(), 1, patience).await
        });
        futures::future::try_join_all(ready)
            .await
            .map(drop)
            .map_err(|error| EndError::NodesNotReady {
                seconds: error.seconds,
                last: error.last,
            })
    }

    /// Removes every fault that is still in the ledger, for an interrupt or a scenario that broke off, and says
    /// which could not be removed. Whoever goes on [waits](Self::wait_for_healed) then.
    pub async fn heal_all(&self) -> Vec<String> {
        let mut left = Vec::new();
        for entry in self.ledger.active() {
            match &entry.data_center {
                Some(data_center) => match self.clusters.heal_zone(data_center).await {
                    Ok(()) => self.ledger.cross_out(entry.number),
                    Err(error) => left.push(format!("{}: {error}", entry.what)),
                },
                None => {
                    if let Err(error) = self.apply_remedy(entry.number).await {
                        left.push(format!("{}: {error}", entry.what));
                    }
                }
            }
        }
        left
    }

    fn remember(&self, number: u64, remedy: Remedy) {
        self.remedies().insert(number, remedy);
    }

    fn remedy(&self, number: u64) -> Option<Remedy> {
        self.remedies().remove(&number)
    }

    fn remedies(&self) -> MutexGuard<'_, BTreeMap<u64, Remedy>> {
        // The map is whole after every change.
        self.remedies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
