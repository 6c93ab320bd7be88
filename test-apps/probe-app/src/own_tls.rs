//! TLS between two applications, of which their sidecars know nothing.
//!
//! Invariant: the key is made when the process starts and leaves it in no way; whom the certificate belongs to nobody but the
//! process itself can say, so a caller takes any, and looks afterwards whether it was the application's.

use crate::anybody::Anybody;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, CommonState, Error as TlsError, ServerConfig};
use std::error::Error;
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What the applications speak inside, as they say in ALPN (RFC 7301): another word than that of the mesh.
const ALPN: &[u8] = b"probe";

/// The callee's end of TLS.
#[derive(Clone)]
pub(crate) struct OwnTls {
    acceptor: TlsAcceptor,
    certificate: String,
}

impl OwnTls {
    /// With a key and a certificate of its own, signed by that key.
    ///
    /// # Errors
    ///
    /// When no key can be made, or rustls does not take it.
    pub(crate) fn new() -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut own = CertificateParams::new(["application.test".to_owned()])?;
        own.distinguished_name = DistinguishedName::new();
        own.distinguished_name
            .push(DnType::CommonName, "an application of its own");
        let key = KeyPair::generate()?;
        let own = own.self_signed(&key)?;
        let certificate = probe_api::content_hash(own.der());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key)?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            certificate,
        })
    }

    /// What takes connections.
    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// The SHA-256 of the certificate, in hex.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }
}

/// The caller's end of TLS.
///
/// # Errors
///
/// When rustls has no version of TLS 1.3.
pub(crate) fn connector() -> Result<TlsConnector, TlsError> {
    let provider = provider();
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody::new(Arc::new(()), provider)))
        .with_no_client_auth();
    client.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsConnector::from(Arc::new(client)))
}

/// The SHA-256 of the certificate that the callee has shown, in hex.
pub(crate) fn shown(session: &CommonState) -> Option<String> {
    let chain = session.peer_certificates()?;
    Some(probe_api::content_hash(chain.first()?))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
