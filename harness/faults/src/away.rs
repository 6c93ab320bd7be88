//! Parts of clusters and of meshes that are taken away for a while and come back by themselves.

use crate::{ActiveFault, EndError, InjectError, Injector, Kind, Pulse, Victim};
use futures::future::{join_all, try_join_all};
use harness_cluster::healer::{Change, Healer};
use harness_cluster::{ClusterError, Part};
use harness_model::causes::chain;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What brings something back early.
#[derive(Debug)]
pub(crate) enum Remedy {
    /// The cluster gives these back.
    Parts(Vec<Part>),
    /// A process of ours puts objects back.
    Healers(Vec<Healer>),
}

/// Objects in a cluster, and how they are changed so that something goes and comes back.
#[derive(Clone, Debug)]
pub struct Removal {
    /// The cluster's name.
    pub cluster: String,
    /// Takes it away; in this order.
    pub away: Vec<Change>,
    /// Brings it back; in this order.
    pub back: Vec<Change>,
}

impl Injector {
    /// Takes parts of clusters away for `duration` and measures that it bites: before, all `pulses` are felt; afterwards
    /// none. `what` says in the ledger what is broken.
    ///
    /// # Errors
    ///
    /// When something did not live before, cannot be taken away, or still lives (then it is given back).
    pub async fn take_away(
        &self,
        what: String,
        parts: Vec<Part>,
        pulses: Vec<Pulse>,
        duration: Duration,
    ) -> Result<ActiveFault, InjectError> {
        self.all_react(&pulses)
            .await
            .map_err(InjectError::NotReachableBefore)?;
        let (number, ends, _) = self.begun(what, &parts, duration).await?;
        // What had no power comes back with other addresses.
        let is_replaced = parts.iter().any(|part| matches!(part, Part::Nodes { .. }));
        self.bitten(number, pulses, ends, is_replaced).await
    }

    /// Has parts of clusters harmed in a way that the cluster itself measures in the same moment: before anybody who is hit can
    /// have mended it, or where nobody from outside can tell what is late from what is dead. What is left of it is undone after
    /// `duration`. All `pulses` are felt before, and soon again at the end.
    ///
    /// # Errors
    ///
    /// When something did not live before, it cannot be done, or does not bite (then it is undone).
    pub async fn harm(
        &self,
        what: String,
        parts: Vec<Part>,
        pulses: Vec<Pulse>,
        duration: Duration,
    ) -> Result<ActiveFault, InjectError> {
        self.all_react(&pulses)
            .await
            .map_err(InjectError::NotReachableBefore)?;
        let (number, ends, measured) = self.begun(what, &parts, duration).await?;
        Ok(ActiveFault {
            number,
            efficacy: measured.join("; "),
            kind: Kind::Away {
                ends,
                pulses,
                is_replaced: false,
            },
        })
    }

    /// Writes parts of clusters down and takes them away; the number, the end, and what the cluster measured of each. When
    /// one of them cannot be taken away all are given back.
    async fn begun(
        &self,
        what: String,
        parts: &[Part],
        duration: Duration,
    ) -> Result<(u64, Instant, Vec<String>), InjectError> {
        let number = self.begin(what.clone(), duration)?;
        self.remember(number, Remedy::Parts(parts.to_vec()));
        let ends = Instant::now() + duration;
        let taken = parts
            .iter()
            .map(|part| self.clusters.take_away(part, duration));
        match try_join_all(taken).await {
            Ok(measured) => Ok((number, ends, measured)),
            Err(source) => {
                self.heal_early(number).await;
                Err(InjectError::TakeAway { what, source })
            }
        }
    }

