//! Keys on a token behind PKCS #11 (v2.40), such as a hardware security module or SoftHSM.
//!
//! A version of a key is a key pair that was made on the token, labelled `meshproof/NAME/VERSION` and told from others
//! by a random `CKA_ID`. The token is all that there is: nothing else is kept. What is asked of it goes through a
//! helper program ([`tool`]).
//!
//! Invariant: no two key services on one token answer two keys for one version. Those that share a lock file make keys
//! one after the other, and the later one finds the pair of the earlier one. Where they share none, a version that
//! several pairs claim is refused: pairs are never deleted, and each service lists all of them after it has made one
//! and before it tells of it, so at most one pair was ever alone when somebody looked.
//!
//! A pair counts only after a signature by its private half was verified with its public half, and only if the token
//! says that the private half can never leave it. Each signature is verified before it is answered.

mod error;
mod lock;
mod objects;
mod tool;

pub use error::TokenError;

use crate::store::{
    KeyName, KeyStore, KeyStoreError, KeyVersion, Step, p256_point, p256_public_key,
};
use objects::{Claim, Claims, label, to_hex};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tool::{Purpose, Tool, Turn};

/// Bytes of a `CKA_ID`.
const ID: usize = 16;

/// Which token, and how it is asked.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// `PKCS11_MODULE`: the library of the token's maker.
    pub module: PathBuf,
    /// `PKCS11_TOKEN`: the token's label.
    pub token: String,
    /// `PKCS11_PIN_FILE`: one line, the PIN of the token's user.
    pub pin_file: PathBuf,
    /// `PKCS11_TOOL` (`pkcs11-tool`): OpenSC's program of this name, or one with the same options.
    pub tool: PathBuf,
    /// `PKCS11_LOCK_FILE` (`/var/lib/mesh/key-service/token.lock`): who holds it makes keys, or uses the token at all.
    /// Key services on one token should share it.
    pub lock_file: PathBuf,
    /// `PKCS11_AT_ONCE` (`1`): how many processes of this key service may use the token at once. Where it is 1, the lock
    /// file is held for everything: SoftHSM writes at each login, and another process that reads meanwhile may not find
    /// the token.
    pub at_once: NonZeroUsize,
    /// `PKCS11_TIMEOUT` (`10s`): how long the token may take for one thing, and how long one is waited for before.
    pub limit: Duration,
    /// Variables for the helper program beside those of this process, which it has anyway.
    pub variables: Vec<(String, String)>,
}

/// Keys on a token.
pub struct TokenStore {
    tool: Tool,
    runtime: Handle,
    /// As it was read last.
    known: Mutex<Keys>,
    /// Held by who reads.
    reading: tokio::sync::Mutex<()>,
}

/// All versions of each key, the first at 0.
type Keys = BTreeMap<KeyName, Vec<Arc<Pair>>>;

/// What it means that only half of a pair is on the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unfinished {
    /// Somebody may be at it, so the version is not there yet.
    IsBeingMade,
    /// Who holds the lock knows that nobody is: it will never be whole.
    IsLeft,
}

/// A key pair on the token.
#[derive(Debug, PartialEq, Eq)]
struct Pair {
    /// `CKA_ID`.
    id: String,
    /// SubjectPublicKeyInfo, DER.
    public_key: Vec<u8>,
}

impl TokenStore {
    /// Logs into the token and reads which keys are there; must be called where blocking harms nobody, as all methods.
    ///
    /// # Errors
    ///
    /// When the token cannot be used, or keys on it cannot.
    pub fn open(settings: &TokenSettings, runtime: Handle) -> Result<Self, TokenError> {
        let store = Self {
            tool: runtime.block_on(Tool::new(settings.clone()))?,
            runtime,
            known: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        };
        store.runtime.block_on(store.read_in_turn())?;
        Ok(store)
    }

    async fn read_in_turn(&self) -> Result<Keys, TokenError> {
        let turn = self.tool.turn(Purpose::Use).await?;
        self.read(&turn, Unfinished::IsBeingMade).await
    }

