//! The clusters of one environment: one, or several that a mesh spans.

use crate::rights::Right;
use crate::{
    Cluster, ClusterError, ConnectError, ImageArchive, ImageNames, OnDisks, Part, PodAddress,
    PodStream, WireSeen, exposure, zones_of,
};
use futures::future::{join_all, select_all, try_join_all};
use harness_model::capability::Capability;
use harness_model::topology::Topology;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// At least one cluster, each with an API server of its own. Names of clusters and of data centers are unique among them;
/// addresses of pods need not be.
pub struct Clusters {
    all: Vec<Arc<dyn Cluster>>,
    topology: Topology,
}

impl Clusters {
    /// An environment of one cluster.
    #[must_use]
    pub fn one(cluster: Arc<dyn Cluster>) -> Self {
        Self {
            topology: cluster.topology().clone(),
            all: vec![cluster],
        }
    }

    /// The clusters of a topology, in its order, each brought up with [its part](part) of it.
    #[must_use]
    pub fn of(topology: Topology, all: Vec<Arc<dyn Cluster>>) -> Self {
        Self { all, topology }
    }

    /// Each of them.
    #[must_use]
    pub fn all(&self) -> &[Arc<dyn Cluster>] {
        &self.all
    }

    /// The shape of all of them together.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The cluster of a name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn named(&self, name: &str) -> Result<&Arc<dyn Cluster>, ClusterError> {
        self.all
            .iter()
            .find(|cluster| self::name(cluster.as_ref()) == name)
            .ok_or_else(|| {
                let reason = format!("there is no cluster `{name}`");
                ClusterError::because("find a cluster", reason)
            })
    }

    /// As [`Cluster::wait_until_ready`], all of them.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn wait_until_ready(&self) -> Result<(), ClusterError> {
        let ready = self.all.iter().map(|cluster| cluster.wait_until_ready());
        try_join_all(ready).await.map(drop)
    }

    /// What can be done with each of them that has several data centers: nothing is done to those of another one.
    #[must_use]
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        let common = self
            .all
            .iter()
            .map(|cluster| cluster.capabilities())
            .filter(|has| self.all.len() == 1 || has.contains(&Capability::TwoZones))
            .reduce(|common, has| common.intersection(&has).copied().collect());
        let mut common = common.unwrap_or_default();
        common.extend(zones_of(&self.topology));
        common
    }

    /// Those of these rights that our user of one of them lacks.
    ///
    /// # Errors
    ///
    /// When an API server does not tell.
    pub async fn missing_rights(
        &self,
        asked: &BTreeSet<Right>,
    ) -> Result<BTreeSet<Right>, ClusterError> {
        let answers = self.all.iter().map(|cluster| cluster.missing_rights(asked));
        Ok(try_join_all(answers).await?.into_iter().flatten().collect())
    }

    /// Ends, with the reason, when one of them may not be used any more although nobody has taken it down.
    pub async fn lost(&self) -> ClusterError {
        select_all(self.all.iter().map(|cluster| cluster.lost()))
            .await
            .0
    }

    /// As [`Cluster::stay`], all of them.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn stay(&self) -> Result<(), ClusterError> {
        self.all.iter().try_for_each(|cluster| cluster.stay())
    }

    /// As [`Cluster::connect`], in the pod's cluster.
    ///
    /// # Errors
    ///
    /// As there, and when the cluster is not one of these.
    pub async fn connect(
        &self,
        pod: &PodAddress,
        port: u16,
    ) -> Result<Box<dyn PodStream>, ConnectError> {
        let cluster = self.named(&pod.cluster).map_err(|error| ConnectError {
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            port,
            source: std::io::Error::other(error),
        })?;
        cluster.connect(pod, port).await
    }

    /// As [`Cluster::load_images`], in all of them side by side.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn load_images(&self, images: &[ImageArchive]) -> Result<ImageNames, ClusterError> {
        let loads = self.all.iter().map(|cluster| cluster.load_images(images));
        Ok(try_join_all(loads).await?.into_iter().flatten().collect())
    }

    /// As [`Cluster::cut_zone`], in the data center's cluster.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn cut_zone(
        &self,
        data_center: &str,
        duration: Duration,
    ) -> Result<(), ClusterError> {
        let cluster = self.holding(data_center)?;
        cluster.cut_zone(data_center, duration).await
    }

    /// As [`Cluster::heal_zone`], in the data center's cluster.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn heal_zone(&self, data_center: &str) -> Result<(), ClusterError> {
        self.holding(data_center)?.heal_zone(data_center).await
    }

    /// As [`Cluster::take_away`], in the clusters that have the part.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn take_away(&self, part: &Part, duration: Duration) -> Result<String, ClusterError> {
        let having = self.having(part)?;
        let taken = having
            .iter()
            .map(|cluster| cluster.take_away(part, duration));
        Ok(try_join_all(taken).await?.join("; "))
    }

    /// As [`Cluster::give_back`], in the clusters that have the part.
    ///
    /// # Errors
    ///
    /// As there, of the first that fails; the others give it back all the same.
    pub async fn give_back(&self, part: &Part) -> Result<(), ClusterError> {
        let having = self.having(part)?;
        let given = having.iter().map(|cluster| cluster.give_back(part));
        join_all(given).await.into_iter().collect()
    }

    /// As [`Cluster::wait_until_back`], in the clusters that have the part.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn wait_until_back(&self, part: &Part) -> Result<(), ClusterError> {
        let having = self.having(part)?;
        let back = having.iter().map(|cluster| cluster.wait_until_back(part));
        try_join_all(back).await.map(drop)
    }

    fn having(&self, part: &Part) -> Result<Vec<&Arc<dyn Cluster>>, ClusterError> {
        match part {
            Part::PodProcesses(pod) | Part::Promptness { pod, .. } => {
                Ok(vec![self.named(&pod.cluster)?])
            }
            Part::Nodes { data_center } | Part::OnDisks(OnDisks { data_center, .. }) => {
                Ok(vec![self.holding(data_center)?])
            }
            Part::ApiServer | Part::Etcd => Ok(self.all.iter().collect()),
        }
    }

    /// As [`Cluster::watch_wire`], in the data center's cluster.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn watch_wire(
        &self,
        data_center: &str,
        source: Ipv4Addr,
    ) -> Result<(), ClusterError> {
        self.holding(data_center)?
            .watch_wire(data_center, source)
            .await
    }

    /// As [`Cluster::wire_seen`], in the data center's cluster.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn wire_seen(
        &self,
        data_center: &str,
        source: Ipv4Addr,
    ) -> Result<WireSeen, ClusterError> {
        self.holding(data_center)?
            .wire_seen(data_center, source)
            .await
    }

    /// As [`Cluster::token_ending`], of the cluster with this name.
    ///
    /// # Errors
    ///
    /// As there, and when there is no such cluster.
    pub fn token_ending(
        &self,
        cluster: &str,
        token: &str,
        end_s: i64,
    ) -> Result<String, ClusterError> {
        let is_it = |known: &&Arc<dyn Cluster>| name(known.as_ref()) == cluster;
        let found = self.all.iter().find(is_it).ok_or_else(|| {
            let reason = format!("there is no cluster `{cluster}`");
            ClusterError::because("sign a token anew", reason)
        })?;
        found.token_ending(token, end_s)
    }

    /// As [`Cluster::collect_diagnostics`]; of several each below a folder with its name.
    ///
    /// # Errors
    ///
    /// As there, of the first that fails; the others are collected all the same.
    pub async fn collect_diagnostics(&self, folder: &Path) -> Result<(), ClusterError> {
        let collected = self.all.iter().map(|cluster| async move {
            let own = match self.all.len() {
                1 => folder.to_owned(),
                _ => folder.join(name(cluster.as_ref())),
            };
            cluster.collect_diagnostics(&own).await
        });
        join_all(collected).await.into_iter().collect()
    }

    /// As [`exposure::keys_in_logs`], of all clusters; and as [`exposure::keys_in_kept_logs`] of those that keep them, where
    /// they ended after `since`.
    pub async fn keys_in_logs(&self, namespaces: &[String], since: Timestamp) -> exposure::Search {
        let looks = self.all.iter().map(|cluster| async move {
            let client = cluster.client();
            let mut search = exposure::keys_in_logs(&client, namespaces).await;
            if cluster.keeps_logs() {
                search.add(exposure::keys_in_kept_logs(&client, namespaces, since).await);
            }
            self.told_of(cluster.as_ref(), search)
        });
        exposure::Search::sum(join_all(looks).await)
    }

    /// As [`Cluster::keys_on_disks`], of all of them.
    pub async fn keys_on_disks(&self, folders: &[PathBuf]) -> exposure::Search {
        let looks = self.all.iter().map(|cluster| async move {
            let search = cluster.keys_on_disks(folders).await;
            self.told_of(cluster.as_ref(), search)
        });
        exposure::Search::sum(join_all(looks).await)
    }

    /// As [`exposure::keys_in_secrets`], of those that are ours.
    pub async fn keys_in_secrets(&self, secrets: &[(String, String)]) -> exposure::Search {
        // A cluster of somebody else has no kubeconfig.
        let ours = self.all.iter().filter(|one| one.kubeconfig().is_some());
        let looks = ours.map(|cluster| async move {
            let search = exposure::keys_in_secrets(&cluster.client(), secrets).await;
            self.told_of(cluster.as_ref(), search)
        });
        exposure::Search::sum(join_all(looks).await)
    }

    /// What a search of one of them came to: where there are several, every place with the name of the cluster.
    fn told_of(&self, cluster: &dyn Cluster, search: exposure::Search) -> exposure::Search {
        match self.all.len() {
            1 => search,
            _ => search.each_after(&format!("cluster {}: ", name(cluster))),
        }
    }

    /// As [`Cluster::down`], all of them side by side.
    pub async fn down(&self) -> Vec<String> {
        let downs = self.all.iter().map(|cluster| Arc::clone(cluster).down());
        join_all(downs).await.concat()
    }

    fn holding(&self, data_center: &str) -> Result<&Arc<dyn Cluster>, ClusterError> {
        let holds = |cluster: &&Arc<dyn Cluster>| {
            let mut data_centers = cluster.topology().data_centers();
            data_centers.any(|known| known.name == data_center)
        };
        self.all.iter().find(holds).ok_or_else(|| {
            let reason = format!("there is no data center `{data_center}`");
            ClusterError::because("find the cluster of a data center", reason)
        })
    }
}

/// The name of a cluster in its topology.
#[must_use]
pub fn name(cluster: &dyn Cluster) -> &str {
    let shape = cluster.topology().clusters.first();
    shape.map_or("", |shape| shape.name.as_str())
}

/// One cluster's part of a topology, by its position.
#[must_use]
pub fn part(topology: &Topology, position: usize) -> Topology {
    Topology {
        clusters: topology
            .clusters
            .get(position)
            .cloned()
            .into_iter()
            .collect(),
        ..topology.clone()
    }
}

#[cfg(test)]
mod tests;
