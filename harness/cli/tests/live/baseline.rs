//! What is on the machine: processes, mounts, namespaces, cgroups, sockets and files, before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the kernel may take to end what a killed harness left. Ours, not a duty: a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything of ours that could stay behind, as names that can be compared and printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Baseline {
    things: BTreeSet<String>,
}

/// The folders a run may write to: nothing may stay in them.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    /// `HOME` of the run.
    pub(crate) home: PathBuf,
    /// `TMPDIR` of the run.
    pub(crate) temporary: PathBuf,
}

impl Baseline {
    /// Looks at the machine and at `folders`.
    pub(crate) fn take(folders: &Folders) -> Self {
        let mut things = BTreeSet::new();
        processes_and_namespaces(&mut things);
        for line in lines("/proc/self/mountinfo") {
            things.insert(format!("mount {}", line.split(' ').skip(3).collect::<Vec<_>>().join(" ")));
        }
        cgroups(Path::new("/sys/fs/cgroup"), &mut things);
        for line in lines("/proc/net/unix") {
            if let Some(path) = line.split_whitespace().nth(7).filter(|path| path.contains("meshproof")) {
                things.insert(format!("unix socket {path}"));
            }
        }
        for folder in [&folders.home, &folders.temporary] {
            files(folder, &mut things);
        }
        if let Ok(entries) = fs::read_dir("/run/netns") {
            for entry in entries.flatten() {
                things.insert(format!("named network namespace {}", entry.path().display()));
            }
        }
        Self { things }
    }

    /// Waits until the machine shows nothing that it did not show at this baseline.
    ///
    /// # Panics
    ///
    /// When something is still there after [`PATIENCE`]: the message lists it.
    #[track_caller]
    pub(crate) fn is_restored(&self, folders: &Folders, after: &str) {
        let started = Instant::now();
        loop {
            let now = Self::take(folders);
            let left: Vec<&String> = now.things.difference(&self.things).collect();
            if left.is_empty() {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "left behind {after}, {} s later:\n  {}",
                PATIENCE.as_secs(),
                left.iter().map(|thing| thing.as_str()).collect::<Vec<_>>().join("\n  ")
            );
            pause();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the kernel sends no event when the last process of foreign namespaces is gone"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

fn lines(path: &str) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Processes whose program is ours or one that we start, and every namespace that any process is in.
fn processes_and_namespaces(things: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir("/proc") else {
        return;
    };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let name = name.trim();
        const OURS: [&str; 9] = [
            "meshproof", "etcd", "kube-apiserver", "kube-controller", "kube-scheduler", "envoy",
            "probe-app", "sidecar-launch", "control-plane",
        ];
        if OURS.iter().any(|ours| name.starts_with(ours)) {
            things.insert(format!("process {pid} {name}"));
        }
        for kind in ["net", "mnt", "pid", "user", "ipc", "uts"] {
            if let Ok(namespace) = fs::read_link(entry.path().join("ns").join(kind)) {
                things.insert(format!("namespace {} (a process in it is called {name})", namespace.display()));
            }
        }
    }
}

fn cgroups(folder: &Path, things: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            things.insert(format!("cgroup {}", entry.path().display()));
            cgroups(&entry.path(), things);
        }
    }
}

fn files(folder: &Path, things: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        things.insert(format!("file {}", entry.path().display()));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files(&entry.path(), things);
        }
    }
}
