//! Roots that the probe makes, and what it issues below them.

use super::client::Shown;
use probe_api::handshake::PartnerCertificate;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use std::time::{Duration, SystemTime};

/// How far the clock of whoever verifies may be behind ours.
const SKEW: Duration = Duration::from_secs(15);
/// How long what is issued is valid.
const LIFE: Duration = Duration::from_secs(60);
/// How long a root is valid: longer than any scenario.
const LIFE_OF_A_ROOT: Duration = Duration::from_secs(24 * 60 * 60);

/// A root and its key.
pub(super) struct Root {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Root {
    /// A new one of this name.
    pub(super) fn new(name: &str) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let now = SystemTime::now();
        params.not_before = (now - SKEW).into();
        params.not_after = (now + LIFE_OF_A_ROOT).into();
        let key = KeyPair::generate()?;
        let der = params.self_signed(&key)?.der().to_vec();
        Ok(Self {
            der,
            issuer: Issuer::new(params, key),
        })
    }

    /// Its certificate, DER.
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// A certificate like those of the mesh, but for what is asked to be wrong with it.
    pub(super) fn issue(&self, what: &PartnerCertificate) -> Result<Shown, rcgen::Error> {
        let mut own = CertificateParams::default();
        own.distinguished_name = DistinguishedName::new();
        own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        own.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        own.use_authority_key_identifier_extension = true;
        let now = SystemTime::now();
        let begins = match what.valid_in_s {
            0 => now - SKEW,
            seconds => now + Duration::from_secs(seconds.into()),
        };
        own.not_before = begins.into();
        own.not_after = (begins + SKEW + LIFE).into();
        for name in &what.uris {
            let name = name.as_str().try_into()?;
            own.subject_alt_names.push(SanType::URI(name));
        }
        for name in &what.host_names {
            let name = name.as_str().try_into()?;
            own.subject_alt_names.push(SanType::DnsName(name));
        }
        let key = KeyPair::generate()?;
        let own = own.signed_by(&key, &self.issuer)?;
        Ok(Shown::new(vec![own.der().to_vec(), self.der.clone()], key))
    }
}
