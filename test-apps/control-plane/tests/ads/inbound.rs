//! What comes in through a real Envoy, with the listener that the control plane gives to a permissive or a strict callee, to an
//! application that the test plays. Nothing is captured here: who wants the application dials the listener under the
//! application's port, at an address of the loopback that nobody else has.

use crate::PATIENCE;
use crate::authority::{NAME, Root, dns, params, uri};
use crate::replica::world_with;
use crate::sidecar::{self, CALLEE, inbound, leads_to, until_ok};
use control_plane::world::{Endpoint, Service, Services, World};
use envoy_types::pb::envoy::config::core::v3::{
    Address, SocketAddress, address, socket_address::PortSpecifier,
};
use mesh_api::{InboundTls, SpiffeUri, TlsPolicy};
use rustls::client::WantsClientCert;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ConfigBuilder};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::Child;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A port of the application for requests.
const REQUESTS: u16 = 20080;
/// A port of the application of which nothing is known.
const BYTES: u16 = 20082;
/// The application's own name, in a certificate of an authority that the mesh does not know.
const APPLICATION: &str = "application.test";
/// What the application speaks inside its own TLS.
const OWN_PROTOCOL: &[u8] = b"application";

/// A sidecar, which takes the mesh's TLS, and the application behind it.
struct Callee {
    _process: Child,
    folder: TempDir,
    address: SocketAddr,
    root: Root,
    application: TcpListener,
}

impl Callee {
    /// One that takes everything else, too.
    async fn permissive(port: u16) -> Self {
        Self::start(&takes(InboundTls::Permissive), port).await
    }

    /// Whoever dials its address wants this port of the application.
    async fn start(tls: &TlsPolicy, port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Root::new();
        let application = application().await;
        let leads_to_it = application.local_addr().map(said).expect("an address");
        let (mut listener, mut clusters) = inbound(world_of_callee(tls)).await;
        let address = SocketAddr::from((own_address(), port));
        listener.address = said(address);
        clusters.retain(|cluster| cluster.name.starts_with("inbound:"));
        for cluster in &mut clusters {
            cluster.load_assignment = leads_to(&cluster.name, leads_to_it.clone());
        }
        Self {
            _process: sidecar::start(folder.path(), &root, listener, clusters),
            folder,
            address,
            root,
            application,
        }
    }

    async fn dial(&self) -> TcpStream {
        until_ok(async || TcpStream::connect(self.address).await).await
    }

    /// What the sidecar dials the application with.
    async fn taken(&self) -> TcpStream {
        let (stream, _) = self.application.accept().await.expect("a connection");
        stream
    }

    /// What it has counted, as its probe reads it.
    async fn stats(&self) -> String {
        let admin = UnixStream::connect(sidecar::admin(self.folder.path())).await;
        let mut admin = admin.expect("it serves");
        let request = b"GET /stats?usedonly HTTP/1.1\r\nhost: sidecar\r\nconnection: close\r\n\r\n";
        tell(&mut admin, request).await;
        let mut answer = String::new();
        admin.read_to_string(&mut answer).await.expect("an answer");
        answer
    }
}

/// What an application listens with.
async fn application() -> TcpListener {
    let nowhere_yet = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    TcpListener::bind(nowhere_yet).await.expect("a free port")
}

fn takes(inbound: InboundTls) -> TlsPolicy {
    TlsPolicy {
        inbound: Some(inbound),
        ..TlsPolicy::default()
    }
}

fn world_of_callee(tls: &TlsPolicy) -> World {
    let at = |port| {
        let endpoint = Endpoint {
            ip: Ipv4Addr::new(10, 0, 0, 1).into(),
            port,
            region: "r".into(),
            zone: "east".into(),
        };
        (port, vec![endpoint])
    };
    let service = Service {
        ports: [at(REQUESTS), at(BYTES)].into(),
        bytes: [BYTES].into(),
        accounts: ["checkout".to_owned()].into(),
        ..Service::default()
    };
    World {
        services: Arc::new(Services::new([("checkout".to_owned(), service)].into())),
        ..world_with(tls)
    }
}