    /// Takes the pods of objects away for `duration`, without grace, and measures that it bites as
    /// [`take_away`](Self::take_away) does. They come back by a process of ours that outlives us.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn remove(
        &self,
        what: String,
        removals: &[Removal],
        victims: Vec<Victim>,
        duration: Duration,
    ) -> Result<ActiveFault, InjectError> {
        let pulses: Vec<Pulse> = victims.iter().cloned().map(Pulse::Connects).collect();
        let (number, ends) = self
            .removed(what, removals, &pulses, &victims, duration)
            .await?;
        self.bitten(number, pulses, ends, true).await
    }

    /// Changes objects for `duration`, whose pods go on, and measures by `pulses` that it bites and, at the end, that it is
    /// over. They are changed back by a process of ours that outlives us.
    ///
    /// # Errors
    ///
    /// As of [`take_away`](Self::take_away).
    pub async fn alter(
        &self,
        what: String,
        removals: &[Removal],
        pulses: Vec<Pulse>,
        duration: Duration,
    ) -> Result<ActiveFault, InjectError> {
        let (number, ends) = self.removed(what, removals, &pulses, &[], duration).await?;
        self.bitten(number, pulses, ends, false).await
    }

    async fn removed(
        &self,
        what: String,
        removals: &[Removal],
        pulses: &[Pulse],
        victims: &[Victim],
        duration: Duration,
    ) -> Result<(u64, Instant), InjectError> {
        self.all_react(pulses)
            .await
            .map_err(InjectError::NotReachableBefore)?;
        let number = self.begin(what.clone(), duration)?;
        let ends = Instant::now() + duration;
        if let Err(source) = self.carry_out(number, removals, victims, duration).await {
            self.heal_early(number).await;
            return Err(InjectError::TakeAway { what, source });
        }
        Ok((number, ends))
    }

    async fn carry_out(
        &self,
        number: u64,
        removals: &[Removal],
        victims: &[Victim],
        duration: Duration,
    ) -> Result<(), ClusterError> {
        let mut healers = Vec::new();
        for removal in removals {
            let cluster = self.clusters.named(&removal.cluster)?;
            let kubeconfig = cluster.kubeconfig().ok_or_else(|| {
                let reason = "the cluster is somebody else's: what outlives us may not write to it";
                ClusterError::new("start the process that heals", reason)
            })?;
            let back = removal.back.clone();
            healers.push(Healer::start(kubeconfig, back, duration).await?);
        }
        self.remember(number, Remedy::Healers(healers));
        for removal in removals {
            let client = self.clusters.named(&removal.cluster)?.client();
            for away in &removal.away {
                away.carry_out(&client)
                    .await
                    .map_err(|error| ClusterError::new(format!("change {}", away.path), error))?;
            }
        }
        // Not the end that they would be given: they are gone at once.
        let deleted = victims.iter().map(|victim| async move {
            let client = self.clusters.named(&victim.address.cluster)?.client();
            let pods: Api<Pod> = Api::namespaced(client, &victim.address.namespace);
            let at_once = DeleteParams::default().grace_period(0);
            match pods.delete(&victim.address.name, &at_once).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                deleted => deleted.map(drop),
            }
            .map_err(|error| {
                ClusterError::new(format!("delete the pod {}", victim.address.name), error)
            })
        });
        try_join_all(deleted).await.map(drop)
    }

    fn begin(&self, what: String, duration: Duration) -> Result<u64, InjectError> {
        self.ledger
            .begin(what, None, u64::try_from(duration.as_millis()).ok())
            .map_err(InjectError::Ledger)
    }

    async fn bitten(
        &self,
        number: u64,
        pulses: Vec<Pulse>,
        ends: Instant,
        is_replaced: bool,
    ) -> Result<ActiveFault, InjectError> {
        match self.none_reacts(&pulses, ends).await {
            Ok(efficacy) => Ok(ActiveFault {
                number,
                efficacy,
                kind: Kind::Away {
                    ends,
                    pulses: if is_replaced { Vec::new() } else { pulses },
                    is_replaced,
                },
            }),
            Err(reason) => {
                self.heal_early(number).await;
                Err(InjectError::WithoutEffect(reason))
            }
        }
    }

    /// Waits for the time, and then until what is to come back as it was has done so.
    pub(crate) async fn wait_until_back(
        &self,
        number: u64,
        ends: Instant,
        pulses: &[Pulse],
        patience: Duration,
    ) -> Result<(), EndError> {
        let not_back = |last| EndError::NotBack {
            seconds: patience.as_secs(),
            last,
        };
        // `sleep_until` and not a poll: the timer of whoever took it away is the event, and it tells nobody.
        tokio::time::sleep_until(ends.into()).await;
        self.apply_healers(number).await.map_err(not_back)?;
        for part in self.parts_of(number) {
            let back = self.clusters.wait_until_back(&part).await;
            back.map_err(|error| not_back(chain(&error)))?;
        }
        self.until_all_react(pulses, patience)
            .await
            .map_err(not_back)
    }

    /// The parts of clusters that were taken away by it.
    fn parts_of(&self, number: u64) -> Vec<Part> {
        match self.remedies().get(&number) {
            Some(Remedy::Parts(parts)) => parts.clone(),
            Some(Remedy::Healers(_)) | None => Vec::new(),
        }
    }

    /// Has objects put back that are to be put back; what cannot be is kept in mind.
    async fn apply_healers(&self, number: u64) -> Result<(), String> {
        match self.remedy(number) {
            Some(Remedy::Healers(mut healers)) => {
                let healed = join_all(healers.iter_mut().map(Healer::heal)).await;
                let healed: Result<Vec<()>, _> = healed.into_iter().collect();
                self.remember(number, Remedy::Healers(healers));
                healed.map(drop).map_err(|error| chain(&error))
            }
            Some(others) => {
                self.remember(number, others);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Brings something back before its time, and waits until it works again. When that fails it stays in the ledger, and
    /// comes back by itself.
    async fn heal_early(&self, number: u64) {
        if let Err(error) = self.apply_remedy(number).await {
            tracing::warn!(error, "cannot heal early; it will heal by itself");
        }
        for error in self.wait_for_healed().await {
            tracing::warn!(error, "what was healed early does not work again");
        }
    }

    /// Waits until the parts of clusters that were given back before their time work again, as
    /// [`wait_for_end`](Self::wait_for_end) does for those whose time is over, and says which do not. As long as they do not,
    /// Kubernetes may say of pods that are gone that they are ready.
    pub async fn wait_for_healed(&self) -> Vec<String> {
        let parts = self.given_back().clone();
        let back = parts.iter().map(|part| self.clusters.wait_until_back(part));
        let back = join_all(back).await;
        // Only now: who is broken off while waiting leaves it to the next one.
        self.given_back().retain(|part| !parts.contains(part));
        let errors = back.into_iter().filter_map(Result::err);
        errors.map(|error| chain(&error)).collect()
    }

    fn given_back(&self) -> MutexGuard<'_, Vec<Part>> {
        // The list is whole after every change.
        self.given_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings something back now, and crosses it out.
    pub(crate) async fn apply_remedy(&self, number: u64) -> Result<(), String> {
        self.apply_healers(number).await?;
        let parts = match self.remedy(number) {
            Some(Remedy::Parts(parts)) => parts,
            _ => Vec::new(),
        };
        let given = parts.iter().map(|part| self.clusters.give_back(part));
        let given: Result<Vec<()>, _> = join_all(given).await.into_iter().collect();
        if let Err(error) = given {
            self.remember(number, Remedy::Parts(parts));
            return Err(chain(&error));
        }
        self.given_back().extend(parts);
        self.ledger.cross_out(number);
        Ok(())
    }
}
