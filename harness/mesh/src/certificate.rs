//! Certificates for servers of the mesh, made for one deployment.

use crate::definition::CertificateRequest;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::Serialize;

/// A server certificate with the root that signed it, as templates see it. All PEM.
#[derive(Clone, Serialize)]
pub(crate) struct Certificate {
    certificate: String,
    key: String,
    root: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// Makes a root that signs nothing else, and a certificate below it.
pub(crate) fn make(request: &CertificateRequest) -> Result<Certificate, rcgen::Error> {
    let root_key = KeyPair::generate()?;
    let mut root = CertificateParams::default();
    root.distinguished_name
        .push(DnType::CommonName, "meshproof root of one deployment");
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root_certificate = root.self_signed(&root_key)?;
    let issuer = Issuer::new(root, root_key);

    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(request.dns_names.clone())?;
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let certificate = leaf.signed_by(&key, &issuer)?;
    Ok(Certificate {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        root: root_certificate.pem(),
    })
}