/// An address of the loopback for each sidecar of each process.
fn own_address() -> Ipv4Addr {
    static SIDECARS: AtomicU32 = AtomicU32::new(0);
    let number = SIDECARS.fetch_add(1, Ordering::Relaxed);
    let [_, first, second, third] = (4 * std::process::id() + number).to_be_bytes();
    Ipv4Addr::new(127, first, second, third)
}

fn said(address: SocketAddr) -> Option<Address> {
    Some(Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: address.ip().to_string(),
            port_specifier: Some(PortSpecifier::PortValue(u32::from(address.port()))),
            ..SocketAddress::default()
        })),
    })
}

async fn tell(stream: &mut (impl AsyncWrite + Unpin), words: &[u8]) {
    stream.write_all(words).await.expect("written");
    stream.flush().await.expect("written");
}

async fn hear(stream: &mut (impl AsyncRead + Unpin), words: &[u8]) {
    let mut heard = vec![0; words.len()];
    stream.read_exact(&mut heard).await.expect("read");
    let text = String::from_utf8_lossy;
    assert_eq!(text(&heard), text(words));
}

/// Both ends, in time.
async fn together<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let both = async { tokio::join!(one, other) };
    let in_time = tokio::time::timeout(PATIENCE, both).await;
    in_time.expect("both ends are done in time")
}

fn client_of(root: &Root) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .with_root_certificates(root.trusted())
}

/// A client that shows the sidecar a certificate of the mesh for [`NAME`], and takes nobody else's.
fn client_of_mesh(sidecar: &Callee) -> TlsConnector {
    let shown = sidecar.root.sign(&params(Some(uri(NAME))));
    let mut client = client_of(&sidecar.root).with_client_cert_resolver(Arc::new(shown.signer()));
    client.alpn_protocols = vec![b"mesh".to_vec()];
    TlsConnector::from(Arc::new(client))
}

/// What comes back for these words until the connection ends, over the mesh's TLS.
async fn heard_for(sidecar: &Callee, words: &[u8]) -> String {
    let name = ServerName::try_from(CALLEE).expect("a name");
    let stream = sidecar.dial().await;
    let heard = async {
        let mut heard = Vec::new();
        // With TLS 1.3 a client is done before the server is: whoever closes then may do so before anything else.
        if let Ok(mut stream) = client_of_mesh(sidecar).connect(name, stream).await {
            let _ = stream.write_all(words).await;
            let _ = stream.read_to_end(&mut heard).await;
        }
        heard
    };
    let heard = tokio::time::timeout(PATIENCE, heard).await;
    String::from_utf8_lossy(&heard.expect("it is closed")).into_owned()
}

