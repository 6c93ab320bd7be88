//! TLS between two applications, of which their sidecars know nothing. A caller's sidecar may meet it all the same, where it
//! expects that of the callee's sidecar.
//!
//! Invariant: the key is made when the process starts and leaves it in no way; whom the certificate belongs to nobody but the
//! process itself can say, so a caller takes any, and looks afterwards whether it was the application's.

use crate::anybody::Anybody;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, CommonState, Error as TlsError, ServerConfig};
use std::error::Error;
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What callers speak inside, as they say in ALPN (RFC 7301): another word than that of the mesh.
const ALPN: &[u8] = b"probe";

/// The callee's end of TLS.
#[derive(Clone)]
pub(crate) struct OwnTls {
    acceptor: TlsAcceptor,
    certificate: String,
}

impl OwnTls {
    /// With a key and a certificate of its own, signed by that key. The certificate is for this SPIFFE ID, too, where there is one,
    /// so that nothing but its root is wrong for a sidecar that is shown it.
    ///
    /// # Errors
    ///
    /// When no key can be made, rustls does not take it, or the SPIFFE ID is not in ASCII.
    pub(crate) fn new(spiffe_id: Option<&str>) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let mut own = CertificateParams::new(["application.test".to_owned()])?;
        own.distinguished_name = DistinguishedName::new();
        own.distinguished_name
            .push(DnType::CommonName, "an application of its own");
        if let Some(id) = spiffe_id {
            own.subject_alt_names.push(SanType::URI(id.try_into()?));
        }
        let key = KeyPair::generate()?;
        let own = own.self_signed(&key)?;
        let certificate = probe_api::content_hash(own.der());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // Whatever a caller says in ALPN is taken: a sidecar says the mesh's word.
        let server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key)?;
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
    offering(ALPN)
}

fn offering(word: &[u8]) -> Result<TlsConnector, TlsError> {
    let provider = provider();
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody::new(Arc::new(()), provider)))
        .with_no_client_auth();
    client.alpn_protocols = vec![word.to_vec()];
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;
    use x509_parser::certificate::X509Certificate;
    use x509_parser::extensions::GeneralName;
    use x509_parser::prelude::FromDer as _;

    /// The certificate that a caller is shown who says this in ALPN, DER.
    async fn shown_to(word: &[u8], own: &OwnTls) -> Vec<u8> {
        let (here, there) = tokio::io::duplex(1 << 16);
        let name = ServerName::try_from("application.test").expect("a name");
        let connector = offering(word).expect("a client");
        let calling = connector.connect(name, here);
        let (caller, callee) = tokio::join!(calling, own.acceptor().accept(there));
        callee.expect("the caller is taken");
        let caller = caller.expect("the callee is taken");
        let chain = caller.get_ref().1.peer_certificates();
        chain.expect("one is shown")[0].to_vec()
    }

    #[tokio::test]
    async fn whatever_a_caller_says_in_alpn_it_is_shown_the_certificate() {
        let own = OwnTls::new(None).expect("a certificate");
        for word in [ALPN, b"mesh"] {
            let der = shown_to(word, &own).await;
            assert_eq!(probe_api::content_hash(&der), own.certificate());
        }
    }

    #[tokio::test]
    async fn the_certificate_is_for_the_workload_and_signed_by_nobody_else() {
        let id = "spiffe://mesh.local/ns/mesh-workloads/sa/checkout";
        for spiffe_id in [Some(id), None] {
            let own = OwnTls::new(spiffe_id).expect("a certificate");
            let der = shown_to(ALPN, &own).await;
            let (_, certificate) = X509Certificate::from_der(&der).expect("well-formed");
            certificate.verify_signature(None).expect("its own");
            let names = certificate.subject_alternative_name();
            let names = names.expect("well-formed").expect("it has some");
            let uris: Vec<&str> = names
                .value
                .general_names
                .iter()
                .filter_map(|name| match name {
                    GeneralName::URI(uri) => Some(*uri),
                    _ => None,
                })
                .collect();
            assert_eq!(uris, Vec::from_iter(spiffe_id));
        }
    }
}
