//! The images of this machine, unpacked, each once.
//!
//! ```text
//! STORE/sha256-<digest>/{rootfs,config.json}   one image, never changed once it is there
//! STORE/references/<name>                      which image a name means
//! STORE/lock                                   held while unpacking
//! ```
//!
//! A run has its own view of the store ([`Store::view`]), so that two runs may mean different images by one name and
//! share the unpacked ones.
//!
//! Invariant: a folder named `sha256-...` is complete, or it is found out and made again at the next load.

use crate::archive::{Archive, Config, ReadArchiveError};
use crate::{flatten, reference};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long an image is kept after it was last loaded: longer than any cluster is kept.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// A folder of unpacked images and of names for them.
#[derive(Clone, Debug)]
pub struct Store {
    contents: PathBuf,
    references: PathBuf,
}

/// An image that is ready to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `sha256:...` of its configuration.
    pub digest: String,
    /// Its files. Many containers share them: never write here.
    pub rootfs: PathBuf,
    /// The command that always runs.
    pub entrypoint: Vec<String>,
    /// The default arguments.
    pub cmd: Vec<String>,
    /// Environment variables in their order.
    pub env: Vec<(String, String)>,
    /// The folder it starts in; never empty.
    pub working_dir: String,
    /// `user`, `uid` or `uid:gid`; empty means root.
    pub user: String,
}

