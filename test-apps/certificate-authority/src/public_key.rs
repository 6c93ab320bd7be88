//! Public keys: which are accepted, and how they come into certificates.

use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm,
};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The least bits of an RSA key (NIST SP 800-57, part 1, 5.6.1: 112 bits of strength).
pub const RSA_LEAST: usize = 2048;

/// A public key that may be in a certificate: ECDSA on P-256, Ed25519, or RSA of at least [`RSA_LEAST`] bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: &'static SignatureAlgorithm,
    bits: Vec<u8>,
}

/// A key is none that may be in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadPublicKeyError {
    /// Not what RFC 5280, 4.1.2.7 has.
    #[error("understand the public key")]
    Malformed,
    /// Another algorithm or curve.
    #[error("use the public key: it is neither ECDSA on P-256 nor Ed25519 nor RSA")]
    Unsupported,
    /// Too short.
    #[error("use the public key: RSA has {0} bits instead of at least {RSA_LEAST}")]
    Weak(usize),
}

impl PublicKey {
    /// Reads SubjectPublicKeyInfo, DER.
    ///
    /// # Errors
    ///
    /// When it is malformed or of no accepted kind.
    pub fn read(der: &[u8]) -> Result<Self, ReadPublicKeyError> {
        match SubjectPublicKeyInfo::from_der(der) {
            Ok((&[], key)) => Self::of(&key),
            _ => Err(ReadPublicKeyError::Malformed),
        }
    }

    /// Takes a key that was read already.
    ///
    /// # Errors
    ///
    /// When it is of no accepted kind.
    pub fn of(key: &SubjectPublicKeyInfo<'_>) -> Result<Self, ReadPublicKeyError> {
        Self::of_at_least(key, RSA_LEAST)
    }

    /// Takes a key that was read already; one of RSA with so many bits at least, whatever others take.
    ///
    /// # Errors
    ///
    /// When it is of no accepted kind.
    pub fn of_at_least(
        key: &SubjectPublicKeyInfo<'_>,
        bits: usize,
    ) -> Result<Self, ReadPublicKeyError> {
        use x509_parser::public_key::PublicKey as Parsed;
        let algorithm = &key.algorithm.algorithm;
        let curve = || key.algorithm.parameters.as_ref()?.as_oid().ok();
        let algorithm = if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            if curve() != Some(OID_EC_P256) {
                return Err(ReadPublicKeyError::Unsupported);
            }
            &PKCS_ECDSA_P256_SHA256
        } else if *algorithm == OID_SIG_ED25519 {
            &PKCS_ED25519
        } else if *algorithm == OID_PKCS1_RSAENCRYPTION {
            match key.parsed() {
                Ok(Parsed::RSA(rsa)) if rsa.key_size() >= bits => &PKCS_RSA_SHA256,
                Ok(Parsed::RSA(rsa)) => return Err(ReadPublicKeyError::Weak(rsa.key_size())),
                _ => return Err(ReadPublicKeyError::Malformed),
            }
        } else {
            return Err(ReadPublicKeyError::Unsupported);
        };
        Ok(Self {
            algorithm,
            bits: key.subject_public_key.data.to_vec(),
        })
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};

    #[test]
    fn a_key_is_written_as_it_was_read() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
            let pair = KeyPair::generate_for(algorithm).expect("a key");
            let der = pair.subject_public_key_info();
            let key = PublicKey::read(&der).expect("accepted");
            assert_eq!(key.subject_public_key_info(), der);
        }
    }

    #[test]
    fn others_are_refused() {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key");
        let refused = PublicKey::read(&pair.subject_public_key_info());
        assert_eq!(refused, Err(ReadPublicKeyError::Unsupported));
        let mut longer = KeyPair::generate()
            .expect("a key")
            .subject_public_key_info();
        longer.push(0);
        assert_eq!(PublicKey::read(&longer), Err(ReadPublicKeyError::Malformed));
    }
}
