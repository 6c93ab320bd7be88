//! Certificates: what is in them, and how they are signed by somebody who is asked over the network.
//!
//! Invariant: every certificate that leaves this module has been verified with the public key of its issuer.

use crate::public_key::{PublicKey, ReadPublicKeyError};
use identity_api::SpiffeId;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
    date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::prelude::{FromDer as _, X509Certificate};

const DAY: u64 = 24 * 60 * 60;
/// How long a root is valid.
pub const ROOT_LIFETIME: Duration = Duration::from_secs(3650 * DAY);
/// How long an intermediate is valid.
pub const INTERMEDIATE_LIFETIME: Duration = Duration::from_secs(365 * DAY);
/// How far the clock of whoever verifies a pod's certificate may be behind ours.
pub const SKEW: Duration = Duration::from_secs(5);
/// The same for certificates of authorities, which are rare and stay.
pub const AUTHORITY_SKEW: Duration = Duration::from_secs(300);

/// When a certificate is valid, in seconds since 1970 (both included).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// notBefore.
    pub from: u64,
    /// notAfter.
    pub until: u64,
}

impl Validity {
    /// For so long from now on and a little backwards.
    #[must_use]
    pub fn of(now: SystemTime, skew: Duration, lifetime: Duration) -> Self {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            from: now.saturating_sub(skew).as_secs(),
            until: (now + lifetime).as_secs(),
        }
    }

    /// The part of it in which the issuer is valid, too; none where there is no such part.
    #[must_use]
    pub fn within(self, issuer: Self) -> Option<Self> {
        let both = Self {
            from: self.from.max(issuer.from),
            until: self.until.min(issuer.until),
        };
        (both.from < both.until).then_some(both)
    }
}

/// The certificate of a root or an intermediate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// PEM, as it is kept and published.
    pub pem: String,
    /// DER.
    pub der: Vec<u8>,
    /// When it is valid.
    pub validity: Validity,
    /// Its key, which the key service has.
    pub key: PublicKey,
    /// CN, its only name.
    name: String,
}

/// A certificate is not one of an authority of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadAuthorityError {
    /// Not PEM, or not X.509.
    #[error("understand the certificate")]
    Malformed,
    /// Its key is not accepted.
    #[error(transparent)]
    Key(#[from] ReadPublicKeyError),
}

impl Authority {
    /// Reads one in PEM.
    ///
    /// # Errors
    ///
    /// When it is malformed.
    pub fn read(pem: &str) -> Result<Self, ReadAuthorityError> {
        let malformed = || ReadAuthorityError::Malformed;
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| malformed())?;
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| malformed())?;
        let second = |time: x509_parser::time::ASN1Time| {
            u64::try_from(time.timestamp()).map_err(|_| malformed())
        };
        let name = certificate
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .ok_or_else(malformed)?
            .to_owned();
        Ok(Self {
            validity: Validity {
                from: second(certificate.validity().not_before)?,
                until: second(certificate.validity().not_after)?,
            },
            key: PublicKey::of(certificate.public_key())?,
            name,
            pem: pem.to_owned(),
            der: der.to_vec(),
        })
    }
}

