//! What bugs write to the node's disk, in the folder of the socket: nothing else of it can be written to.

use node_agent::pods::Pod;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Where a socket is that nothing is said of.
const FOLDER: &str = "/run/mesh/node-agent";
/// The file of the last key.
const KEY_FILE: &str = "last-key.pem";

/// The folder of the socket.
pub(crate) fn folder() -> PathBuf {
    let socket = std::env::var_os("SOCKET").map(PathBuf::from);
    let folder = socket.as_deref().and_then(Path::parent);
    folder.unwrap_or(Path::new(FOLDER)).to_owned()
}

/// Writes certificates, never a key.
pub(crate) fn keep_certificates(folder: &Path, pod: &Pod, chain: &[Vec<u8>]) -> io::Result<()> {
    write_down(&folder.join(format!("{}.der", pod.uid)), &chain.concat())
}

/// Writes a key (PEM), as somebody may do who wants to have it after a restart.
pub(crate) fn keep_key(folder: &Path, key: &str) -> io::Result<()> {
    write_down(&folder.join(KEY_FILE), key.as_bytes())
}

/// Removes the key again, where there is one, and what a writer that was killed has left of one.
pub(crate) fn forget_key(folder: &Path) -> io::Result<()> {
    let path = folder.join(KEY_FILE);
    for path in [path.with_extension("new"), path] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Writes beside what was written last and then in its place, so that no reader sees half of it.
fn write_down(path: &Path, content: &[u8]) -> io::Result<()> {
    let first_path = path.with_extension("new");
    let written = fs::write(&first_path, content).and_then(|()| fs::rename(&first_path, path));
    if written.is_err() {
        let _ = fs::remove_file(&first_path);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_down_is_told_and_nothing_is_left_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let pod = Pod {
            namespace: "mesh-workloads".to_owned(),
            name: "1".to_owned(),
            uid: "1".to_owned(),
            service_account: "checkout".to_owned(),
        };
        for chain in [vec![vec![1], vec![2, 3]], vec![vec![4]]] {
            keep_certificates(folder.path(), &pod, &chain).expect("there is room");
            let written = fs::read(folder.path().join("1.der")).expect("there");
            assert_eq!(written, chain.concat());
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        assert!(keep_certificates(&folder.path().join("nowhere"), &pod, &[]).is_err());
    }

    #[test]
    fn the_last_key_can_be_read_until_it_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(KEY_FILE);
        for key in ["first", "-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n"] {
            keep_key(folder.path(), key).expect("there is room");
            assert_eq!(fs::read_to_string(&path).expect("there"), key);
        }
        fs::write(path.with_extension("new"), "half").expect("there is room");
        for _ in 0..2 {
            forget_key(folder.path()).expect("they can be removed");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
