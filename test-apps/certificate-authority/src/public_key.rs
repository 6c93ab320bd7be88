//! Public keys: which are accepted, and how they come into certificates.

use crate::behaviour::{Behaviour, Faithful};
use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData,
    SignatureAlgorithm,
};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519, Oid,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The least bits of an RSA key (NIST SP 800-57, part 1, 5.6.1: 112 bits of strength).
pub const RSA_LEAST: usize = 2048;

/// A public key that may be in a certificate: ECDSA on P-256, Ed25519, or RSA of at least [`RSA_LEAST`] bits. One on P-384 can
/// be, too, where a [`Behaviour`] accepts that curve.
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
        Self::of_request(key, &Faithful)
    }

    /// Takes the key of a request, which was read already; which lengths and curves are accepted is the behaviour's to say.
    ///
    /// # Errors
    ///
    /// When it is of no accepted kind.
    pub fn of_request(
        key: &SubjectPublicKeyInfo<'_>,
        behaviour: &dyn Behaviour,
    ) -> Result<Self, ReadPublicKeyError> {
        use x509_parser::public_key::PublicKey as Parsed;
        let algorithm = &key.algorithm.algorithm;
        let curve = || key.algorithm.parameters.as_ref()?.as_oid().ok();
        let algorithm = if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            match curve().filter(|curve| behaviour.accepts_curve(curve)) {
                Some(curve) if curve == OID_EC_P256 => &PKCS_ECDSA_P256_SHA256,
                Some(curve) if curve == OID_NIST_EC_P384 => &PKCS_ECDSA_P384_SHA384,
                _ => return Err(ReadPublicKeyError::Unsupported),
            }
        } else if *algorithm == OID_SIG_ED25519 {
            &PKCS_ED25519
        } else if *algorithm == OID_PKCS1_RSAENCRYPTION {
            match key.parsed() {
                Ok(Parsed::RSA(rsa)) if rsa.key_size() >= behaviour.least_rsa_bits() => {
                    &PKCS_RSA_SHA256
                }
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

    /// Whether a signature of this algorithm can be of the key and is accepted in a request.
    #[must_use]
    pub fn signs_with(&self, signature: &Oid<'_>) -> bool {
        if *self.algorithm == PKCS_ECDSA_P256_SHA256 {
            *signature == OID_SIG_ECDSA_WITH_SHA256
        } else if *self.algorithm == PKCS_ECDSA_P384_SHA384 {
            *signature == OID_SIG_ECDSA_WITH_SHA384
        } else if *self.algorithm == PKCS_ED25519 {
            *signature == OID_SIG_ED25519
        } else {
            let accepted = [
                OID_PKCS1_SHA256WITHRSA,
                OID_PKCS1_SHA384WITHRSA,
                OID_PKCS1_SHA512WITHRSA,
            ];
            accepted.contains(signature)
        }
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
    use rcgen::KeyPair;

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
    fn a_key_signs_with_its_own_algorithms() {
        let of = |algorithm| {
            let pair = KeyPair::generate_for(algorithm).expect("a key");
            PublicKey::read(&pair.subject_public_key_info()).expect("accepted")
        };
        let accepted = |key: &PublicKey| {
            [
                OID_SIG_ECDSA_WITH_SHA256,
                OID_SIG_ECDSA_WITH_SHA384,
                OID_SIG_ED25519,
                OID_PKCS1_SHA256WITHRSA,
            ]
            .map(|signature| key.signs_with(&signature))
        };
        let on_p256 = of(&PKCS_ECDSA_P256_SHA256);
        assert_eq!(accepted(&on_p256), [true, false, false, false]);
        let edwards = of(&PKCS_ED25519);
        assert_eq!(accepted(&edwards), [false, false, true, false]);
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
