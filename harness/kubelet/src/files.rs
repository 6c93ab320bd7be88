//! Folders of files that are replaced all at once, as Kubernetes writes configMap, secret and projected volumes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

/// Files by their path inside a volume.
pub(crate) type Files = BTreeMap<String, File>;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) contents: Vec<u8>,
    /// Permission bits.
    pub(crate) mode: u32,
}

/// The link that is replaced.
const CURRENT: &str = "..data";

/// Writes `files` to `folder`: a reader sees all old or all new ones. Every name in the folder is a link through
/// `..data`, which is swapped by a rename.
pub(crate) fn replace(folder: &Path, files: &Files) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let generation = format!("..{:x}", jiff::Timestamp::now().as_nanosecond());
    let contents = folder.join(&generation);
    fs::create_dir(&contents)?;
    for (path, file) in files {
        let target = contents.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, &file.contents)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(file.mode))?;
    }
    let current = folder.join(CURRENT);
    let former = fs::read_link(&current).ok();
    let new_link = folder.join("..data_tmp");
    let _ = fs::remove_file(&new_link);
    symlink(&generation, &new_link)?;
    fs::rename(&new_link, &current)?;

    let names: BTreeSet<&str> = files
        .keys()
        .filter_map(|path| path.split('/').next())
        .collect();
    for name in &names {
        let link = folder.join(name);
        if link.symlink_metadata().is_err() {
            symlink(Path::new(CURRENT).join(name), &link)?;
        }
    }
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // What is no link is no file of ours, but a folder that was made for a `subPath`.
        let is_link = entry.file_type()?.is_symlink();
        if is_link && !name.starts_with("..") && !names.contains(name.as_str()) {
            fs::remove_file(entry.path())?;
        }
    }
    if let Some(former) = former {
        fs::remove_dir_all(folder.join(former))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File {
            contents: text.as_bytes().to_vec(),
            mode: 0o640,
        }
    }

    #[test]
    fn files_are_replaced_together() {
        let folder = std::env::temp_dir().join(format!("meshproof-files-{}", std::process::id()));
        replace(
            &folder,
            &Files::from([("a".to_owned(), file("1")), ("d/b".to_owned(), file("2"))]),
        )
        .unwrap();
        assert_eq!(fs::read_to_string(folder.join("d/b")).unwrap(), "2");
        fs::create_dir(folder.join("part")).unwrap();
        replace(&folder, &Files::from([("a".to_owned(), file("3"))])).unwrap();
        assert_eq!(fs::read_to_string(folder.join("a")).unwrap(), "3");
        assert_eq!(
            fs::metadata(folder.join("a")).unwrap().permissions().mode() & 0o777,
            0o640
        );
        let mut names: Vec<String> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("..1"))
            .collect();
        names.sort();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(names, ["..data", "a", "part"]);
    }
}
