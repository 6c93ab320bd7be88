//! What a real Envoy makes of clients' certificates, by the TLS context that the control plane gives to a strict callee: each
//! flaw, and the alert by which it is refused. The authority, and what serves its certificates, are the test's own, since no
//! authority of a mesh issues what is wrong.

use crate::authority::{NAME, Root, Shown};
use crate::flaws::Flaw;
use crate::replica::world_with;
use crate::sidecar::{self, CALLEE, inbound, pipe, until_ok};
use envoy_types::pb::envoy::config::core::v3::TransportSocket;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::google::protobuf::Any;
use mesh_api::{InboundTls, TlsPolicy};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio_rustls::TlsConnector;

/// What is wrong, and the alert (RFC 8446, 6.2) by which BoringSSL refuses it.
const FLAWS: [(Flaw, AlertDescription); 11] = [
    (Flaw::NoCertificate, AlertDescription::CertificateRequired),
    (Flaw::UnknownRoot, AlertDescription::UnknownCA),
    (Flaw::SelfSigned, AlertDescription::UnknownCA),
    (Flaw::NoAuthority, AlertDescription::UnknownCA),
    (Flaw::Expired, AlertDescription::CertificateExpired),
    (Flaw::NotYetValid, AlertDescription::CertificateExpired),
    (Flaw::OtherTrustDomain, AlertDescription::CertificateUnknown),
    (Flaw::HostName, AlertDescription::CertificateUnknown),
    (Flaw::NoName, AlertDescription::CertificateUnknown),
    (Flaw::ForServers, AlertDescription::UnsupportedCertificate),
    (Flaw::OtherKey, AlertDescription::DecryptError),
];

/// What the control plane has a strict callee's listener do with TLS of the mesh.
async fn strict() -> TransportSocket {
    let world = world_with(&TlsPolicy {
        inbound: Some(InboundTls::Strict),
        ..TlsPolicy::default()
    });
    let (listener, _) = inbound(world).await;
    let mut sockets = listener
        .filter_chains
        .into_iter()
        .filter(|chain| chain.name.ends_with(":mesh"))
        .filter_map(|chain| chain.transport_socket);
    sockets.next().expect("a chain for the mesh")
}

/// An Envoy whose listener echoes to whom it takes; ends when it is dropped.
struct Callee {
    _process: Child,
    listener: PathBuf,
    root: Root,
}

impl Callee {
    async fn start(folder: &Path) -> Self {
        let root = Root::new();
        let path = folder.join("callee.sock");
        let echo = Any {
            type_url: "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"
                .to_owned(),
            value: vec![],
        };
        let chain = FilterChain {
            filters: vec![Filter {
                name: "envoy.filters.network.echo".to_owned(),
                config_type: Some(filter::ConfigType::TypedConfig(echo)),
            }],
            transport_socket: Some(strict().await),
            ..FilterChain::default()
        };
        let listener = Listener {
            name: "callee".to_owned(),
            address: pipe(&path),
            filter_chains: vec![chain],
            ..Listener::default()
        };
        Self {
            _process: sidecar::start(folder, &root, listener, []),
            listener: path,
            root,
        }
    }

    /// One connection, and a word there and back.
    async fn greet(&self, shown: Option<Shown>) -> std::io::Result<()> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("a version")
            .with_root_certificates(self.root.trusted());
        let configuration = match shown {
            Some(shown) => builder.with_client_cert_resolver(Arc::new(shown.signer())),
            None => builder.with_no_client_auth(),
        };
        let stream = UnixStream::connect(&self.listener).await?;
        let name = ServerName::try_from(CALLEE).expect("a name");
        let connector = TlsConnector::from(Arc::new(configuration));
        let mut stream = connector.connect(name, stream).await?;
        let mut word = *b"hello";
        // With TLS 1.3 a client is told what the server thinks of its certificate only when it reads; that it cannot write
        // any more says less.
        let _ = stream.write_all(&word).await;
        stream.read_exact(&mut word).await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_callee_refuses_each_flaw_with_the_alert_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let callee = Callee::start(folder.path()).await;
    until_ok(async || callee.greet(callee.root.shown(NAME, None)).await).await;
    let mut ends = Vec::new();
    for (flaw, _) in FLAWS {
        let refused = callee.greet(callee.root.shown(NAME, Some(flaw))).await;
        let alert = match refused {
            Ok(()) => Err("taken".to_owned()),
            Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(rustls::Error::AlertReceived(alert)) => Ok(*alert),
                _ => Err(error.to_string()),
            },
        };
        ends.push((flaw, alert));
    }
    assert_eq!(ends, FLAWS.map(|(flaw, alert)| (flaw, Ok(alert))));
    let again = callee.greet(callee.root.shown(NAME, None)).await;
    again.expect("the right client is still taken");
}