/// One connection in plaintext, on which the client speaks first.
async fn greet_in_plaintext(sidecar: &Callee) {
    let mut client = sidecar.dial().await;
    together(
        async {
            tell(&mut client, b"ping").await;
            hear(&mut client, b"pong").await;
        },
        async {
            let mut taken = sidecar.taken().await;
            hear(&mut taken, b"ping").await;
            tell(&mut taken, b"pong").await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_of_the_application_passes_a_permissive_sidecar_untouched() {
    let authority = Root::new();
    let own = authority.sign(&params(Some(dns(APPLICATION))));
    let mut server = own.server();
    server.alpn_protocols = vec![OWN_PROTOCOL.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(server));
    for port in [REQUESTS, BYTES] {
        let sidecar = Callee::permissive(port).await;
        for offered in [None, Some(OWN_PROTOCOL.to_vec())] {
            let mut client = client_of(&authority).with_no_client_auth();
            client.alpn_protocols = offered.clone().into_iter().collect();
            let connector = TlsConnector::from(Arc::new(client));
            let name = ServerName::try_from(APPLICATION).expect("a name");
            let stream = sidecar.dial().await;
            let (seen, agreed) = together(
                async {
                    let mut stream = connector.connect(name, stream).await.expect("TLS");
                    tell(&mut stream, b"ping").await;
                    hear(&mut stream, b"pong").await;
                    let chain = stream.get_ref().1.peer_certificates().expect("shown");
                    let chain = chain.iter().map(|certificate| certificate.to_vec());
                    chain.collect::<Vec<_>>()
                },
                async {
                    let taken = sidecar.taken().await;
                    let mut taken = acceptor.accept(taken).await.expect("TLS");
                    hear(&mut taken, b"ping").await;
                    tell(&mut taken, b"pong").await;
                    taken.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
                },
            )
            .await;
            assert_eq!(seen, own.chain, "on port {port}");
            assert_eq!(agreed, offered, "on port {port}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_of_the_mesh_ends_at_a_permissive_sidecar() {
    let sidecar = Callee::permissive(BYTES).await;
    let connector = client_of_mesh(&sidecar);
    // The client takes nobody but who has this name from the mesh's root.
    let name = ServerName::try_from(CALLEE).expect("a name");
    let stream = sidecar.dial().await;
    together(
        async {
            let mut stream = connector.connect(name, stream).await.expect("TLS");
            tell(&mut stream, b"ping").await;
            hear(&mut stream, b"pong").await;
        },
        async {
            let mut taken = sidecar.taken().await;
            hear(&mut taken, b"ping").await;
            tell(&mut taken, b"pong").await;
        },
    )
    .await;
    greet_in_plaintext(&sidecar).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_first_is_heard_through_a_permissive_sidecar() {
    let sidecar = Callee::permissive(BYTES).await;
    // From here on Envoy is up, and time is spent with the connection alone.
    greet_in_plaintext(&sidecar).await;
    let mut client = sidecar.dial().await;
    // By itself Envoy would wait for longer than this test does, and then close the connection.
    together(
        async {
            hear(&mut client, b"220 ready").await;
            tell(&mut client, b"QUIT").await;
            hear(&mut client, b"221 bye").await;
        },
        async {
            let mut taken = sidecar.taken().await;
            tell(&mut taken, b"220 ready").await;
            hear(&mut taken, b"QUIT").await;
            tell(&mut taken, b"221 bye").await;
        },
    )
    .await;
}

/// The probe goes by this counter (`turned_away` in its readings), since a caller is told no more than that the connection ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_strict_sidecar_counts_whom_it_refuses() {
    for port in [REQUESTS, BYTES] {
        let sidecar = Callee::start(&takes(InboundTls::Strict), port).await;
        let mut client = sidecar.dial().await;
        let refused = async {
            // It may be closed before it has taken this.
            let _ = client.write_all(b"ping").await;
            let mut heard = Vec::new();
            let _ = client.read_to_end(&mut heard).await;
            heard
        };
        let heard = tokio::time::timeout(PATIENCE, refused).await;
        assert!(heard.expect("it is closed").is_empty(), "on port {port}");
        let stats = sidecar.stats().await;
        let counted = stats.contains("tcp.nowhere.downstream_cx_no_route: 1\n");
        assert!(counted, "on port {port}: {stats}");
    }
}

/// One that lets in a caller that the test does not play.
async fn for_somebody_else(port: u16) -> Callee {
    let somebody_else = SpiffeUri("spiffe://mesh.local/ns/a/sa/somebody-else".to_owned());
    let tls = TlsPolicy {
        allow: Some(vec![somebody_else]),
        ..takes(InboundTls::Strict)
    };
    Callee::start(&tls, port).await
}

/// The probe goes by this counter (`not_allowed` in its readings), for the same reason.
#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_counts_callers_of_bytes_that_its_list_does_not_have() {
    let mut sidecar = for_somebody_else(BYTES).await;
    assert_eq!(heard_for(&sidecar, b"ping").await, "");
    let once = "allow.rbac.denied: 1\n";
    let stats = sidecar.stats().await;
    assert!(stats.contains(once), "{stats}");
    // Where there is no application connections end in the same way, and before anybody has looked at the list, which is done
    // when the caller says something.
    sidecar.application = application().await;
    assert_eq!(heard_for(&sidecar, b"").await, "");
    let stats = sidecar.stats().await;
    assert!(stats.contains(once), "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_not_allowed_are_answered_and_counted_by_themselves() {
    let sidecar = for_somebody_else(REQUESTS).await;
    let request = b"GET / HTTP/1.1\r\nhost: checkout\r\nconnection: close\r\n\r\n";
    let heard = heard_for(&sidecar, request).await;
    assert!(heard.contains("403 Forbidden"), "{heard}");
    assert!(heard.contains("rbac_access_denied"), "{heard}");
    let stats = sidecar.stats().await;
    assert!(stats.contains("http.inbound.rbac.denied: 1\n"), "{stats}");
    assert!(!stats.contains("allow.rbac.denied"), "{stats}");
}
