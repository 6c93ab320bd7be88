//! Files that take long to make, kept between runs: programs of other projects, and what is made of them.
//!
//! ```text
//! FOLDER/NAME-FINGERPRINT/{NAME,manifest.json}   one file; comes into being by one rename
//! FOLDER/.making-*                                 being made; rubbish when nobody holds the lock
//! FOLDER/lock                                      held while something is made, with the process in it
//! ```
//!
//! Invariant: a file that [`Cache::state`] calls whole is the one that was put there.

use crate::error::AssetError;
use crate::is_program;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The start of the names of folders in which something is being made.
const MAKING: &str = ".making-";

/// Enough of a fingerprint to never meet another.
const FINGERPRINT_LENGTH: usize = 16;

/// One folder of meshproof's cache, with a lock of its own.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// A file that is or will be in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name of the file.
    pub file_name: String,
    /// Stands for everything that decides what is in the file; hexadecimal.
    pub fingerprint: String,
    /// What the file is for.
    pub content: Content,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// It is started.
    Program,
    /// It is read.
    Data,
}

/// What the cache has of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum State {
    /// The file, whole.
    Whole(PathBuf),
    /// Something that must not be used, and why.
    Damaged(String),
    /// Nothing.
    Absent,
}

/// What is written beside a file.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Manifest {
    asset: String,
    /// The fingerprint.
    inputs: String,
    sha256: String,
    size: u64,
    modified_seconds: i64,
    modified_nanoseconds: i64,
}