    /// Reads which keys are on the token now. That one is gone that was there is no reason to go on without it.
    async fn read(&self, turn: &Turn<'_>, unfinished: Unfinished) -> Result<Keys, TokenError> {
        let limit = self.tool.settings().limit;
        // One after the other, so that what was read later is known later.
        let Ok(_reading) = timeout(limit, self.reading.lock()).await else {
            return Err(TokenError::Busy { limit });
        };
        let known = self.known().clone();
        let claims = self.tool.claims(turn).await?;
        let keys = self.proven(turn, claims, &known, unfinished).await?;
        for (name, version, pair) in each(&known) {
            if get(&keys, name, version) != Some(pair) {
                let name = name.clone();
                return Err(TokenError::Lost { name, version });
            }
        }
        *self.known() = keys.clone();
        Ok(keys)
    }

    /// The pairs that claim to be our keys, if each version is claimed by one good pair.
    async fn proven(
        &self,
        turn: &Turn<'_>,
        claims: Claims,
        known: &Keys,
        unfinished: Unfinished,
    ) -> Result<Keys, TokenError> {
        let mut keys = Keys::new();
        for ((name, version), mut halves) in claims {
            if halves.len() > 1 {
                let ids = halves.into_keys().collect();
                return Err(TokenError::Claimed { name, version, ids });
            }
            let Some((id, claim)) = halves.pop_first() else {
                continue;
            };
            if unfinished == Unfinished::IsBeingMade && claim.is_half() {
                continue;
            }
            let versions = keys.entry(name.clone()).or_default();
            let missing = count(versions).saturating_add(1);
            if missing != version {
                let newest = version;
                return Err(TokenError::Gap {
                    name,
                    missing,
                    newest,
                });
            }
            let pair = pair(&name, version, id, claim)?;
            let is_known = get(known, &name, version).is_some_and(|known| **known == pair);
            if !is_known {
                self.prove(turn, &pair, &name, version).await?;
            }
            versions.push(Arc::new(pair));
        }
        Ok(keys)
    }

    /// Has something signed that nobody could have signed before.
    async fn prove(
        &self,
        turn: &Turn<'_>,
        pair: &Pair,
        name: &KeyName,
        version: u32,
    ) -> Result<(), TokenError> {
        let mut message = [0; 32];
        let filled = SystemRandom::new().fill(&mut message);
        filled.map_err(|_| TokenError::Random)?;
        self.signature(turn, pair, name, version, &message)
            .await
            .map(drop)
    }

