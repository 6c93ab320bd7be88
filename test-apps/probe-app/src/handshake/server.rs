//! Whom the client met: the server's certificate, looked at with the mesh's own roots.

use crate::anybody::Look;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{Error, RootCertStore};
use std::sync::OnceLock;

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
        let roots = trusted(pem)?;
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

/// The roots that a server is to be trusted by, PEM: one at least.
pub(super) fn trusted(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(pem) {
        let root = root.map_err(|error| format!("read the roots: {error}"))?;
        roots
            .add(root)
            .map_err(|error| format!("read the roots: {error}"))?;
    }
    if roots.is_empty() {
        return Err("there are no roots".to_owned());
    }
    Ok(roots)
}

/// Notes the first, and whether it should have been taken.
impl Look for Server {
    fn look(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        provider: &CryptoProvider,
    ) {
        let trusted = self.trusted(own, intermediates, now, provider);
        self.met.get_or_init(|| Met {
            own: own.to_vec(),
            untrusted: trusted.err().map(|error| error.to_string()),
        });
    }
}
