//! Unpacking layers one over the other into one folder.
//!
//! Invariant: nothing is written outside the folder, whatever names and links a layer holds.
//!
//! Everything belongs to the user who unpacks: there is one uid in a rootless cluster. Device nodes, extended
//! attributes and set-uid bits are left out for the same reason.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

/// The longest chain of symbolic links that is followed, as in the kernel.
const LINK_LIMIT: usize = 40;

/// Applies one layer to the folder that holds the layers below it.
pub(crate) fn apply_layer(root: &Path, layer: &mut dyn Read) -> io::Result<()> {
    let mut tar = tar::Archive::new(layer);
    // What this layer itself brought: an opaque marker hides only what came from below.
    let mut own: HashSet<PathBuf> = HashSet::new();
    for entry in tar.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let Some((parent, name)) = locate(root, &path)? else {
            continue;
        };
        let target = parent.join(&name);
        if let Some(hidden) = name.strip_prefix(".wh.") {
            if hidden == ".wh..opq" {
                clear(&parent, &own)?;
            } else {
                remove(&parent.join(hidden))?;
            }
            continue;
        }
        // Folders above an entry may be missing in a layer.
        create_folders(root, &parent)?;
        let mode = entry.header().mode()? & 0o1777;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            if !is_folder(&target) {
                remove(&target)?;
                fs::DirBuilder::new().mode(0o700).create(&target)?;
            }
            // The unpacking user must be able to write below it now and to remove it later.
            fs::set_permissions(&target, fs::Permissions::from_mode(mode | 0o700))?;
        } else if kind.is_symlink() {
            remove(&target)?;
            symlink(required_link(&entry)?, &target)?;
        } else if kind.is_hard_link() {
            let Some((source_parent, source_name)) = locate(root, &required_link(&entry)?)? else {
                continue;
            };
            remove(&target)?;
            fs::hard_link(source_parent.join(source_name), &target)?;
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            remove(&target)?;
            let mut file = fs::File::create_new(&target)?;
            io::copy(&mut entry, &mut file)?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        } else {
            continue;
        }
        own.insert(target);
    }
    Ok(())
}

fn required_link<R: Read>(entry: &tar::Entry<'_, R>) -> io::Result<PathBuf> {
    entry
        .link_name()?
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a link has no target"))
}

/// The folder on this machine that holds an entry, and the entry's name. Links in the folders above are resolved as
/// they would be inside the image. Nothing for the root itself.
fn locate(root: &Path, path: &Path) -> io::Result<Option<(PathBuf, String)>> {
    let mut parts: Vec<String> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(
                part.to_str()
                    .ok_or_else(|| {
                        io::Error::new(io::ErrorKind::InvalidData, "a name is not UTF-8")
                    })?
                    .to_owned(),
            ),
            Component::ParentDir => {
                parts.pop();
            }
            _ => {}
        }
    }
    let Some(name) = parts.pop() else {
        return Ok(None);
    };
    parts.reverse();
    let mut folder = root.to_owned();
    let mut links = 0;
    while let Some(part) = parts.pop() {
        match part.as_str() {
            "." => {}
            ".." => {
                if folder != root {
                    folder.pop();
                }
            }
            _ => match fs::read_link(folder.join(&part)) {
                Ok(target) => {
                    links += 1;
                    if links > LINK_LIMIT {
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            "links in a circle",
                        ));
                    }
                    if target.is_absolute() {
                        root.clone_into(&mut folder);
                    }
                    let steps = target
                        .components()
                        .rev()
                        .filter_map(|component| match component {
                            Component::Normal(step) => Some(step.to_string_lossy().into_owned()),
                            Component::ParentDir => Some("..".to_owned()),
                            _ => None,
                        });
                    parts.extend(steps);
                }
                Err(_) => folder.push(&part),
            },
        }
    }
    Ok(Some((folder, name)))
}

fn create_folders(root: &Path, folder: &Path) -> io::Result<()> {
    if folder == root || is_folder(folder) {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folders(root, parent)?;
    }
    remove(folder)?;
    fs::DirBuilder::new().mode(0o755).create(folder)
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

fn clear(folder: &Path, keep: &HashSet<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if keep.contains(&path) {
            if is_folder(&path) {
                clear(&path, keep)?;
            }
        } else {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes whatever is there; fine when nothing is.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let result = if is_folder(path) {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::apply_layer;
    use std::fs;
    use std::path::Path;

    enum Item<'a> {
        File(&'a str, &'a str),
        Link(&'a str, &'a str),
    }

    fn layer(items: &[Item<'_>]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for item in items {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            match item {
                Item::File(path, contents) => {
                    header.set_size(contents.len() as u64);
                    // `append_data` refuses `..`; a hostile layer does not.
                    let name = &mut header.as_old_mut().name;
                    name[..path.len()].copy_from_slice(path.as_bytes());
                    header.set_cksum();
                    builder.append(&header, contents.as_bytes()).unwrap();
                }
                Item::Link(path, target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    builder.append_link(&mut header, path, target).unwrap();
                }
            }
        }
        builder.into_inner().unwrap()
    }

    fn apply(root: &Path, items: &[Item<'_>]) {
        apply_layer(root, &mut layer(items).as_slice()).unwrap();
    }

    #[test]
    fn whiteouts_remove_and_opaque_folders_hide_only_what_came_from_below() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        apply(
            root,
            &[
                Item::File("etc/old", "1"),
                Item::File("etc/gone", "1"),
                Item::File("data/below", "1"),
            ],
        );
        apply(
            root,
            &[
                Item::File("data/own", "2"),
                Item::File("data/.wh..wh..opq", ""),
                Item::File("etc/.wh.gone", ""),
                Item::File("etc/old", "2"),
            ],
        );
        assert_eq!(fs::read_to_string(root.join("etc/old")).unwrap(), "2");
        assert!(!root.join("etc/gone").exists());
        assert!(!root.join("data/below").exists());
        assert_eq!(fs::read_to_string(root.join("data/own")).unwrap(), "2");
    }

    #[test]
    fn links_are_resolved_inside_the_image_and_nothing_escapes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        apply(
            &root,
            &[
                Item::Link("lib", "/usr/lib"),
                Item::File("lib/a.so", "a"),
                Item::Link("up", "../../../../tmp"),
                Item::File("up/escaped", "no"),
                Item::File("../../outside", "no"),
            ],
        );
        assert_eq!(fs::read_to_string(root.join("usr/lib/a.so")).unwrap(), "a");
        assert_eq!(fs::read_to_string(root.join("tmp/escaped")).unwrap(), "no");
        assert_eq!(fs::read_to_string(root.join("outside")).unwrap(), "no");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
