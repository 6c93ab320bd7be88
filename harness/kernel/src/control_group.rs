//! Control groups: where some of ours can be made, and one with limits for the processes of a container.
//!
//! With version 1 each controller has a hierarchy of its own, and groups can be made below the group that we are in. With
//! version 2 a group that has processes hands no controllers on, so it is the nearest group above that does.
//!
//! Invariant: nothing is made outside of the folders that a [`Home`] names, and it names them before they are there.

use crate::KernelError;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The period over which processor time is given out, in microseconds: the kernel's own default.
const PERIOD: u64 = 100_000;

/// The least processor time in a period that the kernel takes, in microseconds.
const LEAST_QUOTA: u64 = 1_000;

/// The folders of one run, below which its groups are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Home {
    /// Of version 1, one in each hierarchy.
    V1 {
        /// In that of the controller `memory`.
        memory: PathBuf,
        /// In that of the controller `cpu`.
        cpu: PathBuf,
    },
    /// Of version 2.
    V2 {
        /// In the only hierarchy.
        folder: PathBuf,
    },
}

/// What processes may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory, bytes.
    pub memory: Option<u64>,
    /// Processors, thousandths.
    pub cpu: Option<u64>,
}

/// A group with limits.
#[derive(Debug)]
pub struct Group {
    /// With the limit of memory, if there is one, and the file that counts whom it has cost the life.
    memory: Option<(PathBuf, &'static str)>,
    folders: Vec<PathBuf>,
}

/// The files that say where groups of this process are, as text.
struct Here<'a> {
    /// `/proc/self/mountinfo`, see proc(5).
    mounts: &'a str,
    /// `/proc/self/cgroup`, see cgroups(7).
    own: &'a str,
}

impl Home {
    /// Makes folders with this name where they can be made; `before` is called with them before they are there. The reason
    /// when there is no such place.
    ///
    /// # Errors
    ///
    /// When nothing can be made anywhere, or `before` fails.
    pub fn make(
        name: &str,
        mut before: impl FnMut(&Self) -> io::Result<()>,
    ) -> Result<Self, String> {
        let read = |path| fs::read_to_string(path).map_err(|error| format!("read {path}: {error}"));
        let (mounts, own) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
        let here = Here {
            mounts: &mounts,
            own: &own,
        };
        let hands_on = |folder: &Path| {
            let text = fs::read_to_string(folder.join("cgroup.subtree_control"));
            text.is_ok_and(|text| hands_on(&text))
        };
        let places = here.places(name, hands_on);
        let mut refused = Vec::new();
        for home in places {
            before(&home).map_err(|error| format!("note where control groups are: {error}"))?;
            match home.make_folders() {
                Ok(()) => return Ok(home),
                Err(error) => {
                    let _ = home.remove();
                    refused.push(format!("{}: {}", error.act, error.source));
                }
            }
        }
        if refused.is_empty() {
            refused.push("no control group that we are in hands on `memory` and `cpu`".to_owned());
        }
        Err(refused.join("; "))
    }

    fn folders(&self) -> Vec<&Path> {
        match self {
            Self::V1 { memory, cpu } => vec![memory, cpu],
            Self::V2 { folder } => vec![folder],
        }
    }

    fn make_folders(&self) -> Result<(), KernelError> {
        for folder in self.folders() {
            let act = || format!("make the control group {}", folder.display());
            fs::create_dir(folder).map_err(|error| KernelError::new(act(), error))?;
        }
        if let Self::V2 { folder } = self {
            write(folder, "cgroup.subtree_control", "+memory +cpu")?;
        }
        Ok(())
    }

    /// Makes a group with these limits, new if there was one of this name. Where nothing is limited there is none.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; no group is left then.
    pub fn group(&self, name: &str, limits: &Limits) -> Result<Option<Group>, KernelError> {
        let mut group = Group {
            memory: None,
            folders: Vec::new(),
        };
        let made = self.make_group(name, limits, &mut group);
        if let Err(error) = made {
            let _ = group.remove();
            return Err(error);
        }
        Ok((!group.folders.is_empty()).then_some(group))
    }

    fn make_group(
        &self,
        name: &str,
        limits: &Limits,
        group: &mut Group,
    ) -> Result<(), KernelError> {
        match self {
            Self::V1 { memory, cpu } => {
                if let Some(bytes) = limits.memory {
                    let folder = group.add(memory, name)?;
                    let bytes = bytes.to_string();
                    write(&folder, "memory.limit_in_bytes", &bytes)?;
                    // What is moved to a disk counts too, where the kernel counts it.
                    let _ = write(&folder, "memory.memsw.limit_in_bytes", &bytes);
                    group.memory = Some((folder, "memory.oom_control"));
                }
                if let Some(thousandths) = limits.cpu {
                    let folder = group.add(cpu, name)?;
                    write(&folder, "cpu.cfs_period_us", &PERIOD.to_string())?;
                    let quota = quota(thousandths).to_string();
                    match write(&folder, "cpu.cfs_quota_us", &quota) {
                        // More than a group above has: that one's limit holds already.
                        Err(error) if error.source.kind() == io::ErrorKind::InvalidInput => {}
                        other => other?,
                    }
                }
            }
            Self::V2 { folder } => {
                if *limits == Limits::default() {
                    return Ok(());
                }
                let folder = group.add(folder, name)?;
                if let Some(bytes) = limits.memory {
                    write(&folder, "memory.max", &bytes.to_string())?;
                    let _ = write(&folder, "memory.swap.max", "0");
                    // All of a container ends, as with a kubelet; older kernels have no such file.
                    let _ = write(&folder, "memory.oom.group", "1");
                    group.memory = Some((folder.clone(), "memory.events"));
                }
                if let Some(thousandths) = limits.cpu {
                    let text = format!("{} {PERIOD}", quota(thousandths));
                    write(&folder, "cpu.max", &text)?;
                }
            }
        }
        Ok(())
    }

