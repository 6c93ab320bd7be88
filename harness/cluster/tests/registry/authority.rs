//! A certificate authority that no machine trusts by itself.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// The host by which registries with TLS are addressed. It leads to this machine and is not on loopback, where plain HTTP
/// is spoken.
pub(crate) const BY_TLS: &str = "0.0.0.0";

/// An authority whose files are in a folder.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one of this name, with a key of its own: nobody has trusted it yet.
    pub(crate) fn called(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut parameters = named(name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = parameters.self_signed(&key).expect("it signs itself");
        write(folder.path(), "ca.crt", &certificate.pem());
        Self {
            folder,
            issuer: Issuer::new(parameters, key),
        }
    }

    /// The file of its certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// Signs a certificate for [`BY_TLS`] and says in which files it and its key are.
    pub(crate) fn sign(&self) -> (PathBuf, PathBuf) {
        let mut parameters = named("a registry of a test");
        parameters.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED))];
        let key = KeyPair::generate().expect("keys can be made");
        let signed = parameters
            .signed_by(&key, &self.issuer)
            .expect("it signs others");
        let folder = self.folder.path();
        (
            write(folder, "server.crt", &signed.pem()),
            write(folder, "server.key", &key.serialize_pem()),
        )
    }
}

fn named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a temporary folder can be written");
    path
}
