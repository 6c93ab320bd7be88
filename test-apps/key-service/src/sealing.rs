//! Sealing what is kept on a disk, with a key that is derived from a master key.
//!
//! The form, version 1: the line `meshproof-keys 1`, 32 bytes of salt, 12 bytes of nonce, then AES-256-GCM (NIST SP
//! 800-38D) of the content with its tag. The key is HKDF-SHA-256 (RFC 5869) of the master key with the salt; line and salt
//! are authenticated too. Salt and nonce are new each time, so that no pair of key and nonce is ever used twice.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::path::{Path, PathBuf};

/// What every sealed file begins with.
const FIRST_LINE: &[u8] = b"meshproof-keys 1\n";

/// Keys of other purposes from the same material differ by this.
const PURPOSE: &[u8] = b"meshproof key service, file of keys";

const SALT: usize = 32;

/// Fewer bytes are no key.
const MASTER_KEY_LEAST: usize = 32;

/// Seals and opens. Any material of at least 32 bytes that nobody can guess will do, a private key in PEM too.
pub struct MasterKey {
    material: Vec<u8>,
}

/// There is no master key.
#[derive(Debug, thiserror::Error)]
pub enum ReadMasterKeyError {
    /// The file cannot be read.
    #[error("read the master key from {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is too short.
    #[error(
        "use {path} as master key: it has {length} bytes instead of at least {MASTER_KEY_LEAST}"
    )]
    Short {
        /// Which file.
        path: PathBuf,
        /// How long it is.
        length: usize,
    },
}

/// What was sealed cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not ours, or of a version that is not known.
    #[error("recognize its form")]
    Form,
    /// Nobody can tell these apart.
    #[error("open its seal: the master key is another one, or the file was changed")]
    Seal,
}

/// The generator of random numbers failed, or the content is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seal the keys")]
pub struct SealError;

impl MasterKey {
    /// Reads it from a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is too short.
    pub fn read(path: &Path) -> Result<Self, ReadMasterKeyError> {
        let material = std::fs::read(path).map_err(|source| ReadMasterKeyError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::new(material).map_err(|length| ReadMasterKeyError::Short {
            path: path.to_owned(),
            length,
        })
    }

    /// Uses these bytes.
    ///
    /// # Errors
    ///
    /// How many they are, when they are fewer than 32.
    pub fn new(material: Vec<u8>) -> Result<Self, usize> {
        if material.len() < MASTER_KEY_LEAST {
            return Err(material.len());
        }
        Ok(Self { material })
    }

    /// Seals.
    ///
    /// # Errors
    ///
    /// When there are no random numbers.
    pub fn seal(&self, content: &[u8]) -> Result<Vec<u8>, SealError> {
        let random = SystemRandom::new();
        let mut salt = [0; SALT];
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut salt).map_err(|_| SealError)?;
        random.fill(&mut nonce).map_err(|_| SealError)?;
        let mut sealed = content.to_vec();
        self.key(&salt)
            .ok_or(SealError)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from([FIRST_LINE, &salt].concat()),
                &mut sealed,
            )
            .map_err(|_| SealError)?;
        Ok([FIRST_LINE, &salt, &nonce, &sealed].concat())
    }

    /// Opens what [`seal`](Self::seal) made.
    ///
    /// # Errors
    ///
    /// When it is something else, was changed, or was sealed with another key.
    pub fn open(&self, file: &[u8]) -> Result<Vec<u8>, OpenError> {
        let rest = file.strip_prefix(FIRST_LINE).ok_or(OpenError::Form)?;
        let (salt, rest) = rest.split_at_checked(SALT).ok_or(OpenError::Form)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(OpenError::Form)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Form)?;
        let mut sealed = sealed.to_vec();
        let content = self
            .key(salt)
            .ok_or(OpenError::Seal)?
            .open_in_place(nonce, Aad::from([FIRST_LINE, salt].concat()), &mut sealed)
            .map_err(|_| OpenError::Seal)?;
        Ok(content.to_vec())
    }

    fn key(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let extracted = Salt::new(HKDF_SHA256, salt).extract(&self.material);
        let derived = extracted.expand(&[PURPOSE], &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(derived)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> MasterKey {
        MasterKey::new(vec![byte; 32]).expect("long enough")
    }

    #[test]
    fn what_is_sealed_is_opened_by_the_same_key_only() {
        let sealed = key(1).seal(b"content").expect("sealed");
        assert_eq!(key(1).open(&sealed).expect("opened"), b"content");
        assert_eq!(key(2).open(&sealed), Err(OpenError::Seal));
        assert_ne!(
            sealed,
            key(1).seal(b"content").expect("sealed"),
            "salt and nonce are new each time"
        );
        assert!(!sealed.windows(7).any(|window| window == b"content"));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let sealed = key(1).seal(b"content").expect("sealed");
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(key(1).open(&changed).is_err(), "byte {place}");
        }
        for length in 0..sealed.len() {
            assert!(key(1).open(&sealed[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn short_keys_are_refused() {
        assert_eq!(MasterKey::new(vec![1; 31]).err(), Some(31));
        assert!(MasterKey::new(vec![1; 241]).is_ok());
    }
}
