//! Whom the client met: the server's certificate, looked at with the mesh's own roots.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::{Arc, OnceLock};

/// The roots, and who has shown what.
#[derive(Debug)]
pub(super) struct Server {
    roots: RootCertStore,
    met: OnceLock<Met>,
}

/// A certificate that was shown.
#[derive(Debug)]
pub(super) struct Met {
    /// The server's own, DER.
    pub(super) own: Vec<u8>,
    /// Why it is not trusted.
    pub(super) untrusted: Option<String>,
}

impl Server {
    /// One that is to be trusted by these roots, PEM.
    pub(super) fn new(pem: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(pem) {
            let root = root.map_err(|error| format!("read the mesh's roots: {error}"))?;
            roots
                .add(root)
                .map_err(|error| format!("read the mesh's roots: {error}"))?;
        }
        if roots.is_empty() {
            return Err("the mesh has no roots".to_owned());
        }
        let met = OnceLock::new();
        Ok(Self { roots, met })
    }

    /// Who was met, if anybody was.
    pub(super) fn met(&self) -> Option<&Met> {
        self.met.get()
    }

    /// SPIFFE (X.509-SVID, 5) looks at the chain and the URI; host names are nothing here.
    fn trusted(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        provider: &CryptoProvider,
    ) -> Result<(), Error> {
        let own = ParsedCertificate::try_from(own)?;
        let algorithms = provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&own, &self.roots, intermediates, now, algorithms)
    }
}

/// Takes every server, and says of each whether it should have.
#[derive(Debug)]
pub(super) struct Verifier {
    server: Arc<Server>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub(super) fn new(server: Arc<Server>, provider: Arc<CryptoProvider>) -> Self {
        Self { server, provider }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let trusted = self.server.trusted(own, intermediates, now, &self.provider);
        self.server.met.get_or_init(|| Met {
            own: own.to_vec(),
            untrusted: trusted.err().map(|error| error.to_string()),
        });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
