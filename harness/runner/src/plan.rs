//! What is to be run, on what, and what is kept.

use harness_cluster::assets::{AssetOptions, ForImages};
use harness_cluster::kind::Held;
use harness_mesh::MeshDefinition;
use harness_model::patience::Patience;
use harness_model::scenario::Scenario;
use harness_model::topology::Topology;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

/// Everything a run needs to know.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// Names the run and its artefact folder: lower-case letters, digits and dashes (a Kubernetes label value).
    pub run: String,
    /// When the process started: durations in events count from here.
    pub started: Instant,
    /// The selected scenarios, in the order to be run.
    pub scenarios: Vec<Scenario>,
    /// What the order of scenarios comes from where it is shuffled; nothing else is random.
    pub seed: u64,
    /// Shuffle the scenarios by the seed.
    pub shuffle: bool,
    /// How often each scenario is run, at least once.
    pub repeat: u32,
    /// How many scenarios that disturb nothing may run at once, at least one; beside them one that disturbs traffic.
    pub parallel: usize,
    /// Do not start further scenarios once one has failed.
    pub fail_fast: bool,
    /// Scenarios whose failure is excused, by name: it stops nothing.
    pub excused: BTreeSet<String>,
    /// The bounds.
    pub patience: Patience,
    /// The cluster.
    pub cluster: ClusterChoice,
    /// The mesh.
    pub mesh: MeshChoice,
    /// Run the control plane with this seeded bug.
    pub mutant: Option<String>,
    /// The images.
    pub images: ImageChoice,
    /// Where the programs of the cluster come from.
    pub assets: AssetOptions,
    /// Wait after each scenario until what it broke is whole again, for the next one. What never works again is waited for in vain.
    pub whole_again: bool,
    /// What is left standing at the end.
    pub keep: KeepPolicy,
    /// When diagnostics are collected.
    pub collect: CollectPolicy,
    /// The artefact folder of this run; it exists.
    pub artifacts: PathBuf,
}

/// Which cluster is used.
#[derive(Clone, Debug)]
pub enum ClusterChoice {
    /// An embedded cluster of our own, brought up for this run.
    Local {
        /// Its name.
        name: String,
        /// Its shape.
        topology: Topology,
    },
    /// A kept cluster (`meshproof deploy`, `meshproof cluster up`); it stays afterwards.
    Attach {
        /// Its name.
        name: String,
    },
    /// A kind cluster made for this run.
    Kind {
        /// Its name.
        name: String,
        /// Its shape.
        topology: Topology,
        /// The node image; without one, that of the `kind` program.
        node_image: Option<String>,
    },
    /// A kept kind cluster (`meshproof deploy`, `meshproof cluster up`); it stays afterwards.
    AttachKind {
        /// Its name.
        name: String,
    },
    /// A cluster that somebody else runs; what we put there is removed afterwards.
    Existing {
        /// The context in the kubeconfig; the current one without.
        context: Option<String>,
        /// The context that may be used although the cluster is not marked for tests.
        allowed: Option<String>,
        /// The registry its nodes pull our images from; without one they have them.
        registry: Option<harness_cluster::registry::Prefix>,
    },
}

impl ClusterChoice {
    /// As in reports.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Local { .. } => "local".to_owned(),
            Self::Attach { name } => format!("kept cluster {name}"),
            Self::Kind { .. } => "kind".to_owned(),
            Self::AttachKind { name } => format!("kept kind cluster {name}"),
            Self::Existing { context, .. } => match context {
                Some(context) => format!("context {context}"),
                None => "the current context".to_owned(),
            },
        }
    }

    /// Its kind, as `--cluster` names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Local { .. } | Self::Attach { .. } => "local",
            Self::Kind { .. } | Self::AttachKind { .. } => "kind",
            Self::Existing { .. } => "kubeconfig",
        }
    }

    /// It is embedded in this machine.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Local { .. } | Self::Attach { .. })
    }

    /// Its nodes are containers that kind makes.
    pub(crate) fn is_kind(&self) -> bool {
        matches!(self, Self::Kind { .. } | Self::AttachKind { .. })
    }

    /// Its nodes run on this machine.
    pub(crate) fn is_here(&self) -> bool {
        self.is_local() || self.is_kind()
    }

    /// Images come to its nodes from this machine; otherwise they have them.
    pub(crate) fn takes_images(&self) -> bool {
        !matches!(self, Self::Existing { registry: None, .. })
    }
}

