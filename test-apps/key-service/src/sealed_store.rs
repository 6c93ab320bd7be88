//! Keys, sealed as one piece, in whatever place keeps the piece ([`Keep`]).
//!
//! Invariant: what is kept is always whole, and a version that anybody was told of is in it. What cannot be opened is never
//! replaced. Where others write to the same place, what they have kept is read before anything is made, and before a list is
//! told as far as it can be. That somebody put back what the same key has sealed earlier is not noticed at a start.

use crate::behaviour::Behaviour;
use crate::keep::{Keep, KeepError};
use crate::sealing::{MasterKey, OpenError, SealError};
use crate::store::{KeyName, KeyStore, KeyStoreError, KeyVersion, Step, p256_public_key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

/// So often somebody else may have written first. Each of them has made a key, so more is no coincidence.
const TRIES: u32 = 8;

/// Keys that are kept sealed.
pub struct SealedStore<K> {
    keep: K,
    master: MasterKey,
    behaviour: Arc<dyn Behaviour>,
    random: SystemRandom,
    keys: Mutex<Keys>,
    /// Held by who makes a version, from reading what is kept until the version is. Whoever signs or lists does not wait for that.
    changes: Mutex<()>,
}

/// All versions of each key, the first at 0.
type Keys = BTreeMap<KeyName, Vec<Arc<Entry>>>;

struct Entry {
    /// PKCS #8 (RFC 5208), DER.
    private: Vec<u8>,
    pair: EcdsaKeyPair,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Content {
    /// PKCS #8 in base 64, by name, the first version first.
    keys: BTreeMap<String, Vec<String>>,
}

/// There is a place for keys, but what is in it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// The place cannot be used.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// The seal does not open.
    #[error("use the keys in {place}")]
    Sealed {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The seal opened, but what was in it is nothing that this program has written.
    #[error("understand the keys in {0}")]
    Content(String),
    /// The first piece cannot be kept.
    #[error("keep the first keys")]
    Write(#[source] WriteError),
}

/// The keys could not be kept; those that were kept still are.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No seal.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No place.
    #[error(transparent)]
    Keep(#[from] KeepError),
}

impl<K: Keep> SealedStore<K> {
    /// Opens what is kept; where there is nothing yet, keeps a store without keys.
    ///
    /// # Errors
    ///
    /// When the place cannot be used, or what is there cannot be opened with this key.
    pub fn open(
        keep: K,
        master: MasterKey,
        behaviour: Arc<dyn Behaviour>,
    ) -> Result<Self, OpenStoreError> {
        let store = Self {
            keep,
            master,
            behaviour,
            random: SystemRandom::new(),
            keys: Mutex::default(),
            changes: Mutex::default(),
        };
        let takes = |_: &Keys| store.behaviour.takes_what_is_kept();
        let kept = store.kept()?.filter(takes);
        let is_new = kept.is_none();
        *store.keys() = kept.unwrap_or_default();
        // Better known now than with the first key. Who was faster has kept the same.
        if is_new {
            match store.write(&Keys::new()) {
                Err(WriteError::Keep(KeepError::Outdated(_))) => store.catch_up()?,
                written => written.map_err(OpenStoreError::Write)?,
            }
        }
        Ok(store)
    }

    /// Makes the version that `step` says, again as long as somebody else is faster. What others have kept counts, so nothing is
    /// made, and nothing called the newest, where that cannot be read.
    fn change(
        &self,
        name: &KeyName,
        step: impl Fn(Option<KeyVersion>) -> Result<Step, KeyStoreError>,
    ) -> Result<KeyVersion, KeyStoreError> {
        let _alone = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if self.keep.is_shared() {
            self.catch_up().map_err(unread)?;
        }
        let mut tries = 0;
        loop {
            let known = self.keys().clone();
            if let Step::Have(version) = step(newest(&known, name))? {
                return Ok(version);
            }
            tries += 1;
            match self.add(known, name) {
                Err(WriteError::Keep(KeepError::Outdated(_))) if tries < TRIES => {
                    self.catch_up().map_err(unread)?;
                }
                Ok(Some(made)) => return Ok(made),
                Ok(None) => return Err(KeyStoreError::Make("key")),
                Err(error) => return Err(kept(error)),
            }
        }
    }

    /// Makes one more version than those that are known, and keeps it before anybody is told.
    fn add(&self, known: Keys, name: &KeyName) -> Result<Option<KeyVersion>, WriteError> {
        let last = known.get(name).and_then(|versions| versions.last());
        let again = last.filter(|_| !self.behaviour.makes_new_keys()).cloned();
        let Some(entry) = again.or_else(|| self.make()) else {
            return Ok(None);
        };
        let mut more = known;
        more.entry(name.clone()).or_default().push(entry.clone());
        self.write(&more)?;
        self.behaviour.before_using(name, &entry.private);
        let made = newest(&more, name);
        // Somebody who has looked meanwhile may know of still more.
        take(&mut self.keys(), Some(more));
        Ok(made)
    }

    /// A new key; none where the generator fails.
    fn make(&self) -> Option<Arc<Entry>> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.random);
        let entry = Entry::read(made.ok()?.as_ref().to_vec())?;
        Some(Arc::new(entry))
    }

    /// What is kept now; none where nothing is.
    fn kept(&self) -> Result<Option<Keys>, OpenStoreError> {
        self.opened(self.keep.load()?)
    }

    /// What is in the piece that is kept.
    fn opened(&self, sealed: Option<Vec<u8>>) -> Result<Option<Keys>, OpenStoreError> {
        let place = || self.keep.place();
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let content = match self.master.open(&sealed) {
            Err(OpenError::Form) if !self.behaviour.seals() => sealed,
            opened => opened.map_err(|source| OpenStoreError::Sealed {
                place: place(),
                source,
            })?,
        };
        let keys = read(&content).ok_or_else(|| OpenStoreError::Content(place()))?;
        for (name, versions) in &keys {
            for entry in versions {
                self.behaviour.before_using(name, &entry.private);
            }
        }
        Ok(Some(keys))
    }

    /// Takes what somebody else has kept, for who makes a version and is alone with that: what is written next replaces it.
    fn catch_up(&self) -> Result<(), OpenStoreError> {
        let kept = self.kept()?;
        take(&mut self.keys(), kept);
        Ok(())
    }

    /// The same for who makes none. Nobody waits meanwhile, so what was read may be older than what is known by now.
    fn look_at_others(&self) -> Result<(), OpenStoreError> {
        let kept = self.opened(self.keep.look()?)?;
        take(&mut self.keys(), kept);
        Ok(())
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
        let content = serde_json::json!(content).to_string().into_bytes();
        let kept = if self.behaviour.seals() {
            self.master.seal(&content)?
        } else {
            content
        };
        Ok(self.keep.save(&kept)?)
    }

    fn entry(
        &self,
        keys: &Keys,
        name: &KeyName,
        version: u32,
    ) -> Result<Arc<Entry>, KeyStoreError> {
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
        })
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kept(error: impl std::error::Error + Send + Sync + 'static) -> KeyStoreError {
    KeyStoreError::Keep(Box::new(error))
}

fn unread(error: impl std::error::Error + Send + Sync + 'static) -> KeyStoreError {
    KeyStoreError::Read(Box::new(error))
}

/// Takes what is kept in the place of what is known, unless all of it is known: versions only become more, and that some of them
/// are gone is no reason to forget them.
fn take(keys: &mut Keys, kept: Option<Keys>) {
    if let Some(kept) = kept.filter(|kept| !are_among(kept, keys)) {
        *keys = kept;
    }
}

/// Whether every version of the first is one of the others.
fn are_among(some: &Keys, all: &Keys) -> bool {
    some.iter().all(|(name, versions)| {
        let known = all.get(name).map(Vec::as_slice).unwrap_or_default();
        let mut pairs = versions.iter().zip(known);
        versions.len() <= known.len() && pairs.all(|(one, other)| one.point() == other.point())
    })
}

impl<K: Keep> KeyStore for SealedStore<K> {
    fn create(&self, name: &KeyName) -> Result<KeyVersion, KeyStoreError> {
        self.change(name, |newest| Ok(Step::of_creation(newest)))
    }

    fn rotate(&self, name: &KeyName, after: u32) -> Result<KeyVersion, KeyStoreError> {
        self.change(name, |newest| Step::of_rotation(newest, name, after))
    }

    fn list(&self) -> Result<Vec<KeyVersion>, KeyStoreError> {
        // What is known will do where nobody can say what is kept: with that everything can be signed that was before.
        if self.keep.is_shared()
            && let Err(error) = self.look_at_others()
        {
            warn!(
                error = &error as &dyn std::error::Error,
                "a list of keys may lack what others have made"
            );
        }
        let keys = self.keys();
        let all = keys.iter().flat_map(|(name, versions)| {
            (1..)
                .zip(versions)
                .map(|(version, entry)| entry.told(name, version))
        });
        Ok(all.collect())
    }

    fn sign(&self, name: &KeyName, version: u32, message: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        let known = self.entry(&self.keys(), name, version);
        let entry = match known {
            // Another instance may have made it.
            Err(_) if self.keep.is_shared() => {
                self.look_at_others().map_err(unread)?;
                self.entry(&self.keys(), name, version)?
            }
            known => known?,
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

    /// The point that is its public key.
    fn point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn told(&self, name: &KeyName, version: u32) -> KeyVersion {
        KeyVersion {
            name: name.clone(),
            version,
            public_key: p256_public_key(self.point()),
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

#[cfg(test)]
mod tests;
