//! A folder of a disk, for one key service at a time.
//!
//! Invariant: the file on the disk is always a whole one.

use super::{Keep, KeepError};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The file.
pub const FILE: &str = "keys.sealed";
/// What is being written and is not the file yet.
pub const TEMPORARY: &str = "keys.sealed.new";
/// Held as long as the folder is open.
const LOCK: &str = "lock";

/// A folder that nobody else uses.
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes the folder, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used, or another process uses it.
    pub fn take(path: &Path) -> Result<Self, KeepError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(unusable(path))?;
        let lock_path = path.join(LOCK);
        let lock = private_file()
            .open(&lock_path)
            .map_err(unusable(&lock_path))?;
        lock.try_lock()
            .map_err(|_| KeepError::Locked(lock_path.display().to_string()))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }
}

impl Keep for Folder {
    fn load(&self) -> Result<Option<Vec<u8>>, KeepError> {
        let path = self.path.join(FILE);
        match std::fs::read(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&path)(error)),
        }
    }

    fn look(&self) -> Result<Option<Vec<u8>>, KeepError> {
        self.load()
    }

    fn save(&self, sealed: &[u8]) -> Result<(), KeepError> {
        let temporary = self.path.join(TEMPORARY);
        let path = self.path.join(FILE);
        // What a crash left may have another mode.
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(unusable(&temporary)(error));
            }
            _ => {}
        }
        let mut file = private_file()
            .open(&temporary)
            .map_err(unusable(&temporary))?;
        file.write_all(sealed)
            .and_then(|()| file.sync_all())
            .map_err(unusable(&temporary))?;
        std::fs::rename(&temporary, &path).map_err(unusable(&path))?;
        // The new name itself must reach the disk, too.
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(unusable(&self.path))
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn place(&self) -> String {
        self.path.join(FILE).display().to_string()
    }
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> KeepError + use<> {
    let place = path.display().to_string();
    |source| KeepError::of(place, source)
}

/// For writing, readable for nobody else from the beginning.
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}
