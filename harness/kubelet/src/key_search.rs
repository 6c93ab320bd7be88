//! Looking for private keys in the files below a folder, for one below a folder of the node's disk. Whoever asks, or runs the
//! node, says what a key is known by.

use crate::host_disk;
use crate::node::Node;
use serde::Serialize;
use std::fs::{self, File, FileType};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much of a file on the node's disk is looked through, in bytes: what agents keep on their nodes is small.
const LONGEST: u64 = 1024 * 1024;

/// What a search came to, by paths on the node's disk.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Looked {
    /// Files that hold one.
    found: Vec<String>,
    /// What could not be looked through, with the reason.
    not_searched: Vec<String>,
}

/// Looks through the regular files below a folder; one that is not there has none. Links are not followed.
///
/// # Errors
///
/// When it is no folder, or not on the node's disk.
pub(crate) async fn search(node: &Arc<Node>, path: String) -> Result<Looked, String> {
    let disk = node.config.state_dir.join(host_disk::HOST_FOLDER);
    let holds_key = node.config.holds_key;
    let looking = tokio::task::spawn_blocking(move || look(&disk, &path, holds_key));
    looking.await.map_err(|error| error.to_string())?
}

fn look(disk: &Path, path: &str, holds_key: fn(&[u8]) -> bool) -> Result<Looked, String> {
    let wanted = disk.join(path.trim_start_matches('/'));
    let metadata = match fs::symlink_metadata(&wanted) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Looked::default()),
        other => other.map_err(|error| error.to_string())?,
    };
    if !metadata.is_dir() {
        return Err("it is no folder".to_owned());
    }
    let folder = host_disk::find(disk, path)?;
    let mut looked = Looked::default();
    look_through(&folder, LONGEST, holds_key, |path, holds| {
        looked.note(disk, path, holds);
    });
    Ok(looked)
}

/// Looks through the regular files below a folder, and tells of each whether it holds a key, or why nobody knows; of folders it
/// tells only why they cannot be read. Links are not followed, and what is gone meanwhile holds none. Of a file that is longer
/// than `longest`, in bytes, no more is looked through.
pub fn look_through(
    folder: &Path,
    longest: u64,
    holds_key: fn(&[u8]) -> bool,
    mut tell: impl FnMut(&Path, io::Result<bool>),
) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match entries(&folder) {
            Ok(entries) => entries,
            // It is gone since the folder above it was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                tell(&folder, Err(error));
                continue;
            }
        };
        for (path, kind) in entries {
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                tell(&path, holds(&path, longest, holds_key));
            }
        }
    }
}

fn entries(folder: &Path) -> io::Result<Vec<(PathBuf, FileType)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        entries.push((entry.path(), entry.file_type()?));
    }
    Ok(entries)
}

/// Whether a file holds a key; one that is gone since its folder was read holds none.
fn holds(path: &Path, longest: u64, holds_key: fn(&[u8]) -> bool) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let most = longest.saturating_add(1);
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    if holds_key(&bytes) {
        return Ok(true);
    }
    if bytes.len() as u64 > longest {
        let why = format!("it is longer than {longest} bytes");
        return Err(io::Error::other(why));
    }
    Ok(false)
}

impl Looked {
    fn note(&mut self, disk: &Path, path: &Path, looked: io::Result<bool>) {
        let path = path.strip_prefix(disk).unwrap_or(path).display();
        match looked {
            Ok(true) => self.found.push(format!("/{path}")),
            Ok(false) => {}
            Err(why) => self.not_searched.push(format!("/{path}: {why}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    fn is_key(bytes: &[u8]) -> bool {
        bytes.starts_with(b"a key")
    }

    fn disk() -> (tempfile::TempDir, PathBuf) {
        let state = tempfile::tempdir().unwrap();
        let disk = state.path().join("host");
        fs::create_dir_all(disk.join("run/agent/deep")).unwrap();
        (state, disk)
    }

    #[test]
    fn a_key_is_found_in_any_file_below_the_folder_and_in_no_other() {
        let (state, disk) = disk();
        let agent = disk.join("run/agent");
        fs::write(agent.join("certificate"), "none").unwrap();
        fs::write(disk.join("run/elsewhere"), "a key").unwrap();
        fs::write(state.path().join("outside"), "a key").unwrap();
        symlink("../elsewhere", agent.join("link")).unwrap();
        symlink(state.path(), agent.join("out")).unwrap();
        let _socket = UnixListener::bind(agent.join("socket")).unwrap();
        let looked = look(&disk, "/run/agent", is_key).unwrap();
        assert_eq!(looked, Looked::default());
        fs::write(agent.join("deep/last"), "a key, and more").unwrap();
        let looked = look(&disk, "/run/agent", is_key).unwrap();
        assert_eq!(looked.found, ["/run/agent/deep/last"]);
        assert!(looked.not_searched.is_empty(), "{looked:?}");
    }

    #[test]
    fn a_file_that_is_too_long_is_not_called_free_of_keys() {
        let (_state, disk) = disk();
        let long = disk.join("run/agent/long");
        let file = File::create(&long).unwrap();
        file.set_len(LONGEST).unwrap();
        let looked = look(&disk, "/run/agent", is_key).unwrap();
        assert_eq!(looked, Looked::default());
        file.set_len(LONGEST + 1).unwrap();
        let looked = look(&disk, "/run/agent", is_key).unwrap();
        assert!(looked.found.is_empty());
        assert_eq!(
            looked.not_searched,
            ["/run/agent/long: it is longer than 1048576 bytes"]
        );
        fs::write(&long, "a key".repeat(1024 * 1024)).unwrap();
        let looked = look(&disk, "/run/agent", is_key).unwrap();
        assert_eq!(looked.found, ["/run/agent/long"]);
    }

    #[test]
    fn a_folder_that_is_not_there_has_none_and_what_is_elsewhere_is_not_looked_at() {
        let (state, disk) = disk();
        fs::write(disk.join("file"), "a key").unwrap();
        symlink(state.path(), disk.join("out")).unwrap();
        for nowhere in ["/nowhere", "/run/nowhere/deep"] {
            assert_eq!(look(&disk, nowhere, is_key), Ok(Looked::default()));
        }
        for (path, reason) in [
            ("/file", "no folder"),
            ("/out", "no folder"),
            ("/out/host", "leads out"),
            ("/../host/run", "leads out"),
        ] {
            let told = look(&disk, path, is_key).unwrap_err();
            assert!(told.contains(reason), "{told}");
        }
    }
}
