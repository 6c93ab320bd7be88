//! Where the tests of the local cluster happen: a temporary folder, other harnesses to kill, and a look at what the
//! machine shows before and after.

use crate::workload;
use harness_cluster::assets::{Asset, AssetOptions, ForImages, Progress, obtain, obtain_each};
use harness_cluster::local::{LocalCluster, Options, Programs};
use harness_cluster::{Cluster as _, ClusterError, topology};
use harness_kernel::namespace::{CloneFlags, Spawn};
use harness_model::causes::causes;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::future::Future;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(crate) const INSIDE_ROLE: &str = "inside";
pub(crate) const HARNESS_ROLE: &str = "harness";
pub(crate) const FORBIDDEN_ROLE: &str = "forbidden";
/// Environment variables by which the outer process tells the inner ones.
const PROGRAMS: &str = "MESHPROOF_TEST_PROGRAMS";
const IMAGES: &str = "MESHPROOF_TEST_IMAGES";
const KUBECTL: &str = "MESHPROOF_TEST_KUBECTL";
/// How long something may take to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs this program again with a temporary folder of its own.
pub(crate) fn go_inside(arguments: &[String]) {
    let options = AssetOptions::from_environment(None).unwrap();
    let show = |progress: &Progress| {
        if !matches!(progress, Progress::Activity { .. }) {
            println!("{progress}");
        }
    };
    let programs = obtain(&options, ForImages::Nothing, &show).unwrap();
    let kubectl = obtain_each(&options, &[Asset::Kubectl], &show).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let images = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .arg(INSIDE_ROLE)
        .args(arguments)
        .env("TMPDIR", temporary.path())
        .env(
            PROGRAMS,
            serde_json::to_string(&Programs::from(&programs)).unwrap(),
        )
        .env(IMAGES, images.path())
        .env(KUBECTL, &kubectl[&Asset::Kubectl])
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

/// The program `kubectl`, of the version of the cluster.
pub(crate) fn kubectl() -> PathBuf {
    std::env::var_os(KUBECTL).unwrap().into()
}

pub(crate) struct Stage {
    runtime: tokio::runtime::Runtime,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self { runtime }
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The archive of the image that the pods of the tests run. Beside the image store, out of the way of [`Trace`].
    pub(crate) fn workload(&self) -> PathBuf {
        let images = PathBuf::from(std::env::var_os(IMAGES).unwrap());
        workload::pack_image(&images)
    }

    pub(crate) async fn up(&self, name: &str, shape: &str) -> Arc<LocalCluster> {
        match self.try_up(name, shape).await {
            Ok(cluster) => Arc::new(cluster),
            Err(error) => panic!("{}", chain(&error)),
        }
    }

    pub(crate) async fn try_up(
        &self,
        name: &str,
        shape: &str,
    ) -> Result<LocalCluster, ClusterError> {
        LocalCluster::up(options(name, shape, false), |_| {}).await
    }

    /// Waits until the temporary folder is empty.
    pub(crate) fn wait_until_empty(&self) {
        until("the temporary folder is empty", || self.files().is_empty());
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(std::env::temp_dir()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

pub(crate) fn options(name: &str, shape: &str, keep: bool) -> Options {
    Options {
        name: name.to_owned(),
        topology: topology::load(shape).unwrap(),
        programs: serde_json::from_str(&std::env::var(PROGRAMS).unwrap()).unwrap(),
        image_store: std::env::var_os(IMAGES).unwrap().into(),
        keep,
        part_of: None,
        early: false,
    }
}

fn chain(error: &ClusterError) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        text += &format!("\n  caused by: {cause}");
    }
    format!("{text}\nhint: {}", error.hint.as_deref().unwrap_or("none"))
}

/// Another harness, to be killed.
pub(crate) struct HarnessProcess {
    name: String,
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl HarnessProcess {
    pub(crate) fn start(name: &str, end: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([HARNESS_ROLE, name, end])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            name: name.to_owned(),
            child,
            lines,
        }
    }

    /// Waits until it says something that starts so.
    pub(crate) fn wait_for(&self, start: &str) {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(120)).unwrap();
            if line.starts_with(start) {
                return;
            }
        }
    }

    /// Kills it, and tells what it had running.
    pub(crate) fn kill(mut self) -> Trace {
        let trace = fabric(&self.name).map(Trace::of).unwrap_or_default();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        trace
    }
}

impl Drop for HarnessProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The whole life of a harness: brings a cluster up, which is up early where the end is `early`, and takes it down or leaves it.
pub(crate) fn be_a_harness(arguments: &[String]) {
    let [name, end] = arguments else {
        panic!("name and end")
    };
    let stage = Stage::new();
    stage.block_on(async {
        let options = Options {
            early: end == "early",
            ..options(name, "one-zone", end == "keep")
        };
        let cluster = LocalCluster::up(options, |step| println!("{step}"))
            .await
            .unwrap();
        if end == "early" {
            cluster.wait_until_ready().await.unwrap();
            println!("kube-apiserver is ready");
        }
        println!("ready");
        if end == "keep" {
            std::future::pending::<()>().await;
        }
        println!("down");
        Arc::new(cluster).down().await;
    });
}