/// The store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The image archive is not usable.
    #[error("load an image")]
    Archive(#[from] ReadArchiveError),
    /// A file of the store cannot be read or written.
    #[error("use `{}` in the image store", path.display())]
    Store {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No image has this name.
    #[error("there is no image `{reference}` on this node")]
    Unknown {
        /// The name that was asked for, in the store's form.
        reference: String,
    },
}

/// What is written beside an unpacked image.
#[derive(Debug, Deserialize, Serialize)]
struct Record {
    digest: String,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    env: Vec<(String, String)>,
    working_dir: String,
    user: String,
    extent: Extent,
}

/// How much was unpacked: tells a damaged folder from a whole one without reading it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
struct Extent {
    entries: u64,
    bytes: u64,
}

impl Store {
    /// Opens a store, or a [view](Self::view) of one, and makes the folder where it does not exist.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let contents = match fs::read_link(folder.join("contents")) {
            Ok(target) => target,
            Err(_) => folder.to_owned(),
        };
        let store = Self {
            contents,
            references: folder.join("references"),
        };
        for needed in [&store.contents, &store.references] {
            fs::create_dir_all(needed).map_err(at(needed))?;
        }
        Ok(store)
    }

    /// Makes a folder that shares this store's images but has names of its own. [`Store::open`] opens it.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made or already is a view.
    pub fn view(&self, folder: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let contents = fs::canonicalize(&self.contents).map_err(at(&self.contents))?;
        let link = folder.join("contents");
        std::os::unix::fs::symlink(contents, &link).map_err(at(&link))?;
        Self::open(folder)
    }

    /// Unpacks an archive where that has not been done, gives the image the names the archive says, and returns its
    /// digest. Loading the same image again costs next to nothing.
    ///
    /// # Errors
    ///
    /// When the archive is not usable or the store cannot be written.
    pub fn load(&self, archive: &Path) -> Result<String, StoreError> {
        let mut archive = Archive::open(archive)?;
        self.unpack(&mut archive)?;
        for name in &archive.references {
            self.name(name, &archive.digest)?;
        }
        Ok(archive.digest)
    }

    /// Like [`load`](Self::load), but the image gets this name and no other.
    ///
    /// # Errors
    ///
    /// As for `load`.
    pub fn load_as(&self, archive: &Path, name: &str) -> Result<String, StoreError> {
        let mut archive = Archive::open(archive)?;
        self.unpack(&mut archive)?;
        self.name(name, &archive.digest)?;
        Ok(archive.digest)
    }

    /// The image that a name means.
    ///
    /// # Errors
    ///
    /// When there is none, or what is there cannot be read.
    pub fn resolve(&self, name: &str) -> Result<Image, StoreError> {
        let normalized = reference::normalize(name);
        let path = self.reference_path(&normalized);
        let digest = match fs::read_to_string(&path) {
            Ok(digest) => digest,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Unknown {
                    reference: normalized,
                });
            }
            Err(error) => return Err(at(&path)(error)),
        };
        let folder = self.image_folder(&digest);
        let record = read_record(&folder)?;
        Ok(Image {
            digest,
            rootfs: folder.join("rootfs"),
            entrypoint: record.entrypoint,
            cmd: record.cmd,
            env: record.env,
            working_dir: match record.working_dir.as_str() {
                "" => "/".to_owned(),
                stated => stated.to_owned(),
            },
            user: record.user,
        })
    }

    fn unpack(&self, archive: &mut Archive) -> Result<(), StoreError> {
        let folder = self.image_folder(&archive.digest);
        if is_whole(&folder) {
            // Tells the sweep that it is in use; a store that cannot be written stays usable.
            let _ = File::open(folder.join("config.json"))
                .and_then(|record| record.set_modified(SystemTime::now()));
            return Ok(());
        }
        let lock_path = self.contents.join("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        lock.lock().map_err(at(&lock_path))?;
        // Whoever held the lock before may have done the work; whoever died holding it left its pieces.
        if is_whole(&folder) {
            return Ok(());
        }
        self.sweep()?;
        if folder.exists() {
            tracing::warn!(
                image = archive.digest,
                "unpacked image is damaged; unpacking it again"
            );
            let aside = self.contents.join(".damaged");
            fs::rename(&folder, &aside).map_err(at(&folder))?;
            flatten::remove(&aside).map_err(at(&aside))?;
        }
        let temporary = tempfile::Builder::new()
            .prefix(".unpacking-")
            .tempdir_in(&self.contents)
            .map_err(at(&self.contents))?;
        let rootfs = temporary.path().join("rootfs");
        fs::create_dir(&rootfs).map_err(at(&rootfs))?;
        for number in 0..archive.layer_count() {
            archive.read_layer(number, |layer| flatten::apply_layer(&rootfs, layer))?;
        }
        write_record(temporary.path(), archive)?;
        // The temporary folder is private; the image is read by every node.
        make_public(temporary.path()).map_err(at(temporary.path()))?;
        make_public(&rootfs).map_err(at(&rootfs))?;
        fs::rename(temporary.path(), &folder).map_err(at(&folder))?;
        let _ = temporary.keep();
        Ok(())
    }

    /// Removes what processes that were killed while unpacking left behind, and images that nobody has loaded for a
    /// long time. The caller holds the lock.
    fn sweep(&self) -> Result<(), StoreError> {
        for entry in fs::read_dir(&self.contents).map_err(at(&self.contents))? {
            let path = entry.map_err(at(&self.contents))?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let is_rubbish = name.starts_with(".unpacking-") || name == ".damaged";
            if is_rubbish || name.starts_with("sha256-") && is_unused(&path) {
                flatten::remove(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }

    fn name(&self, name: &str, digest: &str) -> Result<(), StoreError> {
        let path = self.reference_path(&reference::normalize(name));
        let mut file =
            tempfile::NamedTempFile::new_in(&self.references).map_err(at(&self.references))?;
        file.write_all(digest.as_bytes()).map_err(at(&path))?;
        file.persist(&path)
            .map_err(|error| at(&path)(error.error))?;
        Ok(())
    }

    fn reference_path(&self, normalized: &str) -> PathBuf {
        // `%` first, so that no two names meet in one file.
        self.references
            .join(normalized.replace('%', "%25").replace('/', "%2F"))
    }

    fn image_folder(&self, digest: &str) -> PathBuf {
        self.contents.join(digest.replace([':', '/'], "-"))
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Store {
        path: path.clone(),
        source,
    }
}

/// Nobody loaded the image within [`KEPT`]. A clock that was set back makes images look newer, never older.
fn is_unused(folder: &Path) -> bool {
    fs::metadata(folder.join("config.json"))
        .and_then(|record| record.modified())
        .is_ok_and(|used| used.elapsed().is_ok_and(|age| age > KEPT))
}

fn is_whole(folder: &Path) -> bool {
    read_record(folder).is_ok_and(|record| {
        measure(&folder.join("rootfs")).is_ok_and(|extent| extent == record.extent)
    })
}

fn read_record(folder: &Path) -> Result<Record, StoreError> {
    let path = folder.join("config.json");
    let file = File::open(&path).map_err(at(&path))?;
    serde_json::from_reader(BufReader::new(file)).map_err(|error| at(&path)(error.into()))
}

fn write_record(folder: &Path, archive: &Archive) -> Result<(), StoreError> {
    let Config {
        entrypoint,
        cmd,
        env,
        working_dir,
        user,
    } = archive.config.clone();
    let rootfs = folder.join("rootfs");
    let record = Record {
        digest: archive.digest.clone(),
        entrypoint,
        cmd,
        env,
        working_dir,
        user,
        extent: measure(&rootfs).map_err(at(&rootfs))?,
    };
    let path = folder.join("config.json");
    let file = File::create(&path).map_err(at(&path))?;
    let mut writer = BufWriter::new(file);
    serde_json::to_writer(&mut writer, &record).map_err(|error| at(&path)(error.into()))?;
    writer.flush().map_err(at(&path))
}

fn measure(folder: &Path) -> io::Result<Extent> {
    let mut extent = Extent::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        extent.entries += 1;
        if metadata.is_dir() {
            let below = measure(&entry.path())?;
            extent.entries += below.entries;
            extent.bytes += below.bytes;
        } else {
            extent.bytes += metadata.size();
        }
    }
    Ok(extent)
}

fn make_public(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}
