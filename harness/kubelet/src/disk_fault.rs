//! Filling a file system of the node's disk for a while: whoever writes to it is told that there is no space.

use crate::host_disk;
use crate::leases::Undo;
use crate::node::Node;
use harness_kernel::KernelError;
use harness_kernel::full_disk::{self, Full};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Fills the file system of a folder for this time, and says what was measured.
pub(crate) fn fill(node: &Arc<Node>, path: String, time: Duration) -> Result<String, String> {
    // One at a time: there would be no room that could be taken.
    node.full.end(&path);
    let (full, measured) = strike(&node.config.state_dir, &path)?;
    tracing::info!(path, ?time, measured, "a file system is full");
    node.full.begin(path, full, time);
    Ok(measured)
}

fn strike(state: &Path, path: &str) -> Result<(Full, String), String> {
    let folder = host_disk::find(&state.join(host_disk::HOST_FOLDER), path)?;
    let metadata = fs::symlink_metadata(&folder).map_err(|error| format!("{path}: {error}"))?;
    if !metadata.is_dir() {
        return Err(format!("{path} is no folder"));
    }
    full_disk::fill(&folder, state).map_err(|error| words(&error))
}

fn words(error: &KernelError) -> String {
    format!("{error}: {}", error.source)
}

impl Undo<String> for Full {
    fn undo(self, path: &String) {
        match Full::undo(&self) {
            Ok(()) => tracing::info!(path, "a file system has its room again"),
            Err(error) => {
                tracing::warn!(path, error = words(&error), "a file system stays full");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That one of ours is full and has its room again is shown in namespaces, by the tests of `harness-kernel`.
    #[test]
    fn what_is_no_folder_or_elsewhere_or_of_the_machine_is_not_filled() {
        let state = tempfile::tempdir().unwrap();
        let disk = state.path().join("host");
        fs::create_dir_all(disk.join("run/agent")).unwrap();
        fs::write(disk.join("file"), "precious").unwrap();
        std::os::unix::fs::symlink("/tmp", disk.join("out")).unwrap();
        for (path, reason) in [
            ("/file", "is no folder"),
            ("/out", "is no folder"),
            ("/out/tmp", "leads out"),
            ("/../host/run", "leads out"),
            ("/run/other", "No such file"),
            // Not mounted for this node.
            ("/run/agent", "it is not ours"),
        ] {
            let told = strike(state.path(), path).unwrap_err();
            assert!(told.contains(reason), "{told}");
        }
        fs::write(disk.join("run/agent/new"), "something").unwrap();
    }
}