    async fn signature(
        &self,
        turn: &Turn<'_>,
        pair: &Pair,
        name: &KeyName,
        version: u32,
        message: &[u8],
    ) -> Result<Vec<u8>, TokenError> {
        let hash = digest(&SHA256, message);
        let signature = self.tool.sign(turn, &pair.id, hash.as_ref()).await?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, p256_point(&pair.public_key))
            .verify(message, &signature)
            .map_err(|_| TokenError::Unfit {
                name: name.clone(),
                version,
                id: pair.id.clone(),
                why: "what it signs does not verify with its public key",
            })?;
        Ok(signature)
    }

    /// Makes the version that `step` says, unless somebody else is faster.
    fn change(
        &self,
        name: &KeyName,
        step: impl Fn(Option<KeyVersion>) -> Result<Step, KeyStoreError>,
    ) -> Result<KeyVersion, KeyStoreError> {
        self.runtime.block_on(async {
            let keys = self.read_in_turn().await?;
            if let Step::Have(version) = step(newest(&keys, name))? {
                return Ok(version);
            }
            let turn = self.tool.turn(Purpose::Make).await?;
            // Who had the lock before may have made it.
            let keys = self.read(&turn, Unfinished::IsLeft).await?;
            let version = match step(newest(&keys, name))? {
                Step::Have(version) => return Ok(version),
                Step::Make(version) => version,
            };
            let mut id = [0; ID];
            let filled = SystemRandom::new().fill(&mut id);
            filled.map_err(|_| TokenError::Random)?;
            let id = to_hex(&id);
            self.tool
                .generate(&turn, &label(name, version), &id)
                .await?;
            let keys = self.read(&turn, Unfinished::IsLeft).await?;
            drop(turn);
            let made = get(&keys, name, version).ok_or_else(|| TokenError::Lost {
                name: name.clone(),
                version,
            })?;
            Ok(told(made, name, version))
        })
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Keys> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for TokenStore {
    fn create(&self, name: &KeyName) -> Result<KeyVersion, KeyStoreError> {
        self.change(name, |newest| Ok(Step::of_creation(newest)))
    }

    fn rotate(&self, name: &KeyName, after: u32) -> Result<KeyVersion, KeyStoreError> {
        self.change(name, |newest| Step::of_rotation(newest, name, after))
    }

    fn list(&self) -> Result<Vec<KeyVersion>, KeyStoreError> {
        let keys = self.runtime.block_on(self.read_in_turn())?;
        let all = each(&keys).map(|(name, version, pair)| told(pair, name, version));
        Ok(all.collect())
    }

    fn sign(&self, name: &KeyName, version: u32, message: &[u8]) -> Result<Vec<u8>, KeyStoreError> {
        let known = get(&self.known(), name, version).cloned();
        self.runtime.block_on(async {
            let pair = match known {
                Some(pair) => pair,
                // Another key service may have made it.
                None => {
                    let keys = self.read_in_turn().await?;
                    let pair = get(&keys, name, version).cloned();
                    pair.ok_or_else(|| missing(&keys, name, version))?
                }
            };
            let turn = self.tool.turn(Purpose::Use).await?;
            Ok(self.signature(&turn, &pair, name, version, message).await?)
        })
    }
}

impl From<TokenError> for KeyStoreError {
    fn from(error: TokenError) -> Self {
        Self::Token(Box::new(error))
    }
}

/// The pair that both halves make, if it is one that we would have made.
fn pair(name: &KeyName, version: u32, id: String, claim: Claim) -> Result<Pair, TokenError> {
    let unfit = |id, why| TokenError::Unfit {
        name: name.clone(),
        version,
        id,
        why,
    };
    match claim {
        Claim {
            private_stays: Some(true),
            public: Some(Some(point)),
        } => Ok(Pair {
            id,
            public_key: p256_public_key(&point),
        }),
        claim if claim.is_half() => Err(TokenError::Half {
            name: name.clone(),
            version,
            id,
        }),
        Claim {
            private_stays: Some(false),
            ..
        } => Err(unfit(
            id,
            "the token does not say that it is sensitive and was never extractable",
        )),
        _ => Err(unfit(id, "it is no key on P-256")),
    }
}

fn told(pair: &Pair, name: &KeyName, version: u32) -> KeyVersion {
    KeyVersion {
        name: name.clone(),
        version,
        public_key: pair.public_key.clone(),
    }
}

fn each(keys: &Keys) -> impl Iterator<Item = (&KeyName, u32, &Arc<Pair>)> {
    keys.iter().flat_map(|(name, versions)| {
        let versions = (1..).zip(versions);
        versions.map(move |(version, pair)| (name, version, pair))
    })
}

fn get<'a>(keys: &'a Keys, name: &KeyName, version: u32) -> Option<&'a Arc<Pair>> {
    let place = (version as usize).checked_sub(1)?;
    keys.get(name)?.get(place)
}

fn newest(keys: &Keys, name: &KeyName) -> Option<KeyVersion> {
    let versions = keys.get(name)?;
    Some(told(versions.last()?, name, count(versions)))
}

fn missing(keys: &Keys, name: &KeyName, version: u32) -> KeyStoreError {
    let name = name.clone();
    match keys.get(&name) {
        None => KeyStoreError::NoKey(name),
        Some(versions) => KeyStoreError::NoVersion {
            name,
            version,
            newest: count(versions),
        },
    }
}

fn count(versions: &[Arc<Pair>]) -> u32 {
    u32::try_from(versions.len()).unwrap_or(u32::MAX)
}