/// Which mesh is deployed.
#[derive(Clone, Debug)]
pub struct MeshChoice {
    /// As on the command line, for reports.
    pub name: String,
    /// Its definition.
    pub definition: MeshDefinition,
}

/// Where images come from.
#[derive(Clone, Debug)]
pub struct ImageChoice {
    /// Where they are built from or found.
    pub source: ImageSource,
    /// Image name (`control-plane`) → what replaces it.
    pub replacements: BTreeMap<String, Replacement>,
    /// Image name → the build that rollouts put in place before it.
    pub before: BTreeMap<String, Replacement>,
    /// A scenario rolls something out: images on this machine without a build before them get one.
    pub rolled_out: bool,
    /// Those with seeded bugs are needed, too.
    pub seeded_bugs: bool,
}

impl ImageChoice {
    /// What they need of programs of others, to come to this cluster.
    pub(crate) fn need(&self, cluster: &ClusterChoice) -> ForImages {
        match self.source {
            ImageSource::Built if cluster.takes_images() => ForImages::Envoy,
            ImageSource::Built | ImageSource::Folder(_) => ForImages::Nothing,
        }
    }
}

/// What replaces an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// An archive on this machine.
    Archive(PathBuf),
    /// An image that a container engine of this machine holds.
    Held(Held),
    /// An image that nodes pull by themselves, by this name.
    Pulled(String),
}

/// Where images are built from or found.
#[derive(Clone, Debug)]
pub enum ImageSource {
    /// Built from the workspace's own programs, where they changed.
    Built,
    /// A folder with one `NAME.tar` for each image.
    Folder(PathBuf),
}

/// What is left standing at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepPolicy {
    /// Nothing.
    #[default]
    Never,
    /// The cluster, when a scenario did not pass.
    OnFailure,
    /// The cluster.
    Always,
}

/// When diagnostics are collected into the artefact folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CollectPolicy {
    /// Never.
    Never,
    /// After a scenario that did not pass, and when the environment could not be prepared.
    #[default]
    OnFailure,
    /// Always, at the end.
    Always,
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_cluster::registry::{Prefix, Protocol};

    fn existing(registry: Option<&str>) -> ClusterChoice {
        ClusterChoice::Existing {
            context: None,
            allowed: None,
            registry: registry.map(|text| Prefix::parse(text, Protocol::Secure).unwrap()),
        }
    }

    #[test]
    fn images_need_envoy_where_they_are_built_and_come_from_here() {
        let need = |source, cluster: &ClusterChoice| {
            let images = ImageChoice {
                source,
                replacements: BTreeMap::new(),
                before: BTreeMap::new(),
                rolled_out: false,
                seeded_bugs: false,
            };
            images.need(cluster)
        };
        let name = || "dev".to_owned();
        for cluster in [
            ClusterChoice::Attach { name: name() },
            ClusterChoice::AttachKind { name: name() },
            existing(Some("registry.example/team")),
        ] {
            assert_eq!(need(ImageSource::Built, &cluster), ForImages::Envoy);
            let ready = ImageSource::Folder("images".into());
            assert_eq!(need(ready, &cluster), ForImages::Nothing);
        }
        let preloaded = existing(None);
        assert_eq!(need(ImageSource::Built, &preloaded), ForImages::Nothing);
    }

    #[test]
    fn clusters_of_others_run_elsewhere() {
        let name = || "dev".to_owned();
        assert!(ClusterChoice::Attach { name: name() }.is_here());
        assert!(ClusterChoice::AttachKind { name: name() }.is_here());
        assert!(!existing(None).is_here());
    }
}
