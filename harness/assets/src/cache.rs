//! The cache of assets.
//!
//! ```text
//! CACHE/assets/NAME-FINGERPRINT/{NAME,manifest.json}   one program; comes into being by one rename
//! CACHE/assets/.making-*                                 being made; rubbish when nobody holds the lock
//! CACHE/assets/lock                                      held while something is made, with the process in it
//! ```

use crate::error::AssetError;
use crate::recipe::recipe;
use crate::{Asset, is_program};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The start of the names of folders in which something is being made.
const MAKING: &str = ".making-";

/// The asset part of meshproof's cache.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) folder: PathBuf,
}

/// What the cache has of an asset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The program, whole.
    Whole(PathBuf),
    /// Something that must not be used, and why.
    Damaged(String),
    /// Nothing.
    Absent,
}

/// What is written beside a program.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Manifest {
    asset: String,
    /// The recipe's fingerprint.
    inputs: String,
    sha256: String,
    size: u64,
    modified_seconds: i64,
    modified_nanoseconds: i64,
}

/// The right to write to the cache; others wait for its end.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Cache {
    pub(crate) fn new(cache: &Path) -> Self {
        Self {
            folder: cache.join("assets"),
        }
    }

    /// Looks at an asset without reading all of it: its size and time must be those that were noted when it was made;
    /// where only the time differs (a restored backup), its hash decides.
    pub(crate) fn state(&self, asset: Asset) -> Result<State, AssetError> {
        let Some(entry) = self.entry(asset) else {
            return Ok(State::Absent);
        };
        let program = entry.join(asset.file_name());
        match fs::symlink_metadata(&entry) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Absent),
            Err(error) => return Err(AssetError::cache(&entry)(error)),
            Ok(_) => {}
        }
        let Ok(manifest) = read_manifest(&entry) else {
            return Ok(State::Damaged("its manifest is not readable".to_owned()));
        };
        let Ok(metadata) = fs::metadata(&program) else {
            return Ok(State::Damaged("the program is not there".to_owned()));
        };
        if metadata.size() != manifest.size {
            let reason = format!(
                "it has {} bytes instead of {}",
                metadata.size(),
                manifest.size
            );
            return Ok(State::Damaged(reason));
        }
        if !is_program(&program) {
            return Ok(State::Damaged("it is not executable".to_owned()));
        }
        let time = (metadata.mtime(), metadata.mtime_nsec());
        if time != (manifest.modified_seconds, manifest.modified_nanoseconds) {
            if sha256(&program).map_err(AssetError::cache(&program))? != manifest.sha256 {
                return Ok(State::Damaged("its contents have changed".to_owned()));
            }
            // A cache that cannot be written stays usable; the hash is computed again the next time.
            let _ = write_manifest(&entry, asset, &manifest.inputs, manifest.sha256);
        }
        Ok(State::Whole(program))
    }

    /// Takes the right to make assets, waiting where another process has it; `waiting` is told which.
    pub(crate) fn lock(&self, waiting: impl FnOnce(Option<u32>)) -> Result<Lock, AssetError> {
        fs::create_dir_all(&self.folder).map_err(AssetError::cache(&self.folder))?;
        let path = self.folder.join("lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(AssetError::cache(&path))?;
        if file.try_lock().is_err() {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            waiting(holder.trim().parse().ok());
            file.lock().map_err(AssetError::cache(&path))?;
        }
        let note = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        note.map_err(AssetError::cache(&path))?;
        Ok(Lock { _file: file })
    }

    /// A folder in which something can be made. Whoever holds the lock later removes it if we cannot.
    pub(crate) fn workshop(&self, _lock: &Lock) -> Result<tempfile::TempDir, AssetError> {
        tempfile::Builder::new()
            .prefix(MAKING)
            .tempdir_in(&self.folder)
            .map_err(AssetError::cache(&self.folder))
    }

    /// Puts a finished program into its place. It must be on the cache's disk.
    pub(crate) fn adopt(
        &self,
        asset: Asset,
        inputs: &str,
        program: &Path,
        lock: &Lock,
    ) -> Result<PathBuf, AssetError> {
        let place = self.entry(asset).ok_or(AssetError::NoSource { asset })?;
        let workshop = self.workshop(lock)?;
        let entry = workshop.path().join("entry");
        fs::create_dir(&entry).map_err(AssetError::cache(&entry))?;
        let target = entry.join(asset.file_name());
        fs::rename(program, &target).map_err(AssetError::cache(program))?;
        let finish = || {
            fs::set_permissions(&target, fs::Permissions::from_mode(0o755))?;
            // The manifest must never be on disk before what it vouches for.
            File::open(&target)?.sync_all()?;
            write_manifest(&entry, asset, inputs, sha256(&target)?)
        };
        finish().map_err(AssetError::cache(&target))?;
        if place.exists() {
            let aside = workshop.path().join("damaged");
            fs::rename(&place, aside).map_err(AssetError::cache(&place))?;
        }
        fs::rename(&entry, &place).map_err(AssetError::cache(&place))?;
        Ok(place.join(asset.file_name()))
    }

    /// Removes what others left unfinished; the lock says that nobody is at it any more.
    pub(crate) fn sweep(&self, _lock: &Lock) -> Result<Vec<PathBuf>, AssetError> {
        let mut removed = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(AssetError::cache(&self.folder))? {
            let path = entry.map_err(AssetError::cache(&self.folder))?.path();
            let name = path.file_name().unwrap_or_default();
            if name.to_string_lossy().starts_with(MAKING) {
                fs::remove_dir_all(&path).map_err(AssetError::cache(&path))?;
                removed.push(path);
            }
        }
        Ok(removed)
    }

    /// Sweeps, unless there is nothing to sweep or somebody is making assets.
    pub(crate) fn clean(&self) -> Result<Vec<PathBuf>, AssetError> {
        let path = self.folder.join("lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(AssetError::cache(&path)(error)),
        };
        if file.try_lock().is_err() {
            return Ok(Vec::new());
        }
        self.sweep(&Lock { _file: file })
    }

    fn entry(&self, asset: Asset) -> Option<PathBuf> {
        /// Enough of the fingerprint to never meet another.
        const LENGTH: usize = 16;
        let fingerprint = recipe(asset)?.fingerprint();
        Some(
            self.folder
                .join(format!("{asset}-{}", &fingerprint[..LENGTH])),
        )
    }
}

