//! Rolling parts of a mesh and applications out anew.

use crate::builds::Build;
use crate::definition::Component;
use crate::directory::{Workload, stable_name};
use crate::error::MeshError;
use crate::mesh::Mesh;
use crate::site::Site;
use crate::wait;
use futures::future::try_join_all;
use harness_model::history::ImageReplaced;
use harness_model::scenario::Rollout;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

/// What a rollout replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolledOut {
    /// Names of the pods that are gone.
    pub gone: Vec<String>,
    /// Names of the pods that came.
    pub came: Vec<String>,
    /// The images that it replaced.
    pub images: Vec<ImageReplaced>,
}

impl Mesh {
    /// Whether a build is known that comes before what is rolled out: a rollout can take it back then, and up again.
    ///
    /// # Errors
    ///
    /// When there is no such thing, or an API server cannot be read.
    pub async fn has_build_before(&self, what: &Rollout) -> Result<bool, MeshError> {
        for site in &self.sites {
            if site.has_build_before(&parts(site, what)?).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Rolls a build of something out in every cluster and waits until only new pods run, all of them ready. They are given
    /// the stable names of the ones that they replace.
    ///
    /// # Errors
    ///
    /// When there is no such thing, an API server cannot be written, or the rollout is not complete within `patience`.
    pub async fn restart(
        &self,
        what: &Rollout,
        build: Build,
        patience: Duration,
    ) -> Result<RolledOut, MeshError> {
        let sites = self.sites.iter();
        let restarted = sites.map(|site| restart(site, what, build, patience));
        let each = try_join_all(restarted).await?;
        Ok(each
            .into_iter()
            .fold(RolledOut::default(), |mut all, each| {
                all.gone.extend(each.gone);
                all.came.extend(each.came);
                all.images.extend(each.images);
                all
            }))
    }

    /// Gives pods that stand in for others the stable names of those, as [`Mesh::restart`] does at its end: it may have
    /// been broken off before.
    ///
    /// # Errors
    ///
    /// When an API server cannot be read.
    pub async fn settle_names(&self) -> Result<(), MeshError> {
        let nobody = BTreeMap::new();
        let settled = self.sites.iter().map(|site| rename(site, &nobody));
        try_join_all(settled).await.map(drop)
    }
}

async fn restart(
    site: &Site,
    what: &Rollout,
    build: Build,
    patience: Duration,
) -> Result<RolledOut, MeshError> {
    let parts = parts(site, what)?;
    let before = pods(site, what, &parts).await?;
    let mut images = Vec::new();
    for part in &parts {
        images.extend(site.roll(part, build).await?);
    }
    wait::until_restarted(site, &parts, patience).await?;
    if build == Build::UnderTest {
        site.forget_taken_back(&parts);
    }
    let after = pods(site, what, &parts).await?;
    rename(site, &before).await?;
    let names_without = |of: &BTreeMap<String, String>, others: &BTreeMap<String, String>| {
        of.iter()
            .filter(|(uid, _)| !others.contains_key(*uid))
            .map(|(_, name)| name.clone())
            .collect()
    };
    Ok(RolledOut {
        gone: names_without(&before, &after),
        came: names_without(&after, &before),
        images,
    })
}

/// Gives the pods that came the names of those that they replace, of whom nobody lives. At once: a list of pods that was
/// asked for before would give them others.
pub(crate) async fn rename(
    site: &Site,
    before: &BTreeMap<String, String>,
) -> Result<(), MeshError> {
    let living = site.workloads().await?;
    let mut names = site.names.lock().unwrap_or_else(PoisonError::into_inner);
    let lives = |uid: &String| {
        living
            .iter()
            .any(|workload| workload.sidecar.pod_uid == *uid)
    };
    let numbered = |name: &String| name.contains('#');
    let keeps = |uid: &String, name: &String| before.contains_key(uid) || !numbered(name);
    names.retain(|uid, name| lives(uid) && keeps(uid, name));
    for Workload { sidecar, .. } in &living {
        stable_name(
            &mut names,
            &sidecar.pod_uid,
            &sidecar.application,
            &sidecar.data_center,
        );
    }
    Ok(())
}

impl Site {
    /// The Deployments of workloads that are to have pods.
    pub(crate) fn running_workloads(&self) -> Vec<Component> {
        let form = &self.definition.workloads;
        let canary = form.canary.iter().filter(|canary| canary.replicas > 0);
        let canary = canary.map(|canary| &canary.application);
        let applications = form.applications.iter().chain(canary);
        applications
            .flat_map(|application| deployments(self, application))
            .filter(|part| self.wanted(&part.name) > 0)
            .collect()
    }
}

/// The objects that run it in this cluster.
fn parts(site: &Site, what: &Rollout) -> Result<Vec<Component>, MeshError> {
    match what {
        Rollout::Component(name) => site
            .definition
            .component(name)
            .map(|part| vec![part])
            .ok_or_else(|| {
                MeshError::Missing(format!("find the component {name}: the mesh has none"))
            }),
        Rollout::Application(application) => Ok(deployments(site, application)),
    }
}

/// The Deployments of an application.
fn deployments(site: &Site, application: &str) -> Vec<Component> {
    let form = &site.definition.workloads;
    let names: BTreeSet<String> = match &form.canary {
        Some(canary) if canary.application == application => [canary.deployment.clone()].into(),
        _ => site
            .context
            .data_centers()
            .iter()
            .map(|data_center| site.deployment_of(application, data_center))
            .collect(),
    };
    let selector: BTreeMap<_, _> =
        [(form.application_label.clone(), application.to_owned())].into();
    let of = |name| Component::deployment(&form.namespace, name, selector.clone());
    names.into_iter().map(of).collect()
}

/// UID → name of the pods that run it.
async fn pods(
    site: &Site,
    what: &Rollout,
    parts: &[Component],
) -> Result<BTreeMap<String, String>, MeshError> {
    match what {
        Rollout::Application(application) => Ok(site
            .workloads()
            .await?
            .into_iter()
            .filter(|workload| workload.sidecar.application == *application)
            .map(|workload| (workload.sidecar.pod_uid, workload.sidecar.pod))
            .collect()),
        // A pod of a Deployment or DaemonSet never has the name of another one.
        Rollout::Component(_) => {
            let found = try_join_all(parts.iter().map(|part| site.pods_of(part))).await?;
            let names = found.concat().into_iter().map(|pod| pod.name);
            Ok(names.map(|name| (name.clone(), name)).collect())
        }
    }
}
