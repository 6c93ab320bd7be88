//! What is asked, how it is signed, and what is left open afterwards.

use super::*;
use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::CertificateValidationContext;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use envoy_types::pb::google::protobuf::Any;
use futures::stream::BoxStream;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tonic::transport::Server;
use tonic::{Response, Streaming};

#[test]
fn only_a_request_without_a_flaw_has_a_signature_that_fits() {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer as _;
    let names = ["spiffe://mesh/sa/a".to_owned()];
    for (flaw, fits) in [
        (None, true),
        (Some(RequestFlaw::Signer), true),
        (Some(RequestFlaw::OtherCurve), true),
        // Nobody here verifies with so weak a key, though the signature fits.
        (Some(RequestFlaw::WeakKey), false),
        (Some(RequestFlaw::Tampered), false),
    ] {
        let (der, key) = signing_request(&names, flaw).expect("a request");
        assert_eq!(key.is_some(), flaw != Some(RequestFlaw::WeakKey));
        let (_, request) = X509CertificationRequest::from_der(&der).expect("well-formed");
        assert_eq!(request.verify_signature().is_ok(), fits, "{flaw:?}");
    }
}

#[test]
fn another_curve_is_another_one_than_that_of_good_requests() {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384};
    use x509_parser::prelude::FromDer as _;
    for (flaw, expected) in [
        (None, OID_EC_P256),
        (Some(RequestFlaw::OtherCurve), OID_NIST_EC_P384),
    ] {
        let (der, _) = signing_request(&[], flaw).expect("a request");
        let (_, request) = X509CertificationRequest::from_der(&der).expect("well-formed");
        let key = &request.certification_request_info.subject_pki;
        let curve = key.algorithm.parameters.as_ref().expect("a curve");
        assert_eq!(curve.as_oid().expect("its name"), expected);
    }
}

#[tokio::test]
async fn who_is_not_there_is_no_refusal() {
    let ask = IdentityAsk {
        token: None,
        at: IdentityDesk::Sds {
            socket: "/nonexistent".to_owned(),
            secret: "default".to_owned(),
        },
    };
    let answer = super::ask(ask).await;
    assert!(
        matches!(answer, IdentityAnswer::Unanswered(_)),
        "{answer:?}"
    );
}

#[test]
fn a_chain_is_read_as_it_is_written() {
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::default().self_signed(&key);
    let certificate = certificate.expect("a certificate");
    assert_eq!(certificates(&pem(certificate.der())).len(), 1);
}

/// A node agent that answers each stream with a trust bundle, keeps it open, and tells when whoever asked has ended it.
struct Agent {
    ended: mpsc::UnboundedSender<()>,
}

#[tonic::async_trait]
impl SecretDiscoveryService for Agent {
    type DeltaSecretsStream = BoxStream<'static, Result<DeltaDiscoveryResponse, Status>>;
    type StreamSecretsStream = BoxStream<'static, Result<DiscoveryResponse, Status>>;

    async fn delta_secrets(
        &self,
        _request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        Err(Status::unimplemented("nobody asks in this form"))
    }

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let mut asked = request.into_inner();
        let first = asked.message().await?;
        let name = first.and_then(|first| first.resource_names.into_iter().next());
        let (answers, told) = mpsc::unbounded_channel();
        let _ = answers.send(Ok(bundle(name.unwrap_or_default())));
        let ended = self.ended.clone();
        tokio::spawn(async move {
            while let Ok(Some(_)) = asked.message().await {}
            let _ = ended.send(());
            drop(answers);
        });
        let told = futures::stream::unfold(told, |mut told| async {
            let next = told.recv().await?;
            Some((next, told))
        });
        Ok(Response::new(told.boxed()))
    }

    async fn fetch_secrets(
        &self,
        _request: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("nobody asks in this form"))
    }
}

fn bundle(name: String) -> DiscoveryResponse {
    let roots = DataSource {
        specifier: Some(Specifier::InlineString("roots".to_owned())),
        ..DataSource::default()
    };
    let context = CertificateValidationContext {
        trusted_ca: Some(roots),
        ..CertificateValidationContext::default()
    };
    let secret = Secret {
        name,
        r#type: Some(secret::Type::ValidationContext(context)),
    };
    DiscoveryResponse {
        resources: vec![Any {
            type_url: SECRET.to_owned(),
            value: secret.encode_to_vec(),
        }],
        ..DiscoveryResponse::default()
    }
}

/// An agent holds certificates back for as long as somebody who asked for the bundle has not taken it.
#[tokio::test]
async fn nothing_is_left_open_once_there_is_an_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("agent.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let incoming = futures::stream::unfold(listener, |listener| async {
        let came = listener.accept().await.map(|(stream, _)| stream);
        Some((came, listener))
    });
    let (ended, mut was_ended) = mpsc::unbounded_channel();
    let agent = SecretDiscoveryServiceServer::new(Agent { ended });
    let served = Server::builder()
        .add_service(agent)
        .serve_with_incoming(incoming);
    let served = tokio::spawn(served);
    let ask = IdentityAsk {
        token: None,
        at: IdentityDesk::Sds {
            socket: socket.to_string_lossy().into_owned(),
            secret: "ROOTCA".to_owned(),
        },
    };
    assert_eq!(super::secret(ask).await, Ok(b"roots".to_vec()));
    assert_eq!(was_ended.recv().await, Some(()));
    served.abort();
}
