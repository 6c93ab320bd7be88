//! What a run could leave on the machine: processes, namespaces, mounts, cgroups, sockets and files.

use std::collections::{BTreeMap, BTreeSet};
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
        for line in lines("/proc/self/mountinfo") {
            things.insert(format!(
                "mount {}",
                line.split(' ').skip(3).collect::<Vec<_>>().join(" ")
            ));
        }
        cgroups(Path::new("/sys/fs/cgroup"), &mut things);
        let temporary = folders.temporary.display().to_string();
        for line in lines("/proc/net/unix") {
            if let Some(path) = line
                .split_whitespace()
                .nth(7)
                .filter(|path| path.contains(&temporary))
            {
                things.insert(format!("unix socket {path}"));
            }
        }
        for folder in [&folders.home, &folders.temporary] {
            files(folder, &mut things);
        }
        if let Ok(entries) = fs::read_dir("/run/netns") {
            for entry in entries.flatten() {
                things.insert(format!(
                    "named network namespace {}",
                    entry.path().display()
                ));
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
    pub(crate) fn is_restored(&self, folders: &Folders, footprint: &Footprint, after: &str) {
        let started = Instant::now();
        loop {
            let now = Self::take(folders);
            let mut left: Vec<String> = now.things.difference(&self.things).cloned().collect();
            left.extend(footprint.left());
            if left.is_empty() {
                return;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "left behind {after}, {} s later:\n  {}",
                PATIENCE.as_secs(),
                left.join("\n  ")
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
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The processes that a started program had made at some moment, and the namespaces that they were in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Footprint {
    /// Process id and start time: together they name one process for ever.
    processes: BTreeSet<(u32, String)>,
    namespaces: BTreeSet<PathBuf>,
}

impl Footprint {
    /// Everything that descends from the process `root`. Other runs on the machine are none of its business.
    pub(crate) fn of(root: u32) -> Self {
        let parents: BTreeMap<u32, u32> = pids()
            .into_iter()
            .filter_map(|pid| Some((pid, stat(pid)?.get(1)?.parse().ok()?)))
            .collect();
        let descends = |mut pid: u32| {
            while let Some(parent) = parents.get(&pid) {
                if *parent == root {
                    return true;
                }
                pid = *parent;
            }
            false
        };
        let own: BTreeSet<PathBuf> = namespaces(std::process::id()).collect();
        let mut footprint = Self::default();
        for pid in parents.keys().copied().filter(|pid| descends(*pid)) {
            footprint
                .processes
                .extend(start_time(pid).map(|time| (pid, time)));
            footprint
                .namespaces
                .extend(namespaces(pid).filter(|namespace| !own.contains(namespace)));
        }
        footprint
    }

    /// What of it is still there.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for pid in pids() {
            let known = start_time(pid).is_some_and(|time| self.processes.contains(&(pid, time)));
            if known || namespaces(pid).any(|namespace| self.namespaces.contains(&namespace)) {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                left.push(format!("process {pid} {}", name.trim()));
            }
        }
        left
    }
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The fields of `/proc/PID/stat` after the command, which may itself contain blanks: state, parent, ...
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// Field 22 of proc(5): when the process was started. A process that has ended and waits to be reaped counts as gone.
fn start_time(pid: u32) -> Option<String> {
    let fields = stat(pid)?;
    (fields.first()? != "Z").then(|| fields.get(19).cloned())?
}

fn namespaces(pid: u32) -> impl Iterator<Item = PathBuf> {
    ["net", "mnt", "pid", "user", "ipc", "uts"]
        .into_iter()
        .filter_map(move |kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok())
}

/// Those of a container engine that `cargo xtask engine` started are its own to take away, and change with every
/// container that somebody else runs there.
fn cgroups(folder: &Path, things: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name() != "meshproof-engine"
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
        {
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
