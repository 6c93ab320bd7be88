//! Making the image, in steps. What takes long is kept by itself: programs as assets, Debian's root file system as a
//! tar, so that a run that was interrupted goes on where it was and a small change costs seconds.

use super::{Recipe, archive, images};
use crate::notify;
use anyhow::{Context as _, bail};
use harness_assets::cache::{Cache, Content, Entry, Lock, State};
use harness_assets::{Asset, AssetOptions, Downloads, KUBERNETES_VERSION, Progress};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where programs stand in a node.
const PLACES: [(&str, &[Asset]); 3] = [
    ("usr/bin", &[Asset::Kubelet, Asset::Kubeadm, Asset::Kubectl]),
    (
        "usr/local/bin",
        &[
            Asset::Containerd,
            Asset::ContainerdShim,
            Asset::Ctr,
            Asset::Crictl,
        ],
    ),
    (
        "opt/cni/bin",
        &[
            Asset::CniPtp,
            Asset::CniLoopback,
            Asset::CniHostLocal,
            Asset::CniPortmap,
        ],
    ),
];

/// How long containerd may take to start while images are put into its store.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells what is being done and how long everything took.
struct Steps {
    started: Instant,
}

impl Steps {
    fn say(&self, what: &str) {
        let seconds = self.started.elapsed().as_secs();
        eprintln!(
            "node image: [{:02}:{:02}] {what}",
            seconds / 60,
            seconds % 60
        );
    }
}

/// Makes the archive of the image in `workshop` and says where it is.
pub(super) fn build(
    recipe: &Recipe,
    cache: &Cache,
    lock: &Lock,
    workshop: &Path,
) -> anyhow::Result<PathBuf> {
    let steps = Steps {
        started: Instant::now(),
    };
    steps.say("programs from pinned sources");
    let programs = programs()?;
    let own = workshop.join("own");
    make_own_programs(&recipe.folder, &own, workshop)?;
    let root = workshop.join("root");
    unpack_debian(recipe, cache, lock, workshop, &root, &steps)?;
    steps.say("images of the control plane");
    let ingredients = images::Ingredients {
        programs: &programs,
        own: &own,
        root: &root,
    };
    let kubeadm = program(&programs, Asset::Kubeadm)?;
    let references = images::kubeadm_references(kubeadm, KUBERNETES_VERSION)?;
    let image_folder = workshop.join("images");
    fs::create_dir(&image_folder).context("make a folder for images")?;
    let archives = images::make(&ingredients, &references, &image_folder)?;
    steps.say("files of the node");
    let pause = images::pause_reference(&references)?;
    lay_out(recipe, &programs, pause, &root)?;
    preload(&programs, &archives, &root)?;
    fs::remove_dir_all(&image_folder).context("remove the images")?;
    steps.say("packing");
    let layer = workshop.join("layer.tar");
    run(Command::new("tar")
        .arg("--create")
        .arg("--file")
        .arg(&layer)
        .arg("--directory")
        .arg(&root)
        .args(["--numeric-owner", "--sort=name", "."]))?;
    fs::remove_dir_all(&root).context("remove the root file system")?;
    let made = workshop.join(super::FILE_NAME);
    archive::write(&layer, &recipe.reference(), &recipe.key, &made)?;
    steps.say("done");
    Ok(made)
}

/// The programs of other projects, from the cache or made. Given folders do not count: the image's name says what is
/// in it.
fn programs() -> anyhow::Result<BTreeMap<Asset, PathBuf>> {
    let options = AssetOptions {
        folders: Vec::new(),
        cache: harness_assets::cache_folder()?,
        offline: false,
        downloads: Downloads::from_environment()?,
    };
    let made = harness_assets::obtain_each(&options, &Asset::NODE, &|progress| {
        if !matches!(progress, Progress::Activity { .. }) {
            eprintln!("node image: {progress}");
        }
    });
    made.map_err(|error| {
        if let Some(hint) = error.hint() {
            eprintln!("hint: {hint}");
        }
        anyhow::Error::new(error)
    })
}

fn program(programs: &BTreeMap<Asset, PathBuf>, asset: Asset) -> anyhow::Result<&Path> {
    let program = programs.get(&asset).map(PathBuf::as_path);
    program.with_context(|| format!("{asset} was not made"))
}

/// `netd` and `pause`, which nobody packages; they compile in seconds.
fn make_own_programs(recipe: &Path, target: &Path, workshop: &Path) -> anyhow::Result<()> {
    let sources = recipe.join("programs");
    fs::create_dir(target).context("make a folder for programs")?;
    run(Command::new("cc")
        .args(["-Os", "-static", "-s", "-Wall", "-Werror", "-o"])
        .arg(target.join("pause"))
        .arg(sources.join("pause.c")))?;
    let go = harness_assets::find_go().context("Go is not installed")?;
    run(Command::new(go)
        .args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"])
        .arg("-o")
        .arg(target.join("netd"))
        .arg(".")
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "")
        .env("GOWORK", "off")
        .env("GOTMPDIR", workshop)
        .current_dir(sources.join("netd")))
}

