//! Where the programs of a cluster are.

use harness_assets::Assets;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The programs of Kubernetes' control plane, each wherever it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Programs {
    /// `etcd`.
    pub etcd: PathBuf,
    /// `kube-apiserver`.
    pub kube_apiserver: PathBuf,
    /// `kube-controller-manager`.
    pub kube_controller_manager: PathBuf,
    /// `kube-scheduler`.
    pub kube_scheduler: PathBuf,
}

impl Programs {
    /// The program of this name; none when it is none of the four.
    pub(super) fn named(&self, name: &str) -> Option<&Path> {
        match name {
            "etcd" => Some(&self.etcd),
            "kube-apiserver" => Some(&self.kube_apiserver),
            "kube-controller-manager" => Some(&self.kube_controller_manager),
            "kube-scheduler" => Some(&self.kube_scheduler),
            _ => None,
        }
    }
}

impl From<&Assets> for Programs {
    fn from(assets: &Assets) -> Self {
        Self {
            etcd: assets.etcd.clone(),
            kube_apiserver: assets.kube_apiserver.clone(),
            kube_controller_manager: assets.kube_controller_manager.clone(),
            kube_scheduler: assets.kube_scheduler.clone(),
        }
    }
}