/// What bringing a cluster up says where user namespaces are forbidden.
pub(crate) fn forbidden() -> String {
    let (mut read, write) = std::io::pipe().unwrap();
    let mut spawn = Spawn::again(vec!["test".into(), FORBIDDEN_ROLE.into()]);
    spawn.namespaces = CloneFlags::CLONE_NEWUSER;
    spawn.descriptors = vec![(1, write.into())];
    let child = spawn.start().unwrap();
    let mut said = String::new();
    read.read_to_string(&mut said).unwrap();
    child.wait_blocking().unwrap();
    said
}

/// Forbids user namespaces to itself, which any root of a user namespace may, and tries.
pub(crate) fn be_forbidden() {
    std::fs::write("/proc/sys/user/max_user_namespaces", "0").unwrap();
    let stage = Stage::new();
    let error = stage
        .block_on(stage.try_up("forbidden", "one-zone"))
        .unwrap_err();
    println!("{}", chain(&error));
}

/// The process id of a cluster's fabric.
pub(crate) fn fabric(name: &str) -> Option<i32> {
    let wanted = format!("meshproof\0__fabric\0{name}\0");
    processes().find(|pid| {
        let shown = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // Only ours: others may test beside us.
        shown == wanted.as_bytes() && is_below_us(*pid)
    })
}

/// What comes after the name in `/proc/PID/stat`: state, parent and so on.
fn stat(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next().map(str::to_owned)
}

fn state(pid: i32) -> Option<char> {
    stat(pid)?.chars().next()
}

fn is_below_us(pid: i32) -> bool {
    let parent = |pid: i32| stat(pid)?.split(' ').nth(1)?.parse::<i32>().ok();
    let mut current = pid;
    while let Some(parent) = parent(current).filter(|parent| *parent > 0) {
        if parent == std::process::id() as i32 {
            return true;
        }
        current = parent;
    }
    // A kept one belongs to nobody any more; its folder is in our temporary folder.
    std::fs::read_link(format!("/proc/{pid}/fd/1"))
        .is_ok_and(|log| log.starts_with(std::env::temp_dir()))
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// What clusters show on this machine.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    user_namespaces: BTreeSet<PathBuf>,
    processes: BTreeSet<String>,
    mounts: BTreeSet<String>,
    sockets: BTreeSet<String>,
    cgroups: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
}

impl Trace {
    /// The user namespace of a fabric: everything of a cluster is in it.
    pub(crate) fn of(fabric: i32) -> Self {
        let mut trace = Self::default();
        trace
            .user_namespaces
            .extend(std::fs::read_link(format!("/proc/{fabric}/ns/user")));
        trace
    }

    /// Waits until no process is in the namespace any more.
    pub(crate) fn wait_until_gone(&self) {
        until("every process of the cluster is gone", || {
            // A killed fabric stays as a zombie of its harness, which reaps it in `down`.
            !processes()
                .filter(|pid| state(*pid) != Some('Z'))
                .any(|pid| {
                    std::fs::read_link(format!("/proc/{pid}/ns/user"))
                        .is_ok_and(|found| self.user_namespaces.contains(&found))
                })
        });
    }

    /// Everything that could stay behind.
    pub(crate) fn take(stage: &Stage) -> Self {
        let ours = std::env::temp_dir().display().to_string();
        let lines = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let mut cgroups = BTreeSet::new();
        folders(Path::new("/sys/fs/cgroup"), 0, &mut cgroups);
        Self {
            user_namespaces: BTreeSet::new(),
            // The fabric of a kept cluster that is removed stays as a zombie until this process asks for it.
            processes: processes()
                .filter(|pid| is_below_us(*pid) && state(*pid) != Some('Z'))
                .map(|pid| format!("{pid} {}", lines(&format!("/proc/{pid}/cmdline"))))
                .collect(),
            // Others of the machine mount and listen as well.
            mounts: of_ours(&lines("/proc/self/mountinfo"), &ours),
            sockets: of_ours(&lines("/proc/net/unix"), &ours),
            cgroups,
            files: stage.files().into_iter().collect(),
        }
    }

    pub(crate) fn assert_unchanged(&self, stage: &Stage) {
        // The last processes may still be on their way out.
        let what = || {
            let now = Self::take(stage);
            format!("nothing is left; before: {self:#?}, now: {now:#?}")
        };
        until_or_say(what, || Self::take(stage) == *self);
    }
}

fn of_ours(lines: &str, ours: &str) -> BTreeSet<String> {
    lines
        .lines()
        .filter(|line| line.contains(ours))
        .map(str::to_owned)
        .collect()
}

/// Folders of cgroups that somebody of ours could have made.
fn folders(path: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) {
    if depth > 4 {
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Clusters of runs are called `run-ID`, and none of ours is: others may test beside us.
            if name.contains("meshproof") && !name.contains("meshproof-run-") {
                found.insert(entry.path());
            }
            folders(&entry.path(), depth + 1, found);
        }
    }
}

fn processes() -> impl Iterator<Item = i32> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn until(what: &str, holds: impl FnMut() -> bool) {
    until_or_say(|| what.to_owned(), holds);
}

/// Asks until it holds: the end of processes that are not our children, and of what they made, tells nobody.
#[expect(clippy::disallowed_methods, reason = "there is no event to wait for")]
fn until_or_say(what: impl Fn() -> String, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(
            start.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {}",
            what()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
