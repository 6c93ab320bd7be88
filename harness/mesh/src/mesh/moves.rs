//! Workloads that come, go and move, each in the cluster of its data center.

use super::Mesh;
use crate::Workload;
use crate::error::MeshError;
use crate::site::Site;
use futures::future::join_all;
use std::collections::BTreeSet;
use std::time::Duration;

impl Mesh {
    /// Starts one more pod of `application` in `data_center` and waits until it is Ready, which a sidecar's pod is
    /// when its sidecar has its first configuration. Returns the new pod.
    ///
    /// # Errors
    ///
    /// When the workload is unknown, the API server cannot be written, or the pod does not become Ready within
    /// `patience`.
    pub async fn join(
        &self,
        application: &str,
        data_center: &str,
        patience: Duration,
    ) -> Result<Workload, MeshError> {
        let site = self.holding(data_center)?;
        site.join(application, data_center, patience).await
    }

    /// Scales `application` in `data_center` to nothing and waits until its pods are gone and the service of the
    /// application has no endpoint of them any more.
    ///
    /// # Errors
    ///
    /// When the workload is unknown, the API server cannot be written, or the pods are not gone within
    /// `patience`.
    pub async fn vacate(
        &self,
        application: &str,
        data_center: &str,
        patience: Duration,
    ) -> Result<(), MeshError> {
        let site = self.holding(data_center)?;
        site.vacate(application, data_center, patience).await
    }

    /// Has `application` of one data center scheduled in another one of the same cluster, and waits until its new pod is
    /// Ready and the old one is gone.
    ///
    /// # Errors
    ///
    /// When a data center is unknown or in another cluster, the API server cannot be written, or that does not happen
    /// within `patience`.
    pub async fn reschedule(
        &self,
        application: &str,
        from: &str,
        to: &str,
        patience: Duration,
    ) -> Result<(), MeshError> {
        let site = self.holding(from)?;
        if !std::ptr::eq(site, self.holding(to)?) {
            return Err(MeshError::Missing(format!(
                "move {application} from {from} to {to}: they are in different clusters"
            )));
        }
        site.reschedule(application, from, to, patience).await
    }

    /// Undoes every [`join`](Self::join), [`vacate`](Self::vacate), [`reschedule`](Self::reschedule) and
    /// [`withdraw`](Self::withdraw), puts the build under test back where a [`restart`](Self::restart) was broken off, and waits
    /// until the workloads are as deployed.
    ///
    /// # Errors
    ///
    /// When an API server cannot be written or the workloads are not Ready within `patience`.
    pub async fn restore(&self, patience: Duration) -> Result<(), MeshError> {
        let restored = self.sites.iter().map(|site| site.restore(patience));
        // A cluster where it fails breaks it off in no other.
        let each = join_all(restored).await;
        each.into_iter().collect()
    }

    /// What runs the build before the one under test: rollouts that were broken off, and not put right by
    /// [`restore`](Self::restore) so far.
    #[must_use]
    pub fn taken_back(&self) -> BTreeSet<String> {
        let each = self.sites.iter().map(Site::taken_back);
        each.flatten().collect()
    }

    /// The services that were taken away and are not back.
    #[must_use]
    pub fn withdrawn(&self) -> BTreeSet<String> {
        let each = self.sites.iter().map(Site::withdrawn);
        each.flatten().collect()
    }
}
