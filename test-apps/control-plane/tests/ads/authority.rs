//! The test's own authority, and what it signs: what a client or a server shows, and which roots it trusts.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The name of a client that nothing is wrong with.
pub(crate) const NAME: &str = "spiffe://mesh.local/ns/mesh-workloads/sa/frontend";
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A certificate that is not signed yet.
pub(crate) fn params(name: Option<SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = name.into_iter().collect();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    valid(
        &mut params,
        SystemTime::now() - HOUR,
        SystemTime::now() + HOUR,
    );
    params
}

pub(crate) fn valid(params: &mut CertificateParams, from: SystemTime, until: SystemTime) {
    params.not_before = from.into();
    params.not_after = until.into();
}

pub(crate) fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("ASCII"))
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ASCII"))
}

/// The mesh's authority, or somebody who would like to be it.
pub(crate) struct Root {
    pub(crate) der: Vec<u8>,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

impl Root {
    pub(crate) fn new() -> Self {
        let mut params = params(None);
        params
            .distinguished_name
            .push(DnType::CommonName, "the root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages = vec![];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        Self {
            der: certificate.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn sign(&self, params: &CertificateParams) -> Shown {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Shown {
            chain: vec![certificate.der().to_vec()],
            key,
        }
    }

    /// What trusts this authority alone.
    pub(crate) fn trusted(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from(self.der.clone());
        roots.add(root).expect("a root");
        roots
    }
}

/// A chain and the key that signs.
pub(crate) struct Shown {
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) key: KeyPair,
}

impl Shown {
    pub(crate) fn pem(&self) -> Vec<u8> {
        let certificates = self.chain.iter().map(|der| pem(der));
        certificates.collect::<String>().into_bytes()
    }

    /// Whether the key is the certificate's is left to the other side.
    pub(crate) fn signer(&self) -> SingleCertAndKey {
        let chain = self
            .chain
            .iter()
            .map(|der| CertificateDer::from(der.clone()));
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let key = rustls::crypto::ring::sign::any_supported_type(&key).expect("a key");
        SingleCertAndKey::from(CertifiedKey::new(chain.collect(), key))
    }

    /// A server that shows this, and asks clients for nothing.
    pub(crate) fn server(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("a version")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.signer()))
    }
}

pub(crate) fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}