/// The right to write to the cache; others wait for its end.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Cache {
    /// The part `name` of meshproof's cache folder.
    #[must_use]
    pub fn new(cache: &Path, name: &str) -> Self {
        Self {
            folder: cache.join(name),
        }
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Looks at a file without reading all of it: its size and time must be those that were noted when it was made;
    /// where only the time differs (a restored backup), its hash decides.
    ///
    /// # Errors
    ///
    /// When the cache is there but cannot be read.
    pub fn state(&self, entry: &Entry) -> Result<State, AssetError> {
        let folder = self.place(entry);
        let file = folder.join(&entry.file_name);
        match fs::symlink_metadata(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Absent),
            Err(error) => return Err(AssetError::cache(&folder)(error)),
            Ok(_) => {}
        }
        let Ok(manifest) = read_manifest(&folder) else {
            return Ok(State::Damaged("its manifest is not readable".to_owned()));
        };
        let Ok(metadata) = fs::metadata(&file) else {
            return Ok(State::Damaged("the file is not there".to_owned()));
        };
        if metadata.size() != manifest.size {
            let reason = format!(
                "it has {} bytes instead of {}",
                metadata.size(),
                manifest.size
            );
            return Ok(State::Damaged(reason));
        }
        if entry.content == Content::Program && !is_program(&file) {
            return Ok(State::Damaged("it is not executable".to_owned()));
        }
        let time = (metadata.mtime(), metadata.mtime_nsec());
        if time != (manifest.modified_seconds, manifest.modified_nanoseconds) {
            if sha256(&file).map_err(AssetError::cache(&file))? != manifest.sha256 {
                return Ok(State::Damaged("its contents have changed".to_owned()));
            }
            // A cache that cannot be written stays usable; the hash is computed again the next time.
            let _ = write_manifest(&folder, entry, manifest.sha256);
        }
        Ok(State::Whole(file))
    }

    /// As [`state`](Self::state), having read all of the file; one that is not as it was made counts as damaged from
    /// now on. For when the use of a file that looked whole failed.
    ///
    /// # Errors
    ///
    /// When the cache cannot be read or written.
    pub fn verify(&self, entry: &Entry) -> Result<State, AssetError> {
        let state = self.state(entry)?;
        let State::Whole(file) = &state else {
            return Ok(state);
        };
        let hash = sha256(file).map_err(AssetError::cache(file))?;
        let folder = self.place(entry);
        if read_manifest(&folder).is_ok_and(|manifest| manifest.sha256 == hash) {
            return Ok(state);
        }
        let manifest = folder.join("manifest.json");
        fs::remove_file(&manifest).map_err(AssetError::cache(&manifest))?;
        Ok(State::Damaged("its contents have changed".to_owned()))
    }

    /// Takes the right to make something, waiting where another process has it; `waiting` is told which.
    ///
    /// # Errors
    ///
    /// When the cache cannot be written.
    pub fn lock(&self, waiting: impl FnOnce(Option<u32>)) -> Result<Lock, AssetError> {
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
    ///
    /// # Errors
    ///
    /// When the cache cannot be written.
    pub fn workshop(&self, _lock: &Lock) -> Result<tempfile::TempDir, AssetError> {
        tempfile::Builder::new()
            .prefix(MAKING)
            .tempdir_in(&self.folder)
            .map_err(AssetError::cache(&self.folder))
    }

    /// Puts a finished file, which must be on the cache's disk, into its place and says where that is.
    ///
    /// # Errors
    ///
    /// When the cache cannot be written.
    pub fn adopt(&self, entry: &Entry, made: &Path, lock: &Lock) -> Result<PathBuf, AssetError> {
        let place = self.place(entry);
        let workshop = self.workshop(lock)?;
        let folder = workshop.path().join("entry");
        fs::create_dir(&folder).map_err(AssetError::cache(&folder))?;
        let target = folder.join(&entry.file_name);
        fs::rename(made, &target).map_err(AssetError::cache(made))?;
        let mode = match entry.content {
            Content::Program => 0o755,
            Content::Data => 0o644,
        };
        let finish = || {
            fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
            // The manifest must never be on disk before what it vouches for.
            File::open(&target)?.sync_all()?;
            write_manifest(&folder, entry, sha256(&target)?)
        };
        finish().map_err(AssetError::cache(&target))?;
        if place.exists() {
            let aside = workshop.path().join("damaged");
            fs::rename(&place, aside).map_err(AssetError::cache(&place))?;
        }
        fs::rename(&folder, &place).map_err(AssetError::cache(&place))?;
        Ok(place.join(&entry.file_name))
    }

    /// Removes all files of this name but the newest ones.
    ///
    /// # Errors
    ///
    /// When the cache cannot be written.
    pub fn keep_newest(
        &self,
        file_name: &str,
        count: usize,
        lock: &Lock,
    ) -> Result<(), AssetError> {
        let error = AssetError::cache(&self.folder);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(&error)? {
            let folder = entry.map_err(&error)?.path();
            if let Ok(metadata) = folder.join(file_name).metadata() {
                files.push((metadata.modified().map_err(&error)?, folder));
            }
        }
        files.sort();
        let workshop = self.workshop(lock)?;
        let surplus = files.len().saturating_sub(count);
        for (number, (_, folder)) in files.into_iter().take(surplus).enumerate() {
            // Nobody may see a half of it.
            let aside = workshop.path().join(number.to_string());
            fs::rename(&folder, aside).map_err(AssetError::cache(&folder))?;
        }
        Ok(())
    }

    /// Removes what others left unfinished, and says what that was; the lock says that nobody is at it any more.
    ///
    /// # Errors
    ///
    /// When the cache cannot be written.
    pub fn sweep(&self, _lock: &Lock) -> Result<Vec<PathBuf>, AssetError> {
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

    fn place(&self, entry: &Entry) -> PathBuf {
        let fingerprint: String = entry.fingerprint.chars().take(FINGERPRINT_LENGTH).collect();
        self.folder
            .join(format!("{}-{fingerprint}", entry.file_name))
    }
}

fn read_manifest(folder: &Path) -> io::Result<Manifest> {
    Ok(serde_json::from_slice(&fs::read(
        folder.join("manifest.json"),
    )?)?)
}

fn write_manifest(folder: &Path, entry: &Entry, sha256: String) -> io::Result<()> {
    let metadata = fs::metadata(folder.join(&entry.file_name))?;
    let manifest = Manifest {
        asset: entry.file_name.clone(),
        inputs: entry.fingerprint.clone(),
        sha256,
        size: metadata.size(),
        modified_seconds: metadata.mtime(),
        modified_nanoseconds: metadata.mtime_nsec(),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, &manifest)?;
    file.as_file().sync_all()?;
    file.persist(folder.join("manifest.json"))
        .map_err(|error| error.error)?;
    Ok(())
}

/// Lower-case hex of a file's SHA-256.
///
/// # Errors
///
/// When it cannot be read.
pub fn sha256(path: &Path) -> io::Result<String> {
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
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
