//! The node's disk as pods see it through `hostPath`: a folder of the state directory, never the machine's own.

use crate::volumes::is_inside;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of a node's state directory that is `/` of `hostPath` volumes.
pub const HOST_FOLDER: &str = "host";

/// Where a path on the node's disk is; its last part may be missing, or a link.
pub(crate) fn find(disk: &Path, path: &str) -> Result<PathBuf, String> {
    let said = |error: io::Error| format!("{path}: {error}");
    let relative = Path::new(path.trim_start_matches('/'));
    if !is_inside(relative) {
        return Err(format!("{path} leads out of the node's disk"));
    }
    let path_on_disk = disk.join(relative);
    let folder = path_on_disk.parent().unwrap_or(disk);
    let (real, root) = (fs::canonicalize(folder), fs::canonicalize(disk));
    if !real.map_err(said)?.starts_with(root.map_err(said)?) {
        return Err(format!("{path} leads out of the node's disk"));
    }
    Ok(path_on_disk)
}
