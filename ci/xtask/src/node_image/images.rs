//! The images that are in a node before it starts: the control plane's, under the names that kubeadm uses, and those
//! of our own manifests.

use anyhow::{Context as _, bail};
use harness_assets::Asset;
use harness_images::pack::{FileSpec, ImageSpec, pack};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the programs and the root file system are that images are made of.
#[derive(Debug)]
pub(super) struct Ingredients<'a> {
    /// Programs of other projects.
    pub(super) programs: &'a BTreeMap<Asset, PathBuf>,
    /// Our own: `netd` and `pause`.
    pub(super) own: &'a Path,
    /// The root file system of Debian.
    pub(super) root: &'a Path,
}

/// The references that kubeadm will ask for.
pub(super) fn kubeadm_references(kubeadm: &Path, version: &str) -> anyhow::Result<Vec<String>> {
    let output = Command::new(kubeadm)
        .args(["config", "images", "list", "--kubernetes-version", version])
        .output()
        .context("start kubeadm")?;
    if !output.status.success() {
        bail!("`kubeadm config images list` ended with {}", output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::to_owned).collect())
}

/// The reference of the image that holds a pod's namespaces.
pub(super) fn pause_reference(references: &[String]) -> anyhow::Result<&str> {
    references
        .iter()
        .find(|reference| name_of(reference) == "pause")
        .map(String::as_str)
        .context("kubeadm names no pause image")
}

/// `coredns` of `registry/coredns/coredns:v1.14.2`.
fn name_of(reference: &str) -> &str {
    let last = reference.rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default()
}

/// Packs every image into a file of its own in `folder`.
pub(super) fn make(
    ingredients: &Ingredients<'_>,
    references: &[String],
    folder: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut specs = Vec::new();
    for reference in references {
        specs.push(kubeadm_image(ingredients, reference)?);
    }
    specs.extend(own_images(ingredients)?);
    let mut archives = Vec::new();
    for spec in specs {
        let archive = folder.join(format!("{}.tar", name_of(&spec.reference)));
        pack(&spec, &archive).with_context(|| format!("pack {}", spec.reference))?;
        archives.push(archive);
    }
    Ok(archives)
}

fn kubeadm_image(ingredients: &Ingredients<'_>, reference: &str) -> anyhow::Result<ImageSpec> {
    let asset = |asset| {
        let program = ingredients.programs.get(&asset);
        program.with_context(|| format!("{asset} was not made"))
    };
    let pause = ingredients.own.join("pause");
    // kubeadm's manifests start the programs by these names and paths.
    let (program, target) = match name_of(reference) {
        "kube-apiserver" => (
            asset(Asset::KubeApiserver)?,
            "/usr/local/bin/kube-apiserver",
        ),
        "kube-controller-manager" => (
            asset(Asset::KubeControllerManager)?,
            "/usr/local/bin/kube-controller-manager",
        ),
        "kube-scheduler" => (
            asset(Asset::KubeScheduler)?,
            "/usr/local/bin/kube-scheduler",
        ),
        "kube-proxy" => (asset(Asset::KubeProxy)?, "/usr/local/bin/kube-proxy"),
        "etcd" => (asset(Asset::Etcd)?, "/usr/local/bin/etcd"),
        "coredns" => (asset(Asset::CoreDns)?, "/coredns"),
        "pause" => (&pause, "/pause"),
        other => bail!("kubeadm wants an image that is not made here: {other}"),
    };
    let mut spec = program_image(reference, program, target);
    if name_of(reference) == "kube-proxy" {
        spec.files.extend(network_tools(ingredients.root)?);
    }
    Ok(spec)
}

/// The images that the manifests in `files/kind/manifests` name.
fn own_images(ingredients: &Ingredients<'_>) -> anyhow::Result<Vec<ImageSpec>> {
    let mut netd = program_image(
        "localhost/meshproof/netd:1",
        &ingredients.own.join("netd"),
        "/usr/local/bin/netd",
    );
    netd.files.extend(network_tools(ingredients.root)?);
    let provisioner = ingredients.programs.get(&Asset::LocalPathProvisioner);
    let provisioner = program_image(
        "localhost/meshproof/local-path-provisioner:1",
        provisioner.context("local-path-provisioner was not made")?,
        "/usr/local/bin/local-path-provisioner",
    );
    // Its helper pods run `sh`, `mkdir` and `rm`; busybox is what it is called.
    let busybox = real_path(ingredients.root, "/bin/busybox")?;
    let mut helper = program_image("localhost/meshproof/helper:1", &busybox, "/bin/sh");
    for name in ["mkdir", "rm"] {
        let file = file(Path::new("/bin").join(name), busybox.clone());
        helper.files.push(file);
    }
    Ok(vec![netd, provisioner, helper])
}

