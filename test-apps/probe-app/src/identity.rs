//! Asks for identities where sidecars and node agents do, as whoever it is told to; who keeps keys is asked by [`key_service`].
//!
//! Invariant: a private key that comes with an answer is dropped unread, and one that was made here leaves the process in
//! no way.

mod permissions;

use crate::handshake::key_service;
use crate::reading::certificates;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{Secret, secret};
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use futures::{StreamExt as _, future};
use hyper_util::rt::TokioIo;
use identity_api::authority::service::certificate_authority_client::CertificateAuthorityClient;
use identity_api::authority::{IssueRequest, PodReference};
use probe_api::identity::{IdentityAnswer, IdentityAsk, IdentityDesk, RequestFlaw};
use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P384_SHA384, SanType};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

/// How long one attempt may take: who is asked waits up to ten seconds for a pod to show up.
const ANSWERED: Duration = Duration::from_secs(15);
/// How long the dial may take.
const DIAL: Duration = Duration::from_secs(2);

/// The type of secrets.
const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// A request that `openssl req -new -newkey rsa:1024 -outform der` made: `ring` makes no such key. It is for what `frontend` of
/// the reference mesh is, so that there nothing else is wrong with it.
const WEAK: &[u8] = include_bytes!("identity/rsa-1024.der");

/// What an authority has issued.
pub(crate) struct Issued {
    /// DER, the pod's own certificate first.
    pub(crate) chain: Vec<Vec<u8>>,
    /// The key that it is for; none where the request came with one that nobody has.
    pub(crate) key: Option<KeyPair>,
}

/// No answer, or a refusal.
enum NotGranted {
    Denied(Status),
    Unanswered(String),
}

impl From<Status> for NotGranted {
    fn from(status: Status) -> Self {
        match status.code() {
            // What a broken connection looks like, and those who cannot say anything now.
            Code::Unavailable | Code::Unknown | Code::DeadlineExceeded | Code::Cancelled => {
                Self::Unanswered(format!("{:?}: {}", status.code(), status.message()))
            }
            _ => Self::Denied(status),
        }
    }
}

impl std::fmt::Display for NotGranted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Denied(status) => {
                write!(f, "denied with {:?}: {}", status.code(), status.message())
            }
            Self::Unanswered(reason) => f.write_str(reason),
        }
    }
}

/// Makes one attempt.
pub(crate) async fn ask(ask: IdentityAsk) -> IdentityAnswer {
    let outcome = match ask.at {
        IdentityDesk::Sds { .. } => in_time(of_agent(ask)).await,
        IdentityDesk::SocketPermissions { socket } => return permissions::read(&socket),
        IdentityDesk::Authority { .. } => in_time(of_authority(ask))
            .await
            .map(|issued| issued.chain.iter().flat_map(|der| pem(der)).collect()),
        IdentityDesk::KeyService {
            address,
            server_name,
            root,
            certificate,
        } => {
            let shown = certificate.map(|ask| *ask);
            return key_service::ask(&address, server_name, &root, shown).await;
        }
    };
    match outcome {
        Ok(pem) => IdentityAnswer::Granted(certificates(&pem)),
        Err(NotGranted::Denied(status)) => IdentityAnswer::Denied {
            code: format!("{:?}", status.code()),
            message: status.message().to_owned(),
        },
        Err(NotGranted::Unanswered(reason)) => IdentityAnswer::Unanswered(reason),
    }
}

/// Has an authority issue a certificate.
///
/// # Errors
///
/// When it does not, in words.
pub(crate) async fn issue(ask: IdentityAsk) -> Result<Issued, String> {
    let issued = in_time(of_authority(ask)).await;
    issued.map_err(|error| format!("no certificate of the authority: {error}"))
}

/// The certificates of a secret that is served over SDS, PEM.
///
/// # Errors
///
/// When there are none, in words.
pub(crate) async fn secret(ask: IdentityAsk) -> Result<Vec<u8>, String> {
    let held = in_time(of_agent(ask)).await;
    held.map_err(|error| format!("no secret of the node agent: {error}"))
}

async fn in_time<T>(attempt: impl Future<Output = Result<T, NotGranted>>) -> Result<T, NotGranted> {
    // A provider that is there already is the same one: no other is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::time::timeout(ANSWERED, attempt)
        .await
        .unwrap_or_else(|_| Err(unanswered("no answer in time")))
}

/// Shows the token.
fn with_token<T>(message: T, token: Option<String>) -> Result<Request<T>, NotGranted> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse();
        let value = value.map_err(|_| unanswered("the token is no header"))?;
        request.metadata_mut().insert("authorization", value);
    }
    Ok(request)
}