/// A certificate that nobody has signed yet.
///
/// `rcgen` signs while it writes; whoever signs here is far away. So it is written twice: the first time to learn what is
/// to be signed, the second time with the signature.
pub struct Draft {
    params: CertificateParams,
    key: PublicKey,
    issuer_name: DistinguishedName,
    issuer_key: PublicKey,
}

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeCertificateError {
    /// `rcgen` did not write it.
    #[error("write the certificate")]
    Write(#[source] rcgen::Error),
    /// The signature is not one of the issuer's key.
    #[error("verify the new certificate: the signature is not of the issuer's key")]
    Signature,
}

impl Draft {
    /// A root of this key, which is valid from now on.
    #[must_use]
    pub fn root(name: &str, key: PublicKey, now: SystemTime) -> Self {
        let name = distinguished(name);
        let validity = Validity::of(now, AUTHORITY_SKEW, ROOT_LIFETIME);
        let mut params = authority(name.clone(), BasicConstraints::Constrained(1), validity);
        params.use_authority_key_identifier_extension = false;
        Self {
            params,
            key: key.clone(),
            issuer_name: name,
            issuer_key: key,
        }
    }

    /// An intermediate of this key below a root; none when the root is not valid any more.
    #[must_use]
    pub fn intermediate(
        name: &str,
        key: PublicKey,
        root: &Authority,
        now: SystemTime,
    ) -> Option<Self> {
        let validity =
            Validity::of(now, AUTHORITY_SKEW, INTERMEDIATE_LIFETIME).within(root.validity)?;
        Some(Self {
            params: authority(
                distinguished(name),
                BasicConstraints::Constrained(0),
                validity,
            ),
            key,
            issuer_name: distinguished(&root.name),
            issuer_key: root.key.clone(),
        })
    }

    /// A pod's certificate below an intermediate, valid for so long at most; none when the intermediate is not valid any
    /// more.
    #[must_use]
    pub fn pod(
        identity: &SpiffeId,
        key: PublicKey,
        issuer: &Authority,
        now: SystemTime,
        lifetime: Duration,
    ) -> Option<Self> {
        let validity = Validity::of(now, SKEW, lifetime).within(issuer.validity)?;
        // A SPIFFE ID is ASCII, so there is always a name.
        let name = Ia5String::try_from(identity.to_string()).ok()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(name)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        valid(&mut params, validity);
        Some(Self {
            params,
            key,
            issuer_name: distinguished(&issuer.name),
            issuer_key: issuer.key.clone(),
        })
    }

    /// What the issuer has to sign.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn message(&self) -> Result<Vec<u8>, MakeCertificateError> {
        let signer = Signer {
            key: &self.issuer_key,
            signature: &[],
            message: Mutex::default(),
        };
        let issuer = self.issuer(&signer);
        self.params
            .signed_by(&self.key, &issuer)
            .map_err(MakeCertificateError::Write)?;
        let message = signer.message.into_inner();
        Ok(message.unwrap_or_else(PoisonError::into_inner))
    }

    /// The certificate with its signature.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or the signature is not one of the issuer's key.
    pub fn signed(&self, signature: &[u8]) -> Result<rcgen::Certificate, MakeCertificateError> {
        let signer = Signer {
            key: &self.issuer_key,
            signature,
            message: Mutex::default(),
        };
        let certificate = self
            .params
            .signed_by(&self.key, &self.issuer(&signer))
            .map_err(MakeCertificateError::Write)?;
        let issuer_key = self.issuer_key.subject_public_key_info();
        let is_verified = || {
            let (_, issuer_key) =
                x509_parser::x509::SubjectPublicKeyInfo::from_der(&issuer_key).ok()?;
            let (_, read) = X509Certificate::from_der(certificate.der()).ok()?;
            read.verify_signature(Some(&issuer_key)).ok()
        };
        is_verified().ok_or(MakeCertificateError::Signature)?;
        Ok(certificate)
    }

    fn issuer<'a>(&self, signer: &'a Signer<'a>) -> Issuer<'static, &'a Signer<'a>> {
        let mut params = CertificateParams::default();
        params.distinguished_name = self.issuer_name.clone();
        Issuer::new(params, signer)
    }
}

/// Gives a signature that is there already, and remembers for what.
struct Signer<'a> {
    key: &'a PublicKey,
    signature: &'a [u8],
    message: Mutex<Vec<u8>>,
}

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.key.algorithm()
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let mut kept = self.message.lock().unwrap_or_else(PoisonError::into_inner);
        message.clone_into(&mut kept);
        Ok(self.signature.to_vec())
    }
}

fn authority(
    name: DistinguishedName,
    constraints: BasicConstraints,
    validity: Validity,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    valid(&mut params, validity);
    params
}

fn valid(params: &mut CertificateParams, validity: Validity) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(validity.from);
    params.not_after = epoch + Duration::from_secs(validity.until);
    // 128 bits that nobody can guess (CA/Browser Forum, 7.1: at least 64).
    params.serial_number = Some(SerialNumber::from_slice(
        &rand::random::<u128>().to_be_bytes(),
    ));
    params.use_authority_key_identifier_extension = true;
}

fn distinguished(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

#[cfg(test)]
mod tests;
