//! Who uses a cluster: the process that has the lock of its folder open.
//!
//! Invariant: only looks, and nothing but words for people depends on it: processes of others tell nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// A process that uses a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub process: u32,
    /// As it was started.
    pub command: String,
    /// The files that it has open.
    pub files: Vec<PathBuf>,
}

/// Who else than we has this file open; none where nobody tells.
pub(crate) fn of(lock: &Path) -> Option<User> {
    found(&lock.canonicalize().ok()?, Some(std::process::id()))
}

fn found(lock: &Path, but: Option<u32>) -> Option<User> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let mut processes: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|process| Some(*process) != but)
        .collect();
    processes.sort_unstable();
    processes.into_iter().find_map(|process| {
        let files = open_files(process);
        files.iter().any(|file| file == lock).then(|| User {
            process,
            command: command(process),
            files,
        })
    })
}

/// Nothing where it is not ours to look at.
fn open_files(process: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{process}/fd"));
    let entries = entries.into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    files.collect()
}

fn command(process: u32) -> String {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    line.split_terminator('\0').collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn who_has_the_lock_open_is_told_with_what_else_it_has_open() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (lock, other) = (folder.join("lock"), folder.join("history.jsonl"));
        let _held = File::create(&lock).unwrap();
        let _other = File::create(&other).unwrap();
        let user = found(&lock, None).unwrap();
        assert_eq!(user.process, std::process::id());
        assert!(user.files.contains(&other), "{:?}", user.files);
        assert!(!user.command.is_empty());
        assert_eq!(found(&folder.join("nobody"), None), None);
        assert_eq!(of(&folder.join("not-there")), None);
    }
}
