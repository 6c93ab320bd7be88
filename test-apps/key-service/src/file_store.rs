//! Keys in one sealed file.
//!
//! Invariant: the file on the disk is always a whole one, and a version that anybody was told of is in it. A file that
//! cannot be opened is never replaced. That somebody put an older file of the same key back is not noticed.

use crate::sealing::{MasterKey, OpenError, SealError};
use crate::store::{KeyName, KeyStore, KeyStoreError, KeyVersion};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The file.
const FILE: &str = "keys.sealed";
/// What is being written and is not the file yet.
const TEMPORARY: &str = "keys.sealed.new";
/// Held as long as the store is open.
const LOCK: &str = "lock";

/// SubjectPublicKeyInfo of a key on P-256 up to its point (RFC 5480, 2).
const P256_HEADER: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Keys in a folder of a disk.
pub struct FileStore {
    folder: PathBuf,
    master: MasterKey,
    random: SystemRandom,
    keys: Mutex<Keys>,
    _lock: File,
}

/// All versions of each key, the first at 0.
type Keys = BTreeMap<KeyName, Vec<Arc<Entry>>>;

struct Entry {
    /// PKCS #8 (RFC 5208), DER.
    private: Vec<u8>,
    pair: EcdsaKeyPair,
}

/// The content of the file, before it is sealed.
#[derive(Serialize, Deserialize)]
struct Content {
    /// PKCS #8 in base 64, by name, the first version first.
    keys: BTreeMap<String, Vec<String>>,
}