fn read_manifest(entry: &Path) -> io::Result<Manifest> {
    Ok(serde_json::from_slice(&fs::read(
        entry.join("manifest.json"),
    )?)?)
}

fn write_manifest(entry: &Path, asset: Asset, inputs: &str, sha256: String) -> io::Result<()> {
    let metadata = fs::metadata(entry.join(asset.file_name()))?;
    let manifest = Manifest {
        asset: asset.to_string(),
        inputs: inputs.to_owned(),
        sha256,
        size: metadata.size(),
        modified_seconds: metadata.mtime(),
        modified_nanoseconds: metadata.mtime_nsec(),
    };
    let mut file = tempfile::NamedTempFile::new_in(entry)?;
    serde_json::to_writer_pretty(&mut file, &manifest)?;
    file.as_file().sync_all()?;
    file.persist(entry.join("manifest.json"))
        .map_err(|error| error.error)?;
    Ok(())
}

/// Lower-case hex of a file's SHA-256.
pub(crate) fn sha256(path: &Path) -> io::Result<String> {
    const PIECE: usize = 1 << 20;
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&piece[..count]),
        }
    }
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{Cache, State, read_manifest};
    use crate::Asset;
    use std::fs::{self, File};
    use std::path::{Path, PathBuf};
    use std::time::SystemTime;

    fn adopted(folder: &Path) -> (Cache, PathBuf) {
        let cache = Cache::new(folder);
        let lock = cache.lock(|_| ()).unwrap();
        let program = cache.folder.join("made");
        fs::write(&program, "program").unwrap();
        let path = cache.adopt(Asset::Etcd, "inputs", &program, &lock).unwrap();
        (cache, path)
    }

    fn damage(cache: &Cache) -> String {
        match cache.state(Asset::Etcd).unwrap() {
            State::Damaged(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_program_is_whole_until_it_is_touched_and_after_a_harmless_touch() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, path) = adopted(folder.path());
        assert_eq!(
            cache.state(Asset::Etcd).unwrap(),
            State::Whole(path.clone())
        );
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!(
            cache.state(Asset::Etcd).unwrap(),
            State::Whole(path.clone())
        );
        let manifest = read_manifest(path.parent().unwrap()).unwrap();
        assert_eq!(
            manifest.modified_seconds, 0,
            "the hash is not computed each time"
        );
    }

    #[test]
    fn truncated_changed_removed_and_half_written_entries_are_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, path) = adopted(folder.path());
        fs::write(&path, "pro").unwrap();
        assert_eq!(damage(&cache), "it has 3 bytes instead of 7");
        fs::write(&path, "PROGRAM").unwrap();
        assert_eq!(damage(&cache), "its contents have changed");
        fs::remove_file(&path).unwrap();
        assert_eq!(damage(&cache), "the program is not there");
        fs::write(path.with_file_name("manifest.json"), "{").unwrap();
        assert_eq!(damage(&cache), "its manifest is not readable");
        let (cache, path) = adopted(folder.path());
        assert_eq!(
            cache.state(Asset::Etcd).unwrap(),
            State::Whole(path),
            "a new one takes its place"
        );
    }

    #[test]
    fn rubbish_is_removed_only_while_nobody_is_at_work() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, _) = adopted(folder.path());
        let lock = cache.lock(|_| ()).unwrap();
        let rubbish = cache.workshop(&lock).unwrap().keep();
        assert!(cache.clean().unwrap().is_empty());
        assert!(rubbish.exists());
        drop(lock);
        assert_eq!(cache.clean().unwrap(), std::slice::from_ref(&rubbish));
        assert!(!rubbish.exists());
    }
}
