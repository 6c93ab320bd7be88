//! Paths below a folder in which somebody else may put links, and change them at any time.
//!
//! Invariant: what is opened or made is below the folder, also when a link is put in its way meanwhile. The kernel resolves the
//! path as a whole (`openat2`), and what was found is kept by its descriptor, never looked up by name again.

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, mkdirat};
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

/// How often a path is resolved anew when something on it was renamed meanwhile.
const ATTEMPTS: usize = 64;

/// What becomes of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// One that leads out of the folder, and every absolute one, is an error: see [`leads_out`].
    Stay,
    /// The folder is the root: an absolute link starts there, and `..` stays there.
    FromRoot,
}

/// Opens a folder, or a file, to look below it. Links in this path are followed, wherever they lead.
///
/// # Errors
///
/// When it is not there.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(AT_FDCWD, path, HANDLE, Mode::empty())?)
}

/// Finds what a path names below a folder; it is not opened for reading or writing. An empty path is the folder.
///
/// # Errors
///
/// When it is not there, or a link leads out.
pub fn find(folder: impl AsFd, path: &Path, links: Links) -> io::Result<OwnedFd> {
    if path.as_os_str().is_empty() {
        return folder.as_fd().try_clone_to_owned();
    }
    Ok(resolve(&folder, path, links, HANDLE, Mode::empty())?)
}

/// Makes the folders of a path that are not there, with these permissions whatever the umask is. What is there may be reached by
/// links, but none is made through one.
///
/// # Errors
///
/// When something on the way is no folder, or leads out.
pub fn make_folders(
    folder: impl AsFd,
    path: &Path,
    links: Links,
    permissions: u32,
) -> io::Result<()> {
    let mut parts = path.components().filter_map(named).peekable();
    let mut found = folder.as_fd().try_clone_to_owned()?;
    let mut known = PathBuf::new();
    while let Some(part) = parts.peek() {
        known.push(part);
        match resolve(
            &folder,
            &known,
            links,
            HANDLE | OFlag::O_DIRECTORY,
            Mode::empty(),
        ) {
            Ok(next) => found = next,
            Err(Errno::ENOENT) => break,
            Err(error) => return Err(error.into()),
        }
        parts.next();
    }
    for part in parts {
        if part == ".." {
            return Err(Errno::EXDEV.into());
        }
        match mkdirat(&found, part, Mode::S_IRWXU) {
            // Made by somebody else, or a link that leads nowhere: it is looked at without following it.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let made = File::from(openat(&found, part, flags, Mode::empty())?);
        made.set_permissions(Permissions::from_mode(permissions))?;
        found = made.into();
    }
    Ok(())
}

/// Makes an empty file, if there is nothing. The folder that it is in must be there.
///
/// # Errors
///
/// When its folder is missing, or leads out.
pub fn make_file(folder: impl AsFd, path: &Path, links: Links, permissions: u32) -> io::Result<()> {
    // Without blocking: somebody may put a named pipe there.
    let flags = OFlag::O_RDONLY | OFlag::O_CREAT | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(permissions);
    resolve(&folder, path, links, flags, mode)?;
    Ok(())
}

/// Whether that is why a path cannot be found: a link leads out of the folder.
#[must_use]
pub fn leads_out(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EXDEV as i32)
}

/// A descriptor that only names something.
const HANDLE: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

fn named<'a>(part: Component<'a>) -> Option<&'a OsStr> {
    match part {
        Component::RootDir | Component::CurDir => None,
        part => Some(part.as_os_str()),
    }
}

