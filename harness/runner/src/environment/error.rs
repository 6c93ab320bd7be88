//! Why an environment could not be brought up.

use crate::KeepPolicy;
use harness_cluster::ClusterError;
use harness_mesh::{DeployMeshError, MeshError};
use harness_model::causes::causes;

/// An environment could not be brought up.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The programs of the cluster could not be obtained.
    #[error("obtain the programs of the cluster")]
    Assets(#[source] harness_cluster::assets::AssetError),
    /// The images could not be obtained.
    #[error("obtain the images")]
    Images(#[source] harness_images::build::BuildError),
    /// Another build of an image, for rollouts, could not be made.
    #[error("make another build of the image `{name}`")]
    AnotherBuild {
        /// The image.
        name: String,
        /// Why.
        #[source]
        source: harness_images::another::AnotherError,
    },
    /// The build that rollouts are to put in place before that under test is the same one.
    #[error("upgrade `{0}`: what `--upgrade-from` names is the very build under test")]
    SameBuild(String),
    /// The images could not be unpacked.
    #[error("unpack the images")]
    Store(#[source] harness_images::store::StoreError),
    /// The cluster could not be brought up.
    #[error("bring up the cluster")]
    Cluster(#[source] ClusterError),
    /// The cluster may not be used any more: somebody else may have it.
    #[error("keep the cluster until the end of the run")]
    Lost(#[source] ClusterError),
    /// The images could not be brought to the nodes.
    #[error("bring the images to the nodes")]
    Load(#[source] ClusterError),
    /// The mesh could not be deployed.
    #[error("deploy the mesh `{mesh}`")]
    Mesh {
        /// Its name.
        mesh: String,
        /// Why.
        #[source]
        source: DeployMeshError,
    },
    /// The mesh is deployed, but cannot be read.
    #[error("read the mesh")]
    Read(#[source] MeshError),
    /// The faults of this run cannot be written down.
    #[error("open the ledger of faults")]
    Ledger(#[source] harness_faults::LedgerError),
    /// Scenarios speak of what is not there: each name, with its scenario and field.
    #[error("run the scenarios here: {}", .0.join("; "))]
    Names(Vec<String>),
    /// Pods do not run the images that were put in the place of ours: who runs what.
    #[error("run the candidates: {}", .0.join("; "))]
    Candidates(Vec<String>),
    /// A part of it panicked: a defect of ours.
    #[error("{0}")]
    Broken(String),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl PrepareError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Assets(error) => error.hint().map(|hint| hint.to_string()),
            Self::Images(error) => error.hint().map(str::to_owned),
            Self::Cluster(error) | Self::Lost(error) | Self::Load(error) => error.hint.clone(),
            Self::Mesh { source, .. } => source.hint().map(str::to_owned),
            Self::Read(error) => error.hint().map(str::to_owned),
            Self::Store(_) | Self::AnotherBuild { .. } => {
                Some("look at the free space and the rights of the cache folder".to_owned())
            }
            Self::Ledger(_) => Some(
                "look at the free space and the rights of the artefact folder, or choose another"
                    .to_owned(),
            ),
            Self::Candidates(_) => Some(
                "look at the images of the pods on a cluster that stays (`run --keep`, `deploy`): something else than this run decides about them"
                    .to_owned(),
            ),
            Self::SameBuild(_) => Some(
                "name the build that is in use, or leave the option out: another build of the same programs is made then"
                    .to_owned(),
            ),
            Self::Names(_) | Self::Broken(_) | Self::Interrupted => None,
        }
    }

    /// What of the wish to keep the cluster holds after this: who interrupts wants nothing, one that is lost is not ours to
    /// keep, and nothing has failed in one that was only asked for what it does not have.
    pub(crate) fn kept(&self, wish: KeepPolicy) -> KeepPolicy {
        match (self, wish) {
            (Self::Interrupted | Self::Lost(_), _) | (Self::Names(_), KeepPolicy::OnFailure) => {
                KeepPolicy::Never
            }
            _ => wish,
        }
    }

    /// The error and its causes, one on each line, and the hint last.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = self.to_string();
        for cause in causes(self) {
            text.push_str("\n  caused by: ");
            text.push_str(&cause.to_string());
        }
        if let Some(hint) = self.hint() {
            text.push_str("\nhint: ");
            text.push_str(&hint);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_can_do_about_the_mesh_is_in_the_report() {
        let error = PrepareError::Mesh {
            mesh: "mine".to_owned(),
            source: DeployMeshError::Foreign {
                objects: vec!["Namespace mine".to_owned()],
            },
        };
        let report = error.report();
        assert!(report.contains("\nhint: delete or rename"), "{report}");
    }

    #[test]
    fn a_cluster_on_which_something_has_failed_is_kept_when_that_is_asked_for() {
        let broken = PrepareError::Broken("the mesh is not ready".to_owned());
        let names = PrepareError::Names(vec!["nobody".to_owned()]);
        for (error, on_failure, always) in [
            (broken, KeepPolicy::OnFailure, KeepPolicy::Always),
            (names, KeepPolicy::Never, KeepPolicy::Always),
            (
                PrepareError::Interrupted,
                KeepPolicy::Never,
                KeepPolicy::Never,
            ),
        ] {
            assert_eq!(error.kept(KeepPolicy::Never), KeepPolicy::Never, "{error}");
            assert_eq!(error.kept(KeepPolicy::OnFailure), on_failure, "{error}");
            assert_eq!(error.kept(KeepPolicy::Always), always, "{error}");
        }
    }

    #[test]
    fn what_could_not_be_read_is_not_said_to_have_been_applied() {
        let missing = MeshError::Missing("the watch of the API server ended".to_owned());
        assert_eq!(
            DeployMeshError::from(missing).to_string(),
            "the watch of the API server ended"
        );
    }
}
