//! The kind clusters of a topology, one for each of its clusters.

use super::PREFIX;
use super::bring_up::{Keep, Options};
use super::cluster::KindCluster;
use super::engine::Engine;
use super::made::Made;
use super::state::{self, Listed, State};
use crate::clusters::{self, Clusters};
use crate::together::{self, Kept, Whole};
use crate::{Cluster, ClusterError};
use futures::future::{join_all, try_join_all};
use harness_model::topology::Topology;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Makes the clusters of a topology, all at the same time, and returns when every node is ready. `progress` is told of
/// each step.
///
/// # Errors
///
/// As [`KindCluster::up`], of each that fails; the others are removed then, unless they are to be kept in any case. The
/// error says what could not be removed.
pub async fn up(
    options: Options,
    mut progress: impl FnMut(&str) + Send,
) -> Result<Clusters, ClusterError> {
    let parts = parts(&options);
    let several = parts.len() > 1;
    if let Some(warning) = too_little_inotify(&options.topology) {
        progress(&warning);
    }
    // Who tells of a step holds it for that moment only.
    let progress = Mutex::new(&mut progress as &mut (dyn FnMut(&str) + Send));
    let ups = parts.iter().map(|part| {
        let progress = &progress;
        let name = part.topology.clusters.first().map(|shape| &shape.name);
        let step = move |text: &str| {
            let mut tell = progress.lock().unwrap_or_else(PoisonError::into_inner);
            match name {
                Some(name) if several => tell(&format!("{name}: {text}")),
                _ => tell(text),
            }
        };
        KindCluster::up(part.clone(), step)
    });
    let (made, failed): (Vec<_>, Vec<_>) = join_all(ups).await.into_iter().partition(Result::is_ok);
    let made: Vec<Arc<KindCluster>> = made.into_iter().flatten().map(Arc::new).collect();
    let kept = match failed.is_empty() && options.keep == Keep::WhenReady {
        true => made.iter().try_for_each(|cluster| cluster.stay()),
        false => Ok(()),
    };
    let failed = failed
        .into_iter()
        .filter_map(Result::err)
        .chain(kept.err())
        .collect();
    if let Some(mut error) = together::one_error("bring up the kind clusters", failed) {
        let (kept, ended): (Vec<_>, Vec<_>) = made
            .into_iter()
            .partition(|cluster| options.keep.keeps_failed() && is_kept(cluster));
        drop(kept);
        let left = join_all(ended.into_iter().map(Cluster::down)).await;
        error.left.extend(left.concat());
        return Err(error);
    }
    let all = made.into_iter().map(|cluster| cluster as Arc<dyn Cluster>);
    Ok(Clusters::of(options.topology, all.collect()))
}

/// Lets a cluster live on; false when it cannot.
fn is_kept(cluster: &Arc<KindCluster>) -> bool {
    let kept = cluster.stay();
    if let Err(error) = &kept {
        tracing::warn!(%error, "the cluster cannot be kept");
    }
    kept.is_ok()
}

/// How many inotify instances a node takes with its pods and their sidecars: systemd, containerd and the kubelet have some
/// each, and every Envoy one. Without one it ends at once, and says so in its log only.
const INOTIFY_INSTANCES_OF_A_NODE: u64 = 28;