fn resolve(
    folder: impl AsFd,
    path: &Path,
    links: Links,
    flags: OFlag,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let bounds = match links {
        Links::Stay => ResolveFlag::RESOLVE_BENEATH,
        Links::FromRoot => ResolveFlag::RESOLVE_IN_ROOT,
    };
    let how = OpenHow::new()
        .flags(flags)
        .mode(mode)
        .resolve(bounds | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let mut last = Errno::EAGAIN;
    for _ in 0..ATTEMPTS {
        // The kernel cannot tell whether `..` was left by a rename, and says so.
        match openat2(&folder, path, how) {
            Err(error @ (Errno::EAGAIN | Errno::EINTR)) => last = error,
            done => return done,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{RenameFlags, renameat2};
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A folder `volume` with what may be found in it, beside a folder `outside`.
    fn stage() -> (tempfile::TempDir, OwnedFd) {
        let top = tempfile::tempdir().unwrap();
        for folder in ["volume/a/b", "outside/a"] {
            fs::create_dir_all(top.path().join(folder)).unwrap();
        }
        fs::write(top.path().join("outside/secret"), "secret").unwrap();
        let outside = top.path().join("outside");
        let volume = top.path().join("volume");
        for (link, target) in [
            ("inside", Path::new("a/b")),
            ("a/back", Path::new("../a/b")),
            ("absolute", &outside),
            ("own", &volume.join("a")),
            ("relative", Path::new("../outside")),
            ("a/b/deep", Path::new("../../../outside")),
            ("first", Path::new("second")),
            ("second", Path::new("relative")),
            ("nowhere", Path::new("missing")),
            ("from-root", Path::new("/a/b")),
            ("round", Path::new("round")),
        ] {
            symlink(target, volume.join(link)).unwrap();
        }
        let opened = open(&volume).unwrap();
        (top, opened)
    }

    fn inode(found: OwnedFd) -> u64 {
        File::from(found).metadata().unwrap().ino()
    }

    #[test]
    fn links_are_followed_only_where_they_stay() {
        let (top, volume) = stage();
        let wanted = fs::metadata(top.path().join("volume/a/b")).unwrap().ino();
        for path in ["a/b", "inside", "a/back", "inside/../b", "./a//b/"] {
            let found = find(&volume, Path::new(path), Links::Stay).unwrap();
            assert_eq!(inode(found), wanted, "{path}");
        }
        for path in [
            "absolute",
            "absolute/secret",
            "own",
            "relative",
            "relative/secret",
            "inside/deep",
            "a/b/deep/secret",
            "first/secret",
            "..",
            "a/../..",
            "/",
            "from-root",
        ] {
            let error = find(&volume, Path::new(path), Links::Stay).unwrap_err();
            assert!(leads_out(&error), "{path}: {error}");
        }
        for path in ["missing", "nowhere", "round"] {
            let error = find(&volume, Path::new(path), Links::Stay).unwrap_err();
            assert!(!leads_out(&error), "{path}: {error}");
        }
    }

    #[test]
    fn a_root_has_nothing_above_it() {
        let (top, volume) = stage();
        let wanted = fs::metadata(top.path().join("volume/a/b")).unwrap().ino();
        for path in ["/a/b", "from-root", "/../../a/b", "inside"] {
            let found = find(&volume, Path::new(path), Links::FromRoot).unwrap();
            assert_eq!(inode(found), wanted, "{path}");
        }
        // There is no `outside` in it.
        for path in ["absolute", "relative", "a/b/deep"] {
            let error = find(&volume, Path::new(path), Links::FromRoot).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{path}");
        }
    }

    #[test]
    fn nothing_is_made_outside() {
        let (top, volume) = stage();
        make_folders(&volume, Path::new("inside/x/y"), Links::Stay, 0o2775).unwrap();
        let made = top.path().join("volume/a/b/x/y");
        let mode = fs::metadata(made).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o2775, "whatever the umask is");
        make_folders(&volume, Path::new("inside/x/y"), Links::Stay, 0o755).unwrap();

        for path in [
            "absolute/x",
            "relative/x",
            "nowhere/x",
            "a/../../x",
            "round/x",
            "new/../../x",
        ] {
            make_folders(&volume, Path::new(path), Links::Stay, 0o755).unwrap_err();
            make_file(&volume, Path::new(path), Links::Stay, 0o644).unwrap_err();
        }
        make_file(&volume, Path::new("/../made"), Links::FromRoot, 0o644).unwrap();
        make_folders(&volume, Path::new("/from-root/z"), Links::FromRoot, 0o755).unwrap();
        assert!(top.path().join("volume/a/b/z").is_dir());
        let names = |folder: &str| {
            let entries = fs::read_dir(top.path().join(folder)).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(""), ["outside", "volume"]);
        assert_eq!(names("outside"), ["a", "secret"]);
    }

    #[test]
    fn a_link_that_comes_and_goes_leads_nowhere() {
        let (top, volume) = stage();
        let path = top.path().join("volume/a");
        let link = top.path().join("volume/link");
        symlink("../outside", &link).unwrap();
        let inside = fs::metadata(&path).unwrap().ino();
        let over = AtomicBool::new(false);
        let (mut found, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Something of that name is there all the time.
                let exchange = RenameFlags::RENAME_EXCHANGE;
                while !over.load(Ordering::Relaxed) {
                    renameat2(AT_FDCWD, &path, AT_FDCWD, &link, exchange).unwrap();
                }
            });
            // Until both were seen often enough to mean something.
            while found < 500 || refused < 500 {
                match find(&volume, Path::new("a"), Links::Stay) {
                    Ok(what) => {
                        assert_eq!(inode(what), inside);
                        found += 1;
                    }
                    Err(error) if leads_out(&error) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
                let _ = make_folders(&volume, Path::new("a/new"), Links::Stay, 0o755);
            }
            over.store(true, Ordering::Relaxed);
        });
        assert!(!top.path().join("outside/new").exists());
    }
}