    /// Takes all groups of the run away; fine when there are none. Their processes must have ended.
    ///
    /// # Errors
    ///
    /// When one has processes still, or may not be removed.
    pub fn remove(&self) -> io::Result<()> {
        remove_all(self.folders())
    }
}

impl Group {
    fn add(&mut self, home: &Path, name: &str) -> Result<PathBuf, KernelError> {
        let folder = home.join(name);
        let act = || format!("make the control group {}", folder.display());
        // One of a node that has lost its power meanwhile.
        remove(&folder)
            .and_then(|()| fs::create_dir(&folder))
            .map_err(|error| KernelError::new(act(), error))?;
        self.folders.push(folder.clone());
        Ok(folder)
    }

    /// The files that a process enters the group by: it writes `0` to each.
    #[must_use]
    pub fn entrances(&self) -> Vec<PathBuf> {
        let folders = self.folders.iter();
        folders.map(|folder| folder.join("cgroup.procs")).collect()
    }

    /// A process was killed because the group had no memory left.
    #[must_use]
    pub fn has_run_out_of_memory(&self) -> bool {
        self.memory.as_ref().is_some_and(|(folder, counts)| {
            fs::read_to_string(folder.join(counts)).is_ok_and(|text| kills(&text) > 0)
        })
    }

    /// Takes it away. Its processes must have ended.
    ///
    /// # Errors
    ///
    /// When it has processes still.
    pub fn remove(&self) -> io::Result<()> {
        remove_all(self.folders.iter().map(PathBuf::as_path))
    }
}

impl Here<'_> {
    /// Where folders of this name could be, the best place first. Whether a group of version 2 hands the controllers on is
    /// asked of `hands_on`.
    fn places(&self, name: &str, hands_on: impl Fn(&Path) -> bool) -> Vec<Home> {
        let of = |controller| Some(self.own_folder("cgroup", Some(controller))?.0.join(name));
        let mut places = Vec::new();
        if let (Some(memory), Some(cpu)) = (of("memory"), of("cpu")) {
            places.push(Home::V1 { memory, cpu });
        }
        if let Some((own, top)) = self.own_folder("cgroup2", None) {
            let above = own
                .ancestors()
                .take_while(|folder| folder.starts_with(&top));
            let handing = above.filter(|folder| hands_on(folder));
            places.extend(handing.map(|folder| Home::V2 {
                folder: folder.join(name),
            }));
        }
        places
    }

    /// The folder of our own group in a hierarchy, and the one at its top.
    fn own_folder(&self, kind: &str, controller: Option<&str>) -> Option<(PathBuf, PathBuf)> {
        let has = |list: &str| match controller {
            Some(controller) => list.split(',').any(|one| one == controller),
            None => true,
        };
        let own = self.own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let is_it = controller.is_some() != controllers.is_empty() && has(controllers);
            is_it.then_some(path)
        })?;
        self.mounts.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut after = after.split(' ');
            let (found, options) = (after.next()?, after.nth(1)?);
            if found != kind || !has(options) {
                return None;
            }
            let mut before = before.split(' ').skip(3);
            let (root, top) = (before.next()?, Path::new(before.next()?));
            let below = Path::new(own).strip_prefix(root).ok()?;
            // A group outside of what is mounted here.
            if below.components().any(|part| part == Component::ParentDir) {
                return None;
            }
            // Joining nothing would add a slash.
            let folder = if below == Path::new("") {
                top.to_owned()
            } else {
                top.join(below)
            };
            Some((folder, top.to_owned()))
        })
    }
}

/// `cgroup.subtree_control` has what we need.
fn hands_on(subtree_control: &str) -> bool {
    let has = |wanted| {
        let mut all = subtree_control.split_whitespace();
        all.any(|controller| controller == wanted)
    };
    has("memory") && has("cpu")
}

/// Microseconds of processor time in a period.
fn quota(thousandths: u64) -> u64 {
    (thousandths.saturating_mul(PERIOD) / 1000).max(LEAST_QUOTA)
}

/// The number behind `oom_kill` in `memory.oom_control` and `memory.events`.
fn kills(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|number| number.trim().parse().ok())
        .unwrap_or_default()
}

fn write(folder: &Path, file: &str, text: &str) -> Result<(), KernelError> {
    let path = folder.join(file);
    let act = || format!("write `{text}` to {}", path.display());
    fs::write(&path, text).map_err(|error| KernelError::new(act(), error))
}

/// Removes what can be removed of these, and says why the first of the others cannot.
fn remove_all<'a>(folders: impl IntoIterator<Item = &'a Path>) -> io::Result<()> {
    let removed: Vec<io::Result<()>> = folders.into_iter().map(remove).collect();
    removed.into_iter().collect()
}

/// Removes a group and those below it; fine when it is not there. Its files go with it.
fn remove(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

#[cfg(test)]
mod tests;
