//! What signs certificates in tests. It looks at nothing that an authority must look at.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

static SERIALS: AtomicU64 = AtomicU64::new(1);

/// A root.
pub(crate) struct Root {
    /// Its certificate.
    pub(crate) der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

struct OfRequest(Vec<u8>);

impl PublicKeyData for OfRequest {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl Root {
    /// A new one of this name.
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            der: certificate.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Signs a request, for `name` if one is given, or else for the name in it.
    pub(crate) fn sign(&self, csr: &[u8], name: Option<&str>, lifetime: Duration) -> Vec<u8> {
        let (_, request) = X509CertificationRequest::from_der(csr).expect("a request");
        let info = &request.certification_request_info;
        let names: Vec<String> = request
            .requested_extensions()
            .into_iter()
            .flatten()
            .filter_map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
                _ => None,
            })
            .flatten()
            .map(|name| match name {
                GeneralName::URI(uri) => (*uri).to_owned(),
                other => panic!("{other:?} is no URI"),
            })
            .collect();
        let [asked] = names.as_slice() else {
            panic!("{names:?} is not one name");
        };
        let name = name.unwrap_or(asked).to_owned();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(name.try_into().expect("ASCII"))];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        // Of two roots of one name, BoringSSL takes the first whose key identifier fits, and tries no other.
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from(SERIALS.fetch_add(1, Ordering::Relaxed)));
        params.not_before = SystemTime::now().into();
        params.not_after = (SystemTime::now() + lifetime).into();
        let key = OfRequest(info.subject_pki.subject_public_key.data.to_vec());
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        certificate.der().to_vec()
    }
}
