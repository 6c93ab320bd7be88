//! Locks on the folders of clusters: a file `lock` in the folder, held (flock) as long as the folder belongs to a process,
//! so that the kernel frees it however the process ends.
//!
//! Invariant: a lock is held on the folder that is there, not on one that was removed before we got it.

use crate::user::{self, User};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long somebody who only looks, or sweeps, may hold a lock; a cluster holds it much longer.
const PASSING: Duration = Duration::from_millis(500);

/// The file whose lock is the use of a folder.
const USE: &str = "use.lock";

/// How the names of folders begin that are being removed.
const DEAD: &str = ".dead-";

/// The held lock of a folder; dropping it frees it.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: Flock<File>,
}

/// What became of the attempt to lock a folder.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// It is ours.
    Held(FolderLock),
    /// It is somebody else's.
    Taken,
    /// The folder is not there, or not any more.
    Gone,
}

/// Locks a folder for us alone.
pub(crate) fn alone(folder: &Path) -> io::Result<Attempt> {
    lock(folder, FlockArg::LockExclusiveNonblock)
}

/// Locks the use of a folder that belongs to another process.
pub(crate) fn use_alone(folder: &Path) -> io::Result<Attempt> {
    lock_file(&folder.join(USE), FlockArg::LockExclusiveNonblock)
}

/// As [`alone`], but waits for those who only pass by.
pub(crate) fn alone_in_a_moment(folder: &Path) -> io::Result<Attempt> {
    in_a_moment(|| alone(folder))
}

/// As [`use_alone`], but waits for those who only pass by.
pub(crate) fn use_alone_in_a_moment(folder: &Path) -> io::Result<Attempt> {
    in_a_moment(|| use_alone(folder))
}

fn in_a_moment(attempt: impl Fn() -> io::Result<Attempt>) -> io::Result<Attempt> {
    let start = Instant::now();
    loop {
        match attempt()? {
            Attempt::Taken if start.elapsed() < PASSING => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a lock does not tell when it is free"
                )]
                std::thread::sleep(PASSING / 50);
            }
            other => return Ok(other),
        }
    }
}

/// Whether somebody holds the folder's lock. Changes nothing there.
pub(crate) fn is_held(folder: &Path) -> bool {
    is_file_held(&folder.join("lock"))
}

/// Waits until nobody holds the folder's lock, looking this often: a lock tells nobody that it is free, except those who
/// block on it. Looking costs a microsecond.
pub(crate) async fn released(folder: &Path, every: Duration) {
    let mut ask = tokio::time::interval(every);
    while is_held(folder) {
        ask.tick().await;
    }
}

/// Whether somebody uses the folder (see [`use_alone`]). Changes nothing there.
pub(crate) fn is_used(folder: &Path) -> bool {
    is_file_held(&folder.join(USE))
}

/// Who holds the folder's lock, where that is known.
pub(crate) fn holder(folder: &Path) -> Option<User> {
    user::of(&folder.join("lock"))
}

/// Who uses the folder, where that is known.
pub(crate) fn user(folder: &Path) -> Option<User> {
    user::of(&folder.join(USE))
}

fn is_file_held(path: &Path) -> bool {
    let file = OpenOptions::new().read(true).write(true).open(path);
    matches!(
        file.map(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock)),
        Ok(Err((_, nix::Error::EWOULDBLOCK)))
    )
}

fn lock(folder: &Path, how: FlockArg) -> io::Result<Attempt> {
    lock_file(&folder.join("lock"), how)
}

fn lock_file(path: &Path, how: FlockArg) -> io::Result<Attempt> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Attempt::Gone),
        other => other?,
    };
    match Flock::lock(file, how) {
        Ok(file) if is_at(&file, path) => Ok(Attempt::Held(FolderLock { _file: file })),
        Ok(_) => Ok(Attempt::Gone),
        Err((_, nix::Error::EWOULDBLOCK)) => Ok(Attempt::Taken),
        Err((_, error)) => Err(error.into()),
    }
}

/// The file is the one at `path`: the folder was not removed, and perhaps made again, before we got the lock.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(here), Ok(there)) => here.ino() == there.ino() && here.dev() == there.dev(),
        _ => false,
    }
}

/// Removes a folder whose lock we hold. Renamed first, so that nobody can make it his while it is being emptied.
pub(crate) fn discard(folder: &Path) -> io::Result<()> {
    let base = folder.parent().unwrap_or(Path::new("/"));
    let name = folder.file_name().unwrap_or_default().display();
    let dead = base.join(format!(
        "{DEAD}{}-{name}",
        jiff::Timestamp::now().as_nanosecond()
    ));
    fs::rename(folder, &dead)?;
    fs::remove_dir_all(&dead)
}

/// The folder is what a killed [`discard`] left.
pub(crate) fn is_discarded(folder: &Path) -> bool {
    folder
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(DEAD.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_process_s_and_its_use_perhaps_another_s() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_held(folder.path()));
        let owner = alone(folder.path()).unwrap();
        assert!(matches!(alone(folder.path()).unwrap(), Attempt::Taken));
        assert!(is_held(folder.path()));
        assert!(!is_used(folder.path()));
        let user = use_alone(folder.path()).unwrap();
        assert!(is_used(folder.path()));
        assert!(matches!(user, Attempt::Held(_)));
        assert!(matches!(use_alone(folder.path()).unwrap(), Attempt::Taken));
        drop(owner);
        assert!(matches!(alone(folder.path()).unwrap(), Attempt::Held(_)));
        drop(user);
        assert!(matches!(
            use_alone(folder.path()).unwrap(),
            Attempt::Held(_)
        ));
    }

    #[test]
    fn the_lock_of_a_folder_that_was_removed_and_made_again_is_worth_nothing() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("one");
        fs::create_dir(&folder).unwrap();
        let _old = alone(&folder).unwrap();
        // Somebody has opened the old lock, and gets it when the old folder is gone and a new one is held.
        let late = File::open(folder.join("lock")).unwrap();
        discard(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        let _new = alone(&folder).unwrap();
        assert!(!is_at(&late, &folder.join("lock")));
        assert!(matches!(alone(&folder).unwrap(), Attempt::Taken));
        discard(&folder).unwrap();
        assert!(matches!(alone(&folder).unwrap(), Attempt::Gone));
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }
}
