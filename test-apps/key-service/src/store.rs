//! What a back end for keys must be able to do.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The most bytes of a name, that of a DNS label (RFC 1035, 2.3.4).
const NAME_LIMIT: usize = 63;

/// SubjectPublicKeyInfo of a key on P-256 up to its point (RFC 5480, 2).
const P256_HEADER: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// What keeps keys and uses them: a sealed store, or a token behind PKCS #11.
///
/// All keys are ECDSA on P-256 and sign with SHA-256. Methods may block, on a disk or on a device, and are therefore
/// called where that harms nobody. Whoever answers with a version has it safe already: it is there after a crash.
pub trait KeyStore: Send + Sync + 'static {
    /// Makes the first version of a key; when there is one, answers the newest and makes nothing.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or the key cannot be made or kept.
    fn create(&self, name: &KeyName) -> Result<KeyVersion, KeyStoreError>;

    /// Makes the next version of a key, if the newest one is `after`; when there is a newer one, answers that.
    ///
    /// # Errors
    ///
    /// When there is no such key or no version `after`, when the store cannot be read, or when the key cannot be made or kept.
    fn rotate(&self, name: &KeyName, after: u32) -> Result<KeyVersion, KeyStoreError>;

    /// All versions of all keys, by name and version. Where others make keys, too, and nobody can say which, those that are known.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    fn list(&self) -> Result<Vec<KeyVersion>, KeyStoreError>;

    /// Signs a message: ECDSA in ASN.1 (RFC 3279, 2.2.3).
    ///
    /// # Errors
    ///
    /// When there is no such version, or signing fails.
    fn sign(&self, name: &KeyName, version: u32, message: &[u8]) -> Result<Vec<u8>, KeyStoreError>;
}

/// One version of a key, as everybody may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyVersion {
    /// Which key.
    pub name: KeyName,
    /// Counts the versions, first = 1.
    pub version: u32,
    /// SubjectPublicKeyInfo, DER (RFC 5280, 4.1.2.7).
    pub public_key: Vec<u8>,
}

/// The name of a key: lower-case letters, digits and `-`, 1 to 63 of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// A text is no name of a key. The text is not repeated: it may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key's name is 1 to {NAME_LIMIT} lower-case letters, digits and `-`")]
pub struct ParseKeyNameError;

impl FromStr for KeyName {
    type Err = ParseKeyNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=NAME_LIMIT).contains(&text.len()) && text.bytes().all(is_letter) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseKeyNameError)
        }
    }
}

impl KeyName {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// There is no key of that name.
    #[error("find key `{0}`: there is none")]
    NoKey(KeyName),
    /// The key has no such version.
    #[error("find version {version} of key `{name}`: the newest is {newest}")]
    NoVersion {
        /// Which key.
        name: KeyName,
        /// The version that was asked for.
        version: u32,
        /// The newest that there is.
        newest: u32,
    },
    /// The generator of keys or signatures failed.
    #[error("make a {0}")]
    Make(&'static str),
    /// What was made cannot be kept.
    #[error("keep the keys")]
    Keep(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is kept cannot be read, and somebody else may have changed it.
    #[error("read the keys that are kept")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The token does not do it, or what is on it cannot be used.
    #[error("use the token")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What is to be done so that a version is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: this one is there.
    Have(KeyVersion),
    /// Making this version.
    Make(u32),
}

impl Step {
    /// For [`KeyStore::create`], when this is the newest version.
    pub(crate) fn of_creation(newest: Option<KeyVersion>) -> Self {
        newest.map_or(Self::Make(1), Self::Have)
    }

    /// For [`KeyStore::rotate`], when this is the newest version.
    pub(crate) fn of_rotation(
        newest: Option<KeyVersion>,
        name: &KeyName,
        after: u32,
    ) -> Result<Self, KeyStoreError> {
        let newest = newest.ok_or_else(|| KeyStoreError::NoKey(name.clone()))?;
        match newest.version.cmp(&after) {
            Ordering::Greater => Ok(Self::Have(newest)),
            Ordering::Equal => Ok(Self::Make(after.saturating_add(1))),
            Ordering::Less => Err(KeyStoreError::NoVersion {
                name: name.clone(),
                version: after,
                newest: newest.version,
            }),
        }
    }
}

/// SubjectPublicKeyInfo, DER, of a point of P-256, which is uncompressed (SEC 1, 2.3.3).
pub(crate) fn p256_public_key(point: &[u8]) -> Vec<u8> {
    [&P256_HEADER, point].concat()
}

/// The point in what [`p256_public_key`] made.
pub(crate) fn p256_point(public_key: &[u8]) -> &[u8] {
    public_key.strip_prefix(&P256_HEADER).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels() {
        for good in ["root", "a-1", &"a".repeat(63)] {
            assert!(good.parse::<KeyName>().is_ok(), "{good}");
        }
        for bad in ["", "Root", "a_b", "a/b", "ä", "a\n", &"a".repeat(64)] {
            assert!(bad.parse::<KeyName>().is_err(), "{bad}");
        }
    }
}
