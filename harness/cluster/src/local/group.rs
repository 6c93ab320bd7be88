//! The local clusters of a topology: a fabric for each of its clusters, side by side.
//!
//! Each fabric is a network of its own, with the same addresses: pods of two clusters can have the same one, as in real
//! clusters that do not know of each other. Nothing leads from one to the other but the harness.

use super::cluster::{LocalCluster, Options};
use crate::clusters::{self, Clusters};
use crate::together::{self, Kept, Whole};
use crate::{Cluster, ClusterError};
use futures::future::{join_all, try_join_all};
use std::sync::{Arc, Mutex, PoisonError};

/// Brings the clusters of a topology up, all at the same time, and returns when every node is ready. `progress` is told
/// of each step.
///
/// # Errors
///
/// As [`LocalCluster::up`], of each that fails; nothing is left of the others then.
pub async fn up(
    options: Options,
    mut progress: impl FnMut(&str) + Send,
) -> Result<Clusters, ClusterError> {
    if options.topology.clusters.len() == 1 {
        let alone = LocalCluster::up(options, progress).await?;
        return Ok(Clusters::one(Arc::new(alone)));
    }
    // Who tells of a step holds it for that moment only.
    let progress = Mutex::new(&mut progress as &mut (dyn FnMut(&str) + Send));
    let ups = parts(&options).into_iter().map(|part| {
        let progress = &progress;
        let name = part.topology.clusters.first().map(|shape| &shape.name);
        let name = name.cloned().unwrap_or_default();
        LocalCluster::up(part, move |text: &str| {
            let mut tell = progress.lock().unwrap_or_else(PoisonError::into_inner);
            tell(&format!("{name}: {text}"));
        })
    });
    let (made, failed): (Vec<_>, Vec<_>) = join_all(ups).await.into_iter().partition(Result::is_ok);
    let mut made: Vec<LocalCluster> = made.into_iter().flatten().collect();
    let mut failed: Vec<ClusterError> = failed.into_iter().filter_map(Result::err).collect();
    if failed.is_empty() && options.keep {
        for cluster in &mut made {
            failed.extend(cluster.keep().await.err());
        }
    }
    let made: Vec<Arc<dyn Cluster>> = made
        .into_iter()
        .map(|cluster| Arc::new(cluster) as Arc<dyn Cluster>)
        .collect();
    if let Some(error) = together::one_error("bring up the clusters", failed) {
        for left in join_all(made.into_iter().map(Cluster::down)).await.concat() {
            tracing::warn!(%left, "not removed; `meshproof clean` tries again");
        }
        return Err(error);
    }
    Ok(Clusters::of(options.topology, made))
}

/// How each cluster of a topology of several is made: none stays by itself before all of them are there.
fn parts(options: &Options) -> Vec<Options> {
    let whole = Whole {
        name: options.name.clone(),
        topology: options.topology.clone(),
    };
    let shapes = options.topology.clusters.iter().enumerate();
    shapes
        .map(|(position, shape)| Options {
            name: together::name_of(&options.name, &shape.name),
            topology: clusters::part(&options.topology, position),
            keep: false,
            part_of: Some(whole.clone()),
            ..options.clone()
        })
        .collect()
}

/// Everything of this user that is up: each cluster that was brought up alone, and clusters that were brought up together
/// under their common name.
#[must_use]
pub fn kept() -> Vec<Kept> {
    let running = super::list().into_iter().filter(|listed| listed.running);
    together::kept(running.filter_map(|listed| {
        let in_use = listed.in_use;
        Some((listed.name, listed.topology?, listed.part_of, in_use))
    }))
}

/// Attaches to what is up under a name. Dropping it leaves the clusters as they are.
///
/// # Errors
///
/// When nothing is up under this name, one of its clusters is not there any more, or somebody uses one.
pub async fn attach(name: &str) -> Result<Clusters, ClusterError> {
    let kept = kept().into_iter().find(|kept| kept.name == name);
    let Some(kept) = kept.filter(|kept| kept.clusters != [name]) else {
        // It says what is up.
        let alone = LocalCluster::attach(name).await?;
        return Ok(Clusters::one(Arc::new(alone)));
    };
    if let Some(error) = kept.incomplete() {
        return Err(error);
    }
    let attached = attach_to(&kept.clusters).await?;
    Ok(Clusters::of(kept.topology, attached))
}

/// Ends what is up under a name; says what is left.
///
/// # Errors
///
/// When nothing is up under it, or somebody uses one of its clusters.
pub async fn remove_kept(name: &str) -> Result<Vec<String>, ClusterError> {
    let kept = kept().into_iter().find(|kept| kept.name == name);
    let clusters = kept.map_or(vec![name.to_owned()], |kept| kept.clusters);
    let attached = attach_to(&clusters).await?;
    Ok(join_all(attached.into_iter().map(Cluster::down))
        .await
        .concat())
}

async fn attach_to(clusters: &[String]) -> Result<Vec<Arc<dyn Cluster>>, ClusterError> {
    let attached = clusters.iter().map(|cluster| LocalCluster::attach(cluster));
    let attached = try_join_all(attached).await?;
    Ok(attached
        .into_iter()
        .map(|cluster| Arc::new(cluster) as Arc<dyn Cluster>)
        .collect())
}

impl super::Listed {
    /// The name under which it is used and taken down.
    #[must_use]
    pub fn handle(&self) -> &str {
        self.part_of
            .as_ref()
            .map_or(&self.name, |whole| &whole.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::Programs;
    use crate::topology;
    use std::path::PathBuf;

    #[test]
    fn each_cluster_of_several_has_its_part_and_stays_only_with_the_others() {
        let nowhere = PathBuf::new();
        let options = Options {
            name: "duo".to_owned(),
            topology: topology::load("two-clusters").expect("it is built in"),
            programs: Programs {
                etcd: nowhere.clone(),
                kube_apiserver: nowhere.clone(),
                kube_controller_manager: nowhere.clone(),
                kube_scheduler: nowhere.clone(),
            },
            image_store: nowhere,
            keep: true,
            part_of: None,
            early: false,
        };
        let made = parts(&options);
        let names: Vec<&str> = made.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["duo-east", "duo-west"]);
        for part in &made {
            assert_eq!((part.topology.clusters.len(), part.keep), (1, false));
            let whole = part.part_of.as_ref().map(|whole| whole.name.as_str());
            assert_eq!(whole, Some("duo"));
        }
    }
}