fn unanswered(reason: impl std::fmt::Display) -> NotGranted {
    NotGranted::Unanswered(reason.to_string())
}

async fn of_agent(ask: IdentityAsk) -> Result<Vec<u8>, NotGranted> {
    let (
        token,
        IdentityDesk::Sds {
            socket,
            secret: name,
        },
    ) = (ask.token, ask.at)
    else {
        return Err(unanswered("that is no agent"));
    };
    let channel = Endpoint::from_static("http://node-agent")
        .connect_timeout(DIAL)
        .connect_with_connector(tower::service_fn(move |_: http::Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
        .map_err(|error| unanswered(told(&error)))?;
    let subscription = DiscoveryRequest {
        type_url: SECRET.to_owned(),
        resource_names: vec![name],
        ..DiscoveryRequest::default()
    };
    // The stream stays open until there is an answer: who closes it wants nothing more. Afterwards the agent must not wait for
    // what nobody reads, which it does before it hands out a certificate of a root that is on its way.
    let (_open, ended) = oneshot::channel();
    let never = futures::stream::once(ended).filter_map(|more| future::ready(more.ok()));
    let requests = futures::stream::iter([subscription]).chain(never);
    let mut client = SecretDiscoveryServiceClient::new(channel);
    let mut responses = client
        .stream_secrets(with_token(requests, token)?)
        .await?
        .into_inner();
    let response = responses.message().await?;
    let response = response.ok_or_else(|| unanswered("the stream ended without a response"))?;
    let resource = response.resources.into_iter().next();
    let resource = resource.ok_or_else(|| unanswered("a response without a secret"))?;
    let held = Secret::decode(resource.value.as_slice()).map_err(unanswered)?;
    let chain = match held.r#type {
        Some(secret::Type::TlsCertificate(certificate)) => certificate.certificate_chain,
        Some(secret::Type::ValidationContext(roots)) => roots.trusted_ca,
        _ => None,
    };
    match chain.and_then(|chain| chain.specifier) {
        Some(Specifier::InlineBytes(pem)) => Ok(pem),
        Some(Specifier::InlineString(pem)) => Ok(pem.into_bytes()),
        _ => Err(unanswered("a secret without a certificate")),
    }
}

async fn of_authority(ask: IdentityAsk) -> Result<Issued, NotGranted> {
    let token = ask.token;
    let IdentityDesk::Authority {
        address,
        server_name,
        root,
        pod: [namespace, name, uid],
        names,
        flaw,
        lifetime_s,
    } = ask.at
    else {
        return Err(unanswered("that is no authority"));
    };
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(root))
        .domain_name(server_name);
    let channel: Channel = Endpoint::from_shared(format!("https://{address}"))
        .and_then(|endpoint| endpoint.connect_timeout(DIAL).tls_config(tls))
        .map_err(|error| unanswered(told(&error)))?
        .connect()
        .await
        .map_err(|error| unanswered(told(&error)))?;
    let (csr, key) = signing_request(&names, flaw).map_err(unanswered)?;
    let request = IssueRequest {
        csr,
        pod: PodReference {
            namespace,
            name,
            uid,
        },
        lifetime_seconds: lifetime_s,
    };
    let mut client = CertificateAuthorityClient::new(channel);
    let reply = client.issue(with_token(request, token)?).await?;
    Ok(Issued {
        chain: reply.into_inner().chain,
        key,
    })
}

/// PKCS #10 (RFC 2986), DER, with a key of its own, which is given too.
fn signing_request(
    names: &[String],
    flaw: Option<RequestFlaw>,
) -> Result<(Vec<u8>, Option<KeyPair>), rcgen::Error> {
    if flaw == Some(RequestFlaw::WeakKey) {
        return Ok((WEAK.to_vec(), None));
    }
    let mut params = CertificateParams::default();
    for name in names {
        let name = name.as_str().try_into()?;
        params.subject_alt_names.push(SanType::URI(name));
    }
    if flaw == Some(RequestFlaw::Signer) {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = match flaw {
        Some(RequestFlaw::OtherCurve) => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?,
        _ => KeyPair::generate()?,
    };
    let mut der = params.serialize_request(&key)?.der().to_vec();
    if flaw == Some(RequestFlaw::Tampered)
        && let Some(last) = der.last_mut()
    {
        // The signature stands at the end.
        *last ^= 1;
    }
    Ok((der, Some(key)))
}

/// One certificate, PEM (RFC 7468).
pub(crate) fn pem(der: &[u8]) -> Vec<u8> {
    let encoded = STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n").into_bytes()
}

/// An error with what it comes from.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests;
