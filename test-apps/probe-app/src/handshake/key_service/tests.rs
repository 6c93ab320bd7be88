//! Against a server of gRPC with the same library for TLS as the reference mesh's key service.

use super::*;
use crate::handshake::root::Root;
use crate::identity::pem;
use identity_api::keys::service::key_service_server::{KeyService, KeyServiceServer};
use identity_api::keys::{
    CreateKeyRequest, Key, ListKeysReply, RotateKeyRequest, SignReply, SignRequest,
};
use probe_api::handshake::PartnerCertificate;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response};

const SERVER: &str = "key-service.test";

/// Has no keys, and says so or not.
#[derive(Clone, Copy)]
enum Keys {
    Tells,
    Denies,
}

#[tonic::async_trait]
impl KeyService for Keys {
    async fn list_keys(
        &self,
        _request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysReply>, Status> {
        match self {
            Self::Tells => Ok(Response::new(ListKeysReply { keys: Vec::new() })),
            Self::Denies => Err(Status::unavailable("not now")),
        }
    }

    async fn create_key(&self, _: Request<CreateKeyRequest>) -> Result<Response<Key>, Status> {
        panic!("a probe makes no keys")
    }

    async fn rotate_key(&self, _: Request<RotateKeyRequest>) -> Result<Response<Key>, Status> {
        panic!("a probe makes no keys")
    }

    async fn sign(&self, _: Request<SignRequest>) -> Result<Response<SignReply>, Status> {
        panic!("a probe has nothing signed")
    }
}

/// A server, which is there until this goes.
struct Running {
    address: String,
    /// What its own certificate leads to, PEM.
    root: String,
    served: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// One that takes clients below this root alone, or, without it, asks nobody for a certificate.
async fn serving(keys: Keys, clients: Option<&Root>) -> Running {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let root_certificate = root.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(root, key);
    let key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new([SERVER.to_owned()]).expect("a name");
    let own = own.signed_by(&key, &issuer).expect("signed");
    let mut tls =
        ServerTlsConfig::new().identity(Identity::from_pem(own.pem(), key.serialize_pem()));
    if let Some(clients) = clients {
        tls = tls.client_ca_root(Certificate::from_pem(pem(clients.der())));
    }
    // A provider that is there already is the same one: no other is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut server = Server::builder().tls_config(tls).expect("certificates");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let served = tokio::spawn(async move {
        let server = server.add_service(KeyServiceServer::new(keys));
        let served = server.serve_with_incoming(TcpIncoming::from(listener));
        served.await.expect("it serves");
    });
    Running {
        address,
        root: root_certificate,
        served,
    }
}

fn root(name: &str) -> Root {
    Root::new(name).expect("a root")
}

fn below(root: &Root) -> Shown {
    let what = PartnerCertificate {
        uris: vec!["spiffe://mesh/sa/a".to_owned()],
        ..PartnerCertificate::default()
    };
    root.issue(&what).expect("issued")
}

async fn met(running: &Running, shown: Option<&Shown>) -> IdentityAnswer {
    come(&running.address, SERVER.to_owned(), &running.root, shown).await
}

#[tokio::test]
async fn who_shows_nothing_or_what_leads_elsewhere_is_told_the_alert() {
    let (clients, others) = (root("the root of clients"), root("another root"));
    let running = serving(Keys::Tells, Some(&clients)).await;
    let nothing = met(&running, None).await;
    assert_eq!(nothing, IdentityAnswer::Alert(116), "certificate_required");
    let elsewhere = met(&running, Some(&below(&others))).await;
    assert_eq!(elsewhere, IdentityAnswer::Alert(48), "unknown_ca");
    let right = met(&running, Some(&below(&clients))).await;
    assert_eq!(right, IdentityAnswer::Served);
}

#[tokio::test]
async fn whom_tls_lets_through_is_told_what_was_said() {
    let others = root("another root");
    let running = serving(Keys::Tells, None).await;
    for shown in [None, Some(below(&others))] {
        let answer = met(&running, shown.as_ref()).await;
        assert_eq!(answer, IdentityAnswer::Served);
    }
    let running = serving(Keys::Denies, None).await;
    let denied = IdentityAnswer::Denied {
        code: "Unavailable".to_owned(),
        message: "not now".to_owned(),
    };
    assert_eq!(met(&running, None).await, denied);
}

#[tokio::test]
async fn who_is_no_key_service_of_the_mesh_says_nothing() {
    let clients = root("the root of clients");
    let running = serving(Keys::Tells, Some(&clients)).await;
    let other = serving(Keys::Tells, Some(&clients)).await;
    let answer = come(&running.address, SERVER.to_owned(), &other.root, None).await;
    assert!(
        matches!(answer, IdentityAnswer::Unanswered(_)),
        "its certificate is of another root: {answer:?}"
    );
    let answer = come(
        &running.address,
        "other.test".to_owned(),
        &running.root,
        None,
    );
    let answer = answer.await;
    assert!(
        matches!(answer, IdentityAnswer::Unanswered(_)),
        "its certificate is for another name: {answer:?}"
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nobody = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let answer = come(&nobody, SERVER.to_owned(), &running.root, None).await;
    assert!(
        matches!(answer, IdentityAnswer::Unanswered(_)),
        "nobody is there: {answer:?}"
    );
}