/// A limit of this machine for watching files (inotify(7)), by its name below `/proc/sys/fs/inotify`; none when it is not
/// told.
#[must_use]
pub fn inotify_limit(name: &str) -> Option<u64> {
    let path = format!("/proc/sys/fs/inotify/{name}");
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// That this machine's limit of inotify instances does not suffice for the nodes of a topology; none when it does.
fn too_little_inotify(topology: &Topology) -> Option<String> {
    let limit = inotify_limit("max_user_instances")?;
    let workers: u32 = topology.data_centers().map(|found| found.nodes).sum();
    let nodes = u64::from(workers) + topology.clusters.len() as u64;
    let needed = nodes * INOTIFY_INSTANCES_OF_A_NODE;
    (limit < needed).then(|| {
        format!(
            "{limit} inotify instances are too few for {nodes} nodes, and sidecars may end at once: sysctl -w fs.inotify.max_user_instances={}",
            needed.max(512)
        )
    })
}

/// What a bring-up under this name that was broken off has left: destructors remove what they can, and tell nobody.
#[must_use]
pub fn left_of(cache: &Path, name: &str, topology: &Topology) -> Vec<String> {
    let names = topology.clusters.iter().map(|shape| &shape.name);
    let names: Vec<String> = match names.len() {
        1 => vec![name.to_owned()],
        _ => names.map(|shape| together::name_of(name, shape)).collect(),
    };
    let dead = super::dead(cache).into_iter();
    dead.filter(|dead| names.contains(&dead.name) && state::is_begun(&dead.folder))
        .map(|dead| format!("kind cluster {PREFIX}{}", dead.name))
        .collect()
}

/// How each cluster of a topology is made.
fn parts(options: &Options) -> Vec<Options> {
    let options = Options {
        keep: only_in_any_case(options.keep),
        ..options.clone()
    };
    let shapes = &options.topology.clusters;
    if shapes.len() == 1 {
        return vec![options];
    }
    let whole = Whole {
        name: options.name.clone(),
        topology: options.topology.clone(),
    };
    let part = |(position, name): (usize, &str)| Options {
        name: together::name_of(&options.name, name),
        topology: clusters::part(&options.topology, position),
        diagnostics: options.diagnostics.as_ref().map(|folder| folder.join(name)),
        part_of: Some(whole.clone()),
        ..options.clone()
    };
    let names = shapes.iter().map(|shape| shape.name.as_str());
    names.enumerate().map(part).collect()
}

/// Clusters that stay once they are ready stay once all of them are.
fn only_in_any_case(keep: Keep) -> Keep {
    match keep {
        Keep::OnFailure | Keep::Always => keep,
        Keep::Never | Keep::WhenReady => Keep::Never,
    }
}

/// Everything that is kept: each cluster that was brought up alone, and clusters that were brought up together under
/// their common name.
#[must_use]
pub fn kept(cache: &Path) -> Vec<Kept> {
    let kept = state::list(cache)
        .into_iter()
        .filter(|listed| listed.state == State::Kept);
    together::kept(kept.filter_map(|listed| {
        let in_use = listed.in_use;
        Some((listed.name, listed.topology?, listed.part_of, in_use))
    }))
}

fn find(cache: &Path, name: &str) -> Option<Kept> {
    kept(cache).into_iter().find(|kept| kept.name == name)
}

/// Attaches to what is kept under a name. Dropping it leaves the clusters as they are.
///
/// # Errors
///
/// When nothing is kept under this name, one of its clusters is not there any more, or an API server cannot be reached.
pub async fn attach(cache: &Path, name: &str, program: &Path) -> Result<Clusters, ClusterError> {
    let Some(kept) = find(cache, name) else {
        // It says what is kept.
        let alone = KindCluster::attach(cache, name, program).await?;
        return Ok(Clusters::one(Arc::new(alone)));
    };
    if let Some(error) = kept.incomplete() {
        return Err(error);
    }
    let attached = kept
        .clusters
        .iter()
        .map(|cluster| KindCluster::attach(cache, cluster, program));
    let attached = try_join_all(attached).await?;
    let all = attached
        .into_iter()
        .map(|cluster| Arc::new(cluster) as Arc<dyn Cluster>);
    Ok(Clusters::of(kept.topology, all.collect()))
}

/// Ends what is kept under a name without asking its API servers; says what is left.
///
/// # Errors
///
/// When nothing is kept under it, a process uses one of its clusters, or there is no engine or another one than they were
/// made with; then none of them is removed.
pub async fn remove_kept(
    cache: &Path,
    name: &str,
    program: &Path,
) -> Result<Vec<String>, ClusterError> {
    remove_kept_on(&Engine::find().await?, cache, name, program).await
}

async fn remove_kept_on(
    engine: &Engine,
    cache: &Path,
    name: &str,
    program: &Path,
) -> Result<Vec<String>, ClusterError> {
    let clusters = find(cache, name).map_or(vec![name.to_owned()], |kept| kept.clusters);
    let identity = engine.identity().await;
    // None is removed before all of them are ours.
    let taken: Vec<Made> = clusters
        .iter()
        .map(|cluster| Made::take_kept(cache, cluster, program, (engine, &identity)))
        .collect::<Result<_, _>>()?;
    Ok(join_all(taken.iter().map(Made::end)).await.concat())
}

impl Listed {
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
    use super::super::fakes::Fakes;
    use super::super::state::{Description, Folder};
    use super::*;
    use crate::topology;

    fn keep(cache: &Path, name: &str, topology: Topology, part_of: Option<Whole>) {
        let folder = Folder::create(cache, name).expect("the name is free");
        let description = Description {
            topology,
            started: jiff::Timestamp::now(),
            part_of,
        };
        folder.keep(&description).expect("it can be written");
    }

    #[test]
    fn clusters_that_were_brought_up_together_are_one_by_name() {
        let cache = tempfile::tempdir().expect("a folder");
        let whole = Whole {
            name: "duo".to_owned(),
            topology: topology::load("two-clusters").expect("it is built in"),
        };
        // In the order of the topology, whatever the order of names or of making.
        for position in [1, 0] {
            let part = clusters::part(&whole.topology, position);
            let name = format!("duo-{}", part.clusters[0].name);
            keep(cache.path(), &name, part, Some(whole.clone()));
        }
        let one = topology::load("one-zone").expect("it is built in");
        keep(cache.path(), "alone", one.clone(), None);
        let kept = kept(cache.path());
        assert_eq!(
            kept,
            [
                Kept {
                    name: "alone".to_owned(),
                    topology: one,
                    clusters: vec!["alone".to_owned()],
                    in_use: false,
                },
                Kept {
                    name: "duo".to_owned(),
                    topology: whole.topology,
                    clusters: vec!["duo-east".to_owned(), "duo-west".to_owned()],
                    in_use: false,
                },
            ]
        );
        let listed = state::list(cache.path());
        let handles: Vec<&str> = listed.iter().map(Listed::handle).collect();
        assert_eq!(handles, ["alone", "duo", "duo"]);
    }

    #[tokio::test]
    async fn clusters_are_removed_together_or_not_at_all_and_what_stays_is_dead() {
        let fakes = Fakes::knowing(&["meshproof-duo-east", "meshproof-duo-west"]);
        let cache = fakes.cache();
        let whole = Whole {
            name: "duo".to_owned(),
            topology: topology::load("two-clusters").expect("it is built in"),
        };
        let engine = fakes.engine();
        let identity = engine.identity().await;
        for position in [0, 1] {
            let part = clusters::part(&whole.topology, position);
            let name = format!("duo-{}", part.clusters[0].name);
            let folder = Folder::create(cache, &name).expect("the name is free");
            folder.begin("", &identity).expect("it can be written");
            drop(folder);
            keep(cache, &name, part, Some(whole.clone()));
        }
        let user = Folder::use_kept(&state::of(cache, "duo-west")).expect("it is kept");
        let kind = fakes.kind();
        let remove = || remove_kept_on(&engine, cache, "duo", &kind);
        let busy = remove().await.expect_err("one of them is used");
        assert!(
            busy.hint
                .expect("there is something to do")
                .contains("wait")
        );
        let used = kept(cache).remove(0);
        assert_eq!(used.clusters, ["duo-east", "duo-west"]);
        assert!(used.in_use, "one of them is");
        drop(user);
        fakes.write("stuck", "");
        assert_eq!(remove().await.expect("they are free").len(), 2);
        assert_eq!(kept(cache), [], "`clean` tries again");
        let dead = [
            "kind cluster meshproof-duo-east",
            "kind cluster meshproof-duo-west",
        ];
        assert_eq!(left_of(cache, "duo", &whole.topology), dead);
        // Nothing was made under this one.
        drop(Folder::create(cache, "other-east").expect("the name is free"));
        assert_eq!(left_of(cache, "other", &whole.topology).len(), 0);
    }

    #[test]
    fn each_cluster_of_several_has_its_part_and_what_is_kept_when_ready_is_kept_together() {
        let options = Options {
            name: "duo".to_owned(),
            topology: topology::load("two-clusters").expect("it is built in"),
            program: "kind".into(),
            cache: "cache".into(),
            node_image: None,
            keep: Keep::WhenReady,
            diagnostics: Some("logs".into()),
            part_of: None,
            images: None,
        };
        let made = parts(&options);
        let names: Vec<&str> = made.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["duo-east", "duo-west"]);
        for part in &made {
            assert_eq!(part.topology.clusters.len(), 1);
            assert_eq!(part.keep, Keep::Never, "one alone does not stay");
            assert_eq!(
                part.part_of.as_ref().map(|whole| whole.name.as_str()),
                Some("duo")
            );
        }
        assert_eq!(made[1].diagnostics.as_deref(), Some(Path::new("logs/west")));

        let on_failure = Options {
            keep: Keep::OnFailure,
            ..options.clone()
        };
        assert_eq!(parts(&on_failure)[1].keep, Keep::OnFailure);
        let alone = Options {
            topology: topology::load("one-zone").expect("it is built in"),
            keep: Keep::Always,
            ..options
        };
        let made = parts(&alone);
        assert_eq!((made.len(), made[0].name.as_str()), (1, "duo"));
        assert_eq!(
            (made[0].keep, made[0].part_of.as_ref()),
            (Keep::Always, None)
        );
    }
}