/// An image with a static program.
fn program_image(reference: &str, program: &Path, target: &str) -> ImageSpec {
    ImageSpec {
        reference: reference.to_owned(),
        files: vec![file(PathBuf::from(target), program.to_owned())],
        folders: vec![
            ("/etc/ssl/certs".into(), 0o755),
            ("/run".into(), 0o755),
            ("/tmp".into(), 0o1777),
            ("/var/lib".into(), 0o755),
        ],
        entrypoint: vec![target.to_owned()],
        cmd: Vec::new(),
        env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
    }
}

fn file(target: PathBuf, source: PathBuf) -> FileSpec {
    FileSpec {
        target,
        source,
        mode: 0o755,
    }
}

/// The programs that set up addresses, routes and rules, with their libraries.
fn network_tools(root: &Path) -> anyhow::Result<Vec<FileSpec>> {
    /// Which of its names a program was started by decides what it does.
    const PROGRAMS: [&str; 9] = [
        "/usr/sbin/iptables",
        "/usr/sbin/iptables-save",
        "/usr/sbin/iptables-restore",
        "/usr/sbin/ip6tables",
        "/usr/sbin/ip6tables-save",
        "/usr/sbin/ip6tables-restore",
        "/usr/sbin/nft",
        "/usr/sbin/conntrack",
        "/usr/bin/ip",
    ];
    let mut files = BTreeMap::new();
    let mut libraries = BTreeSet::new();
    for program in PROGRAMS {
        files.insert(PathBuf::from(program), real_path(root, program)?);
        libraries.extend(libraries_of(root, program)?);
    }
    // The extensions of iptables are opened at run time, and need libraries of their own.
    for extension in extensions(root)? {
        let name = extension.to_string_lossy().into_owned();
        libraries.extend(libraries_of(root, &name)?);
        files.insert(extension, real_path(root, &name)?);
    }
    for library in libraries {
        let source = real_path(root, &library)?;
        files.insert(library.into(), source);
    }
    // Names of protocols in rules.
    for name in ["/etc/nsswitch.conf", "/etc/protocols"] {
        if root.join(name.trim_start_matches('/')).exists() {
            files.insert(name.into(), real_path(root, name)?);
        }
    }
    Ok(files
        .into_iter()
        .map(|(target, source)| file(target, source))
        .collect())
}

/// Paths inside of the root file system.
fn extensions(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let libraries = root.join("usr/lib");
    let folders = fs::read_dir(&libraries)
        .with_context(|| format!("list {}", libraries.display()))?
        .flatten()
        .map(|entry| entry.path().join("xtables"))
        .filter(|folder| folder.is_dir());
    let mut extensions = Vec::new();
    for folder in folders {
        let inside = Path::new("/").join(folder.strip_prefix(root).unwrap_or(&folder));
        let entries = fs::read_dir(&folder).context("list the extensions of iptables")?;
        extensions.extend(
            entries
                .flatten()
                .map(|entry| inside.join(entry.file_name())),
        );
    }
    Ok(extensions)
}

/// Where a path of the root file system leads, as this machine sees it.
fn real_path(root: &Path, path: &str) -> anyhow::Result<PathBuf> {
    let inside = in_root(root, &["readlink", "--canonicalize-existing", path])?;
    Ok(root.join(inside.trim().trim_start_matches('/')))
}

/// The dynamic linker and the libraries of a file of the root file system.
fn libraries_of(root: &Path, path: &str) -> anyhow::Result<Vec<String>> {
    let text = in_root(root, &["ldd", path])?;
    // `libm.so.6 => /lib/.../libm.so.6 (0x...)`, `/lib64/ld-linux-x86-64.so.2 (0x...)`
    let words = text.split_whitespace();
    Ok(words
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(str::to_owned)
        .collect())
}

fn in_root(root: &Path, command: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("chroot")
        .arg(root)
        .args(command)
        .output()
        .context("start chroot")?;
    if !output.status.success() {
        bail!(
            "`{}` in the root file system: {}",
            command.join(" "),
            output.status
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{name_of, pause_reference};

    #[test]
    fn images_are_known_by_their_last_part() {
        let references = [
            "registry.test/coredns/coredns:v1.14.2",
            "registry.test/pause:3.10",
        ];
        let references = references.map(str::to_owned);
        assert_eq!(name_of(&references[0]), "coredns");
        assert_eq!(pause_reference(&references).unwrap(), references[1]);
        assert!(pause_reference(&references[..1]).is_err());
    }
}