/// Unpacks Debian's root file system, making it before where the cache lacks it.
fn unpack_debian(
    recipe: &Recipe,
    cache: &Cache,
    lock: &Lock,
    workshop: &Path,
    root: &Path,
    steps: &Steps,
) -> anyhow::Result<()> {
    let entry = Entry {
        file_name: "debian.tar".to_owned(),
        fingerprint: recipe.debian_key.clone(),
        content: Content::Data,
    };
    if let State::Whole(tar) = cache.state(&entry)? {
        steps.say("Debian, from the cache");
        fs::create_dir(root).context("make the root file system")?;
        return run(Command::new("tar")
            .arg("--extract")
            .arg("--file")
            .arg(tar)
            .arg("--directory")
            .arg(root)
            .args(["--numeric-owner", "--preserve-permissions"]));
    }
    steps.say("Debian, from packages");
    let log = workshop.join("debian.log");
    let output = File::create(&log).context("make a log")?;
    let script = recipe.folder.join("debian.sh");
    // Its mounts and processes end with this process, however that ends.
    let made = run(Command::new("setpriv")
        .args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--pid",
            "--fork",
        ])
        .args(["--kill-child=KILL", "--mount-proc", "--"])
        .arg(script)
        .arg(root)
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("open a log twice")?)
        .stderr(output));
    if let Err(error) = made {
        let log = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(20)..].join("\n");
        return Err(error.context(format!("make Debian's root file system; it said:\n{end}")));
    }
    let tar = workshop.join("debian.tar");
    run(Command::new("tar")
        .arg("--create")
        .arg("--file")
        .arg(&tar)
        .arg("--directory")
        .arg(root)
        .args(["--numeric-owner", "--sort=name", "."]))?;
    cache.adopt(&entry, &tar, lock)?;
    cache.keep_newest(&entry.file_name, 1, lock)?;
    Ok(())
}

/// Puts programs, files and settings into the root file system.
fn lay_out(
    recipe: &Recipe,
    programs: &BTreeMap<Asset, PathBuf>,
    pause: &str,
    root: &Path,
) -> anyhow::Result<()> {
    for (folder, assets) in PLACES {
        for asset in assets {
            let target = root.join(folder).join(asset.file_name());
            install(program(programs, *asset)?, &target, 0o755)?;
        }
    }
    let files = recipe.folder.join("files");
    copy_tree(&files, root)?;
    let settings = root.join("etc/containerd/config.toml");
    let text = fs::read_to_string(&settings).context("read containerd's settings")?;
    fs::write(&settings, text.replace("@PAUSE@", pause)).context("write containerd's settings")?;
    fs::write(root.join("kind/version"), KUBERNETES_VERSION).context("write the version")?;
    for folder in ["etc/kubernetes/manifests", "etc/cni/net.d"] {
        fs::create_dir_all(root.join(folder)).with_context(|| format!("make {folder}"))?;
    }
    run(Command::new("chroot").arg(root).args([
        "systemctl",
        "enable",
        "--quiet",
        "containerd",
        "kubelet",
    ]))
}

/// Whether a file can be executed is all that is taken from the checkout's permissions.
fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry.with_context(|| format!("list {}", from.display()))?;
        let target = to.join(entry.file_name());
        let metadata = entry.metadata().context("look at a file of the node")?;
        if metadata.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            let executable = metadata.permissions().mode() & 0o100 != 0;
            install(
                &entry.path(),
                &target,
                if executable { 0o755 } else { 0o644 },
            )?;
        }
    }
    Ok(())
}

fn install(source: &Path, target: &Path, mode: u32) -> anyhow::Result<()> {
    let write = || {
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(source, target)?;
        fs::set_permissions(target, fs::Permissions::from_mode(mode))
    };
    write().with_context(|| format!("put {} into the image", source.display()))
}

/// Puts images into the store of the node's containerd, by a containerd that works on the root file system from
/// outside and starts no container.
fn preload(
    programs: &BTreeMap<Asset, PathBuf>,
    archives: &[PathBuf],
    root: &Path,
) -> anyhow::Result<()> {
    let state = tempfile::Builder::new()
        .prefix("meshproof-containerd-")
        .tempdir()
        .context("make a folder for containerd")?;
    let socket = state.path().join("socket");
    let settings = state.path().join("config.toml");
    let text = format!(
        "version = 3\nroot = {root:?}\nstate = {state:?}\ndisabled_plugins = [{plugins}]\n[grpc]\naddress = {socket:?}\n",
        root = root.join("var/lib/containerd"),
        state = state.path().join("state"),
        plugins = concat!(
            r#""io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "#,
            r#""io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri""#
        ),
    );
    fs::write(&settings, text).context("write containerd's settings")?;
    let log = File::create(state.path().join("log")).context("make containerd's log")?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(program(programs, Asset::Containerd)?)
        .arg("--config")
        .arg(&settings)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("open containerd's log twice")?)
        .stderr(log);
    let mut containerd = notify::start(&mut command, state.path(), PATIENCE)?;
    let ctr = program(programs, Asset::Ctr)?;
    let imported = archives.iter().try_for_each(|archive| {
        run(Command::new(ctr)
            .arg("--address")
            .arg(&socket)
            // Unpacking is the node's; `discard_unpacked_layers` makes it cheap in space.
            .args(["--namespace", "k8s.io", "images", "import"])
            .args(["--local", "--no-unpack", "--digests"])
            .arg(archive)
            // It would remind of version 1 control groups, which no container is started in here.
            .env("CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS", "1")
            .stdout(Stdio::null()))
    });
    let process = i32::try_from(containerd.id()).context("containerd's process number")?;
    kill(Pid::from_raw(process), Signal::SIGTERM).context("end containerd")?;
    containerd.wait().context("wait for containerd")?;
    imported
}

/// Runs a command to its end.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = Path::new(command.get_program())
        .file_name()
        .unwrap_or_else(|| OsStr::new("?"))
        .to_string_lossy()
        .into_owned();
    let status = command.status().with_context(|| format!("start {name}"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}
