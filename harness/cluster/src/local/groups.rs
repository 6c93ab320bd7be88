//! The control groups of a cluster's containers: made for all its nodes together, and taken away with it.
//!
//! Invariant: where they are stands in the run folder before they are there, so whoever sweeps the folder can remove them.

use harness_kernel::control_group::Home;
use std::io;
use std::path::Path;

/// The file in the run folder that says where they are.
pub(super) const NOTE: &str = "control-groups.json";

/// Makes a place for the groups of the cluster with this run folder and name; the reason when there can be none.
pub(super) fn make(folder: &Path, name: &str) -> Result<Home, String> {
    let now = jiff::Timestamp::now().as_nanosecond();
    Home::make(&format!("meshproof-{name}-{now}"), |home| {
        std::fs::write(folder.join(NOTE), serde_json::to_vec(home)?)
    })
}

/// Takes the groups away that the run folder tells of; their processes must have ended.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    let note = match std::fs::read(folder.join(NOTE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    // Half a note is from before anything was made.
    match serde_json::from_slice::<Home>(&note) {
        Ok(home) => home.remove(),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_note_tells_of_is_removed_and_without_one_nothing_is() {
        let scratch = tempfile::tempdir().unwrap();
        remove(scratch.path()).unwrap();
        let groups = scratch.path().join("groups");
        std::fs::create_dir_all(groups.join("one")).unwrap();
        std::fs::write(scratch.path().join(NOTE), "{").unwrap();
        remove(scratch.path()).unwrap();
        assert!(groups.exists());
        let home = Home::V2 {
            folder: groups.clone(),
        };
        let note = serde_json::to_vec(&home).unwrap();
        std::fs::write(scratch.path().join(NOTE), note).unwrap();
        remove(scratch.path()).unwrap();
        assert!(!groups.exists());
    }
}
