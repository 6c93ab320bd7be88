//! Against a server that is not Envoy: what is told of each end. Which alerts a sidecar sends is for the suites to say.

use super::*;
use probe_api::handshake::{ClientCertificate, PartnerCertificate};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const NAME: &str = "spiffe://mesh/sa/a";

/// Whose certificates the server takes.
enum Takes {
    /// This root's.
    Root(Vec<u8>),
    /// Nobody's: a root of its own.
    Nobody,
}

/// What the server does once a client was taken.
#[derive(Clone, Copy)]
enum Then {
    Answer,
    GoAway,
}

/// A server for one connection: where it listens, and the root of its certificate, PEM.
async fn server(takes: Takes, then: Then) -> (SocketAddr, Vec<u8>) {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = root.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(root, key);
    let key = KeyPair::generate().expect("a key");
    let mut own = CertificateParams::default();
    own.subject_alt_names = vec![rcgen::SanType::URI(NAME.try_into().expect("ASCII"))];
    let own = own.signed_by(&key, &issuer).expect("signed");
    let mut roots = RootCertStore::empty();
    let taken = match takes {
        Takes::Root(der) => CertificateDer::from(der),
        Takes::Nobody => certificate.der().clone(),
    };
    roots.add(taken).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .expect("a verifier");
    let configuration = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(clients)
        .with_single_cert(
            vec![own.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .expect("a certificate");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let acceptor = TlsAcceptor::from(Arc::new(configuration));
        let Ok(mut stream) = acceptor.accept(stream).await else {
            return;
        };
        if let Then::Answer = then {
            let mut request = [0; 5];
            stream.read_exact(&mut request).await.expect("a request");
            assert_eq!(&request, b"GET /");
            let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.expect("written");
            stream.shutdown().await.expect("closed");
        }
    });
    (address, pem(certificate.der()))
}

async fn own() -> Shown {
    let shown = shown_by(of_own_root(), &Kept::default()).await;
    Arc::into_inner(shown.expect("something")).expect("nobody keeps it")
}

fn of_own_root() -> ClientCertificate {
    ClientCertificate::UnknownRoot(vec![NAME.to_owned()])
}

async fn shown_by(what: ClientCertificate, kept: &Kept) -> Option<Arc<Shown>> {
    client::shown(what, kept).await.expect("made")
}

async fn met(
    at: SocketAddr,
    roots: &[u8],
    shown: Option<Shown>,
) -> (HandshakeEnd, Option<Option<String>>) {
    let server = Arc::new(Server::new(roots).expect("roots"));
    let configuration = configuration(&["mesh".to_owned()], &None, &server, shown.map(Arc::new));
    let end = meet(at, None, configuration.expect("a configuration")).await;
    (end, server.met().map(|met| met.untrusted.clone()))
}

#[tokio::test]
async fn who_is_trusted_is_answered() {
    let shown = own().await;
    let (at, roots) = server(Takes::Root(shown.root().to_vec()), Then::Answer).await;
    let (end, server) = met(at, &roots, Some(shown)).await;
    assert!(
        matches!(&end, HandshakeEnd::Answered(answer) if answer.status == 204),
        "{end:?}"
    );
    assert_eq!(server, Some(None), "the server is trusted, too");
}

#[tokio::test]
async fn who_is_refused_is_told_the_alert() {
    let (at, roots) = server(Takes::Nobody, Then::Answer).await;
    let (end, server) = met(at, &roots, None).await;
    assert_eq!(end, HandshakeEnd::Alert(116));
    assert_eq!(server, Some(None), "whoever refuses, too, is looked at");

    let (at, roots) = self::server(Takes::Nobody, Then::Answer).await;
    let (end, _) = met(at, &roots, Some(own().await)).await;
    assert_eq!(end, HandshakeEnd::Alert(48));

    let shown = own().await;
    let takes = Takes::Root(shown.root().to_vec());
    let (at, roots) = self::server(takes, Then::Answer).await;
    let (end, _) = met(at, &roots, Some(shown.with_another_key())).await;
    assert_eq!(end, HandshakeEnd::Alert(51));
}

