//! `hostPath` volumes: what of the node's disk they are, and whether it is of the type that the pod asks for.
//!
//! Invariant: the node's disk is a root of its own. No link on it leads to the machine that the cluster runs on.

use crate::volumes::{Place, VolumeError};
use harness_kernel::beneath::{self, Links};
use k8s_openapi::api::core::v1::HostPathVolumeSource;
use nix::sys::stat::SFlag;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Permissions of what is made because it is missing.
const FOLDER_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// Makes a host path ready: makes what may be made, and looks at its type, as Kubernetes does.
pub(crate) fn prepare(disk: &Path, source: &HostPathVolumeSource) -> Result<Place, VolumeError> {
    let path = &source.path;
    if path.split('/').any(|part| part == "..") {
        return Err(VolumeError::HostPath(format!(
            "invalid HostPath `{path}`: must not contain '..'"
        )));
    }
    let place = Place {
        folder: disk.to_owned(),
        inside: PathBuf::from(path.trim_start_matches('/')),
        is_read_only: false,
    };
    let failed = |source| VolumeError::Write {
        path: path.clone(),
        source,
    };
    let root = beneath::open(disk).map_err(failed)?;
    let found = look(&root, &place.inside);
    let make_folder = || beneath::make_folders(&root, &place.inside, Links::FromRoot, FOLDER_MODE);
    let wanted = match source.type_.as_deref().unwrap_or_default() {
        // Kubernetes does not look at it; container runtimes make a folder when nothing is there.
        "" => {
            if found.is_none() {
                make_folder().map_err(failed)?;
            }
            return Ok(place);
        }
        "DirectoryOrCreate" => {
            if found.is_none() {
                make_folder().map_err(failed)?;
                return Ok(place);
            }
            Kind::Directory
        }
        "FileOrCreate" => {
            if found.is_none() {
                beneath::make_file(&root, &place.inside, Links::FromRoot, FILE_MODE)
                    .map_err(failed)?;
                return Ok(place);
            }
            Kind::File
        }
        "Directory" => Kind::Directory,
        "File" => Kind::File,
        "Socket" => Kind::Socket,
        "CharDevice" => Kind::CharDevice,
        "BlockDevice" => Kind::BlockDevice,
        other => {
            return Err(VolumeError::HostPath(format!(
                "{other} is an invalid volume type"
            )));
        }
    };
    if found == Some(wanted) {
        return Ok(place);
    }
    let wanted = wanted.in_words();
    Err(VolumeError::HostPath(format!(
        "hostPath type check failed: {path} is not a {wanted}"
    )))
}

/// What there can be on a disk, in the words of `hostPath`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Socket,
    CharDevice,
    BlockDevice,
    /// For instance a named pipe.
    Other,
}

impl Kind {
    /// What Kubernetes says that something is not.
    fn in_words(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File => "file",
            Self::Socket => "socket file",
            Self::CharDevice => "character device",
            Self::BlockDevice => "block device",
            Self::Other => "known kind of file",
        }
    }

    /// Reads it from the mode of an inode (`st_mode`).
    fn of_mode(mode: u32) -> Self {
        match SFlag::from_bits_truncate(mode) & SFlag::S_IFMT {
            SFlag::S_IFDIR => Self::Directory,
            SFlag::S_IFREG => Self::File,
            SFlag::S_IFSOCK => Self::Socket,
            SFlag::S_IFCHR => Self::CharDevice,
            SFlag::S_IFBLK => Self::BlockDevice,
            _ => Self::Other,
        }
    }
}