/// There is a folder, but its keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// The folder or a file in it cannot be used.
    #[error("use {path}")]
    Use {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Two who write would lose each other's keys.
    #[error("lock {0}: another key service uses it")]
    Locked(PathBuf),
    /// The seal does not open.
    #[error("use the keys in {path}")]
    Sealed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The seal opened, but what was in it is nothing that this program has written.
    #[error("understand the keys in {0}")]
    Content(PathBuf),
    /// The first file cannot be written.
    #[error("write the first file of keys")]
    Write(#[source] WriteError),
}

/// The file could not be written; the one that was there still is.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No seal.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No file.
    #[error("write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl FileStore {
    /// Opens the store of a folder; both are made if they are not there.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used, another process uses it, or there is a file that cannot be opened with this key.
    pub fn open(folder: &Path, master: MasterKey) -> Result<Self, OpenStoreError> {
        let unusable = |path: &Path| {
            let path = path.to_owned();
            |source| OpenStoreError::Use { path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(unusable(folder))?;
        let lock_path = folder.join(LOCK);
        let lock = private_file()
            .open(&lock_path)
            .map_err(unusable(&lock_path))?;
        lock.try_lock()
            .map_err(|_| OpenStoreError::Locked(lock_path))?;
        let path = folder.join(FILE);
        let keys = match std::fs::read(&path) {
            Ok(file) => {
                let content = master
                    .open(&file)
                    .map_err(|source| OpenStoreError::Sealed {
                        path: path.clone(),
                        source,
                    })?;
                Some(read(&content).ok_or(OpenStoreError::Content(path))?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(&path)(error)),
        };
        let is_new = keys.is_none();
        let store = Self {
            folder: folder.to_owned(),
            master,
            random: SystemRandom::new(),
            keys: Mutex::new(keys.unwrap_or_default()),
            _lock: lock,
        };
        if is_new {
            // Better known now than with the first key.
            store.write(&Keys::new()).map_err(OpenStoreError::Write)?;
        }
        Ok(store)
    }

    /// Makes one more version and keeps it before anybody is told.
    fn add(&self, keys: &mut Keys, name: &KeyName) -> Result<KeyVersion, KeyStoreError> {
        let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.random)
            .map_err(|_| KeyStoreError::Make("key"))?
            .as_ref()
            .to_vec();
        let entry = Entry::read(private).ok_or(KeyStoreError::Make("key"))?;
        let mut more = keys.clone();
        more.entry(name.clone()).or_default().push(Arc::new(entry));
        self.write(&more)
            .map_err(|error| KeyStoreError::Keep(Box::new(error)))?;
        *keys = more;
        newest(keys, name).ok_or(KeyStoreError::Make("key"))
    }

    fn write(&self, keys: &Keys) -> Result<(), WriteError> {
        let content = Content {
            keys: keys
                .iter()
                .map(|(name, versions)| {
                    let versions = versions.iter().map(|entry| STANDARD.encode(&entry.private));
                    (name.as_str().to_owned(), versions.collect())
                })
                .collect(),
        };
        let sealed = self
            .master
            .seal(serde_json::json!(content).to_string().as_bytes())?;
        let temporary = self.folder.join(TEMPORARY);
        let path = self.folder.join(FILE);
        let written = |path: &Path| {
            let path = path.to_owned();
            |source| WriteError::Write { path, source }
        };
        // What a crash left may have another mode.
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(written(&temporary)(error));
            }
            _ => {}
        }
        let mut file = private_file()
            .open(&temporary)
            .map_err(written(&temporary))?;
        file.write_all(&sealed)
            .and_then(|()| file.sync_all())
            .map_err(written(&temporary))?;
        std::fs::rename(&temporary, &path).map_err(written(&path))?;
        // The new name itself must reach the disk, too.
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(written(&self.folder))
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for FileStore {
    fn create(&self, name: &KeyName) -> Result<KeyVersion, KeyStoreError> {
        let mut keys = self.keys();
        match newest(&keys, name) {
            Some(newest) => Ok(newest),
            None => self.add(&mut keys, name),
        }
    }

    fn rotate(&self, name: &KeyName, after: u32) -> Result<KeyVersion, KeyStoreError> {
        let mut keys = self.keys();
        let newest = newest(&keys, name).ok_or_else(|| KeyStoreError::NoKey(name.clone()))?;
        match newest.version.cmp(&after) {
            std::cmp::Ordering::Greater => Ok(newest),
            std::cmp::Ordering::Equal => self.add(&mut keys, name),
            std::cmp::Ordering::Less => Err(KeyStoreError::NoVersion {
                name: name.clone(),
                version: after,
                newest: newest.version,
            }),
        }
    }

    fn list(&self) -> Result<Vec<KeyVersion>, KeyStoreError> {
        let keys = self.keys();
        let all = keys.iter().flat_map(|(name, versions)| {
            (1..)
                .zip(versions)
                .map(|(version, entry)| entry.told(name, version))
        });
        Ok(all.collect())
    }

    fn sign(&self, name: &KeyName, version: u32, message: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        let entry = {
            let keys = self.keys();
            let versions = keys
                .get(name)
                .ok_or_else(|| KeyStoreError::NoKey(name.clone()))?;
            let entry = (version as usize)
                .checked_sub(1)
                .and_then(|place| versions.get(place));
            entry.cloned().ok_or_else(|| KeyStoreError::NoVersion {
                name: name.clone(),
                version,
                newest: count(versions),
            })?
        };
        let signature = entry
            .pair
            .sign(&self.random, message)
            .map_err(|_| KeyStoreError::Make("signature"))?;
        Ok(signature.as_ref().to_vec())
    }
}

impl Entry {
    fn read(private: Vec<u8>) -> Option<Self> {
        let random = SystemRandom::new();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &private, &random).ok()?;
        Some(Self { private, pair })
    }

    fn told(&self, name: &KeyName, version: u32) -> KeyVersion {
        KeyVersion {
            name: name.clone(),
            version,
            public_key: [&P256_HEADER, self.pair.public_key().as_ref()].concat(),
        }
    }
}

fn newest(keys: &Keys, name: &KeyName) -> Option<KeyVersion> {
    let versions = keys.get(name)?;
    Some(versions.last()?.told(name, count(versions)))
}

fn count(versions: &[Arc<Entry>]) -> u32 {
    u32::try_from(versions.len()).unwrap_or(u32::MAX)
}

fn read(content: &[u8]) -> Option<Keys> {
    let content: Content = serde_json::from_slice(content).ok()?;
    let versions = |texts: Vec<String>| {
        let entry = |text: String| {
            let private = STANDARD.decode(text).ok()?;
            Entry::read(private).map(Arc::new)
        };
        texts.into_iter().map(entry).collect::<Option<Vec<_>>>()
    };
    let keys = content.keys.into_iter();
    keys.map(|(name, texts)| Some((name.parse().ok()?, versions(texts)?)))
        .collect()
}

/// For writing, readable for nobody else from the beginning.
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests;