#[tokio::test]
async fn a_server_of_another_root_is_told_of_and_spoken_to() {
    let shown = own().await;
    let (_, other) = server(Takes::Nobody, Then::Answer).await;
    let (at, _) = server(Takes::Root(shown.root().to_vec()), Then::Answer).await;
    let (end, server) = met(at, &other, Some(shown)).await;
    assert!(matches!(end, HandshakeEnd::Answered(_)), "{end:?}");
    let told = server.expect("met");
    assert!(told.is_some(), "its root is not the one that is trusted");
}

#[tokio::test]
async fn an_end_without_an_alert_is_none_with_one() {
    let shown = own().await;
    let takes = Takes::Root(shown.root().to_vec());
    let (at, roots) = server(takes, Then::GoAway).await;
    let (end, _) = met(at, &roots, Some(shown)).await;
    assert!(matches!(end, HandshakeEnd::Closed(_)), "{end:?}");
}

#[tokio::test]
async fn who_is_not_there_and_who_speaks_no_tls_says_nothing_of_a_certificate() {
    let (_, roots) = server(Takes::Nobody, Then::Answer).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    let plain = async {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        stream.write_all(answer).await.expect("written");
        stream
    };
    let ((end, server), _kept) = tokio::join!(met(at, &roots, None), plain);
    assert!(matches!(end, HandshakeEnd::Unanswered(_)), "{end:?}");
    assert_eq!(server, None);

    drop(listener);
    let (end, server) = met(at, &roots, None).await;
    assert!(matches!(end, HandshakeEnd::Unanswered(_)), "{end:?}");
    assert_eq!(server, None);
}

#[tokio::test]
async fn what_is_kept_is_shown_once_more_under_its_own_name_alone() {
    let kept = Kept::default();
    let again = |name: &str| ClientCertificate::Kept(name.to_owned());
    let nothing = client::shown(again("one"), &kept).await.err();
    assert!(nothing.is_some_and(|why| why.0.contains("`one`")));
    for name in ["one", "two", "one"] {
        let made = shown_by(of_own_root(), &kept).await.expect("something");
        kept.keep(name.to_owned(), Arc::clone(&made));
        let shown = shown_by(again(name), &kept).await.expect("something");
        assert!(Arc::ptr_eq(&made, &shown), "the newest of `{name}`");
    }
}

#[tokio::test]
async fn a_partner_s_certificates_lead_to_the_root_that_was_told_last() {
    let kept = Kept::default();
    let of_partner = |what| client::shown(ClientCertificate::OfPartner(what), &kept);
    let right = || PartnerCertificate {
        uris: vec![NAME.to_owned()],
        ..PartnerCertificate::default()
    };
    let nothing = of_partner(right()).await.err();
    assert!(nothing.is_some_and(|why| why.0.contains("nobody has asked")));
    let before = kept.make_partner().expect("a root");
    let told = kept.make_partner().expect("a root");
    assert_ne!(before, told);
    let shown = of_partner(right()).await.expect("made").expect("something");
    assert_eq!(pem(shown.root()), told);
    let own = |shown: &Shown| certificates(&pem(shown.own())).remove(0);
    assert_eq!(own(&shown).uris, [NAME]);
    assert!(!String::from_utf8_lossy(&told).contains("PRIVATE"));

    let shown = Arc::into_inner(shown).expect("nobody keeps it");
    let (at, roots) = server(Takes::Root(shown.root().to_vec()), Then::Answer).await;
    let (end, _) = met(at, &roots, Some(shown)).await;
    assert!(matches!(end, HandshakeEnd::Answered(_)), "{end:?}");

    let early = PartnerCertificate {
        valid_in_s: 3600,
        ..right()
    };
    let shown = of_partner(early).await.expect("made").expect("something");
    let shown = Arc::into_inner(shown).expect("nobody keeps it");
    let (at, roots) = server(Takes::Root(shown.root().to_vec()), Then::Answer).await;
    let (end, _) = met(at, &roots, Some(shown)).await;
    assert!(matches!(end, HandshakeEnd::Alert(_)), "{end:?}");

    let nameless = PartnerCertificate {
        host_names: vec!["a.mesh".to_owned()],
        ..PartnerCertificate::default()
    };
    let shown = of_partner(nameless).await.expect("made");
    assert_eq!(own(&shown.expect("something")).uris, [""; 0]);
}

#[test]
fn without_roots_nobody_is_looked_at() {
    assert!(Server::new(b"").is_err());
    assert!(Server::new(&pem(b"nonsense")).is_err());
}