/// What is there, at the end of links; nothing where it cannot be reached.
fn look(root: &OwnedFd, path: &Path) -> Option<Kind> {
    let found = beneath::find(root, path, Links::FromRoot).ok()?;
    let metadata = File::from(found).metadata().ok()?;
    Some(Kind::of_mode(metadata.mode()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container_order::chain;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    fn prepared(disk: &Path, path: &str, kind: &str) -> Result<Place, String> {
        let source = HostPathVolumeSource {
            path: path.to_owned(),
            type_: Some(kind.to_owned()),
        };
        prepare(disk, &source).map_err(|error| chain(&error))
    }

    /// A disk with one thing of each type that anybody can make, and links to them.
    fn disk() -> tempfile::TempDir {
        let disk = tempfile::tempdir().unwrap();
        let at = |name: &str| disk.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("file"), "kept").unwrap();
        drop(UnixListener::bind(at("socket")).unwrap());
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["folder", "file", "socket"] {
            symlink(format!("/{name}"), at(&format!("link-to-{name}"))).unwrap();
        }
        disk
    }

    #[test]
    fn what_is_there_must_be_of_the_type() {
        let disk = disk();
        let types = [
            ("Directory", "directory"),
            ("DirectoryOrCreate", "directory"),
            ("File", "file"),
            ("FileOrCreate", "file"),
            ("Socket", "socket file"),
            ("CharDevice", "character device"),
            ("BlockDevice", "block device"),
        ];
        for (path, good) in [
            ("/folder", &["Directory", "DirectoryOrCreate"][..]),
            ("/file", &["File", "FileOrCreate"]),
            ("/socket", &["Socket"]),
            ("/pipe", &[]),
            ("/link-to-folder", &["Directory", "DirectoryOrCreate"]),
            ("/link-to-file", &["File", "FileOrCreate"]),
            ("/link-to-socket", &["Socket"]),
        ] {
            prepared(disk.path(), path, "").unwrap();
            for (kind, words) in types {
                let told = prepared(disk.path(), path, kind);
                if good.contains(&kind) {
                    assert_eq!(told.unwrap().inside, Path::new(&path[1..]), "{kind}");
                } else {
                    let expected = format!("hostPath type check failed: {path} is not a {words}");
                    assert_eq!(told.unwrap_err(), expected);
                }
            }
        }
        let told = prepared(disk.path(), "/folder", "Folder").unwrap_err();
        assert_eq!(told, "Folder is an invalid volume type");
        assert_eq!(
            fs::read_to_string(disk.path().join("file")).unwrap(),
            "kept"
        );
    }

    #[test]
    fn what_is_missing_is_made_only_where_the_type_says_so() {
        let disk = disk();
        let at = |name: &str| disk.path().join(name);
        for (kind, words) in [
            ("Directory", "directory"),
            ("File", "file"),
            ("Socket", "socket file"),
            ("CharDevice", "character device"),
            ("BlockDevice", "block device"),
        ] {
            let told = prepared(disk.path(), "/missing", kind).unwrap_err();
            let expected = format!("hostPath type check failed: /missing is not a {words}");
            assert_eq!(told, expected);
            assert!(!at("missing").exists(), "{kind}");
        }
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        prepared(disk.path(), "/made/of/folders", "DirectoryOrCreate").unwrap();
        assert!(at("made/of/folders").is_dir());
        assert_eq!(mode("made/of/folders"), FOLDER_MODE);
        prepared(disk.path(), "/untyped/folder", "").unwrap();
        assert!(at("untyped/folder").is_dir());
        prepared(disk.path(), "/made/file", "FileOrCreate").unwrap();
        assert!(at("made/file").is_file());
        // No process of ours sets another umask than the usual one, which takes nothing of this away.
        assert_eq!(mode("made/file"), FILE_MODE);

        let told = prepared(disk.path(), "/nowhere/file", "FileOrCreate").unwrap_err();
        assert!(told.contains("/nowhere/file: No such file"), "{told}");
        for kind in ["", "DirectoryOrCreate", "FileOrCreate"] {
            let told = prepared(disk.path(), "/file/below", kind).unwrap_err();
            assert!(told.contains("/file/below: Not a directory"), "{told}");
        }
    }

    #[test]
    fn the_disk_is_a_root_of_its_own() {
        let machine = tempfile::tempdir().unwrap();
        let disk = machine.path().join("disk");
        fs::create_dir_all(disk.join("etc")).unwrap();
        fs::write(machine.path().join("secret"), "").unwrap();
        symlink(machine.path(), disk.join("out")).unwrap();
        symlink("../secret", disk.join("above")).unwrap();
        symlink("/etc", disk.join("own")).unwrap();
        for (path, kind) in [
            ("/out", "Directory"),
            ("/out/secret", "File"),
            ("/above", "File"),
        ] {
            prepared(&disk, path, kind).unwrap_err();
        }
        prepared(&disk, "/own", "Directory").unwrap();
        let told = prepared(&disk, "/../secret", "File").unwrap_err();
        assert_eq!(told, "invalid HostPath `/../secret`: must not contain '..'");
    }

    /// Nobody but the machine's own root can make a device, and not every machine has one of blocks.
    #[test]
    fn devices_are_told_apart() {
        let dev = Path::new("/dev");
        prepared(dev, "/null", "CharDevice").unwrap();
        let told = prepared(dev, "/null", "BlockDevice").unwrap_err();
        assert_eq!(
            told,
            "hostPath type check failed: /null is not a block device"
        );
        let told = prepared(dev, "/null", "File").unwrap_err();
        assert_eq!(told, "hostPath type check failed: /null is not a file");
        for (mode, kind) in [
            (0o060_660, Kind::BlockDevice),
            (0o020_660, Kind::CharDevice),
            (0o140_777, Kind::Socket),
            (0o010_600, Kind::Other),
        ] {
            assert_eq!(Kind::of_mode(mode), kind, "{mode:o}");
        }
    }
}
