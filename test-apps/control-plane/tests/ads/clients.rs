//! What a real Envoy makes of clients' certificates, by the TLS context that the control plane gives to a strict callee: each
//! flaw, and the alert by which it is refused. The authority, and what serves its certificates, are the test's own, since no
//! authority of a mesh issues what is wrong. `MESHPROOF_ENVOY` names the Envoy; `cargo xtask test` sets it.

use crate::replica::{replica, world};
use crate::{Client, PATIENCE};
use control_plane::snapshot::Kind;
use control_plane::world::World;
use envoy_types::pb::envoy::config::bootstrap::v3::{Bootstrap, bootstrap::StaticResources};
use envoy_types::pb::envoy::config::cluster::v3::{
    Cluster,
    cluster::{ClusterDiscoveryType, DiscoveryType},
};
use envoy_types::pb::envoy::config::core::v3::{
    Address, DataSource, Http2ProtocolOptions, Node, Pipe, TransportSocket, address,
    data_source::Specifier,
};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate, secret,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::{
    HttpProtocolOptions,
    http_protocol_options::{
        ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
    },
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use envoy_types::pb::google::protobuf::Any;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use mesh_api::{InboundTls, TlsPolicy};
use prost::{Message as _, Name};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// The name of a client that nothing is wrong with.
const NAME: &str = "spiffe://mesh.local/ns/mesh-workloads/sa/frontend";
/// The callee also has a name that a client of the test can verify it by.
const CALLEE: &str = "callee.test";
const HOUR: Duration = Duration::from_secs(3600);

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    NoCertificate,
    /// Of a root that has the name of the mesh's, with another key.
    UnknownRoot,
    SelfSigned,
    /// Signed by a workload, whose own certificate is right.
    NoAuthority,
    Expired,
    NotYetValid,
    /// `spiffe://other.mesh/...`, signed by the mesh's root.
    OtherTrustDomain,
    /// A DNS name in place of a URI.
    HostName,
    NoName,
    /// Its extended key usage is that of servers alone.
    ForServers,
    /// Right, but signatures are of another key.
    OtherKey,
}

/// A certificate that is not signed yet.
fn params(name: Option<SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = name.into_iter().collect();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    valid(
        &mut params,
        SystemTime::now() - HOUR,
        SystemTime::now() + HOUR,
    );
    params
}

fn valid(params: &mut CertificateParams, from: SystemTime, until: SystemTime) {
    params.not_before = from.into();
    params.not_after = until.into();
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("ASCII"))
}

/// The mesh's authority, or somebody who would like to be it.
struct Root {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Root {
    fn new() -> Self {
        let mut params = params(None);
        params
            .distinguished_name
            .push(DnType::CommonName, "the root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages = vec![];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        Self {
            der: certificate.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    fn sign(&self, params: &CertificateParams) -> Shown {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Shown {
            chain: vec![certificate.der().to_vec()],
            key,
        }
    }

    /// What a client with this flaw shows.
    fn client(&self, flaw: Option<Flaw>) -> Option<Shown> {
        let mut own = params(Some(uri(NAME)));
        let now = SystemTime::now();
        Some(match flaw {
            None => self.sign(&own),
            Some(Flaw::NoCertificate) => return None,
            Some(Flaw::UnknownRoot) => Self::new().sign(&own),
            Some(Flaw::SelfSigned) => {
                let key = KeyPair::generate().expect("a key");
                let certificate = own.self_signed(&key).expect("signed");
                Shown {
                    chain: vec![certificate.der().to_vec()],
                    key,
                }
            }
            Some(Flaw::NoAuthority) => {
                let mut above = params(Some(uri(NAME)));
                above
                    .distinguished_name
                    .push(DnType::CommonName, "a workload");
                let Shown { chain, key } = self.sign(&above);
                let workload = Root {
                    der: vec![],
                    issuer: Issuer::new(above, key),
                };
                let mut shown = workload.sign(&own);
                shown.chain.extend(chain);
                shown
            }
            Some(Flaw::Expired) => {
                valid(&mut own, now - 2 * HOUR, now - HOUR);
                self.sign(&own)
            }
            Some(Flaw::NotYetValid) => {
                valid(&mut own, now + HOUR, now + 2 * HOUR);
                self.sign(&own)
            }
            Some(Flaw::OtherTrustDomain) => {
                self.sign(&params(Some(uri("spiffe://other.mesh/ns/a/sa/frontend"))))
            }
            Some(Flaw::HostName) => {
                let name = "frontend.mesh.local".try_into().expect("ASCII");
                self.sign(&params(Some(SanType::DnsName(name))))
            }
            Some(Flaw::NoName) => self.sign(&params(None)),
            Some(Flaw::ForServers) => {
                own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                self.sign(&own)
            }
            Some(Flaw::OtherKey) => Shown {
                key: KeyPair::generate().expect("a key"),
                ..self.sign(&own)
            },
        })
    }
}

/// A chain and the key that signs.
struct Shown {
    chain: Vec<Vec<u8>>,
    key: KeyPair,
}

impl Shown {
    fn pem(&self) -> Vec<u8> {
        let certificates = self.chain.iter().map(|der| pem(der));
        certificates.collect::<String>().into_bytes()
    }

    /// Whether the key is the certificate's is left to the server.
    fn signer(&self) -> SingleCertAndKey {
        let chain = self
            .chain
            .iter()
            .map(|der| CertificateDer::from(der.clone()));
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let key = rustls::crypto::ring::sign::any_supported_type(&key).expect("a key");
        SingleCertAndKey::from(CertifiedKey::new(chain.collect(), key))
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// Serves the callee's certificate and the roots, in the node agent's place.
#[derive(Clone)]
struct Secrets(Arc<Vec<Secret>>);

impl Secrets {
    fn of(root: &Root) -> Self {
        let mut own = params(Some(uri("spiffe://mesh.local/ns/a/sa/checkout")));
        own.subject_alt_names
            .push(SanType::DnsName(CALLEE.try_into().expect("ASCII")));
        let own = root.sign(&own);
        let inline = |bytes: Vec<u8>| {
            Some(DataSource {
                specifier: Some(Specifier::InlineBytes(bytes)),
                ..DataSource::default()
            })
        };
        let certificate = TlsCertificate {
            certificate_chain: inline(own.pem()),
            private_key: inline(own.key.serialize_pem().into_bytes()),
            ..TlsCertificate::default()
        };
        let roots = CertificateValidationContext {
            trusted_ca: inline(pem(&root.der).into_bytes()),
            ..CertificateValidationContext::default()
        };
        let named = |name: &str, held| Secret {
            name: name.to_owned(),
            r#type: Some(held),
        };
        Self(Arc::new(vec![
            named("default", secret::Type::TlsCertificate(certificate)),
            named("ROOTCA", secret::Type::ValidationContext(roots)),
        ]))
    }

    fn answer(&self, request: &DiscoveryRequest) -> DiscoveryResponse {
        let asked = |secret: &&Secret| request.resource_names.contains(&secret.name);
        DiscoveryResponse {
            version_info: "1".to_owned(),
            nonce: "1".to_owned(),
            type_url: Secret::type_url(),
            resources: self.0.iter().filter(asked).map(any).collect(),
            ..DiscoveryResponse::default()
        }
    }
}

#[tonic::async_trait]
impl SecretDiscoveryService for Secrets {
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
        let own = self.clone();
        let answers = request.into_inner().filter_map(move |asked| {
            // What has a nonce is an acknowledgement.
            let answer = asked.map(|asked| {
                let is_first = asked.response_nonce.is_empty();
                is_first.then(|| own.answer(&asked))
            });
            async { answer.transpose() }
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn fetch_secrets(
        &self,
        _request: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("nobody asks in this form"))
    }
}

fn any<M: prost::Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

/// What the control plane has a strict callee's listener do with TLS of the mesh.
async fn strict() -> TransportSocket {
    let mut world = World {
        trust_domain: "mesh.local".into(),
        ..world("on")
    };
    for policy in world.policies.values_mut() {
        Arc::make_mut(policy).spec.tls = Some(TlsPolicy {
            inbound: Some(InboundTls::Strict),
            ..TlsPolicy::default()
        });
    }
    let replica = replica(world).await;
    let client = Client::connect(replica.address, "mesh-workloads/inside").await;
    let mut client = client.expect("admitted");
    client.ask(Kind::Listeners, &[], "", None).await;
    let response = client.next().await;
    let chains = response.resources.iter().flat_map(|resource| {
        let listener = Listener::decode(resource.value.as_slice()).expect("a listener");
        listener.filter_chains
    });
    let mut sockets = chains
        .filter(|chain| chain.name.ends_with(":mesh"))
        .filter_map(|chain| chain.transport_socket);
    let socket = sockets.next().expect("a chain for the mesh");
    drop(client);
    replica.go().await;
    socket
}

fn pipe(path: &Path) -> Option<Address> {
    Some(Address {
        address: Some(address::Address::Pipe(Pipe {
            path: path.to_str().expect("UTF-8").to_owned(),
            ..Pipe::default()
        })),
    })
}

/// The cluster that the control plane's secrets come from.
fn node_agent(socket: &Path) -> Cluster {
    let http2 = ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default());
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(
            ExplicitHttpConfig {
                protocol_config: Some(http2),
            },
        )),
        ..HttpProtocolOptions::default()
    };
    let endpoint = LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: pipe(socket),
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    };
    Cluster {
        name: "node-agent".to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: "node-agent".to_owned(),
            endpoints: vec![LocalityLbEndpoints {
                lb_endpoints: vec![endpoint],
                ..LocalityLbEndpoints::default()
            }],
            ..ClusterLoadAssignment::default()
        }),
        typed_extension_protocol_options: [(
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(),
            any(&options),
        )]
        .into(),
        ..Cluster::default()
    }
}

/// An Envoy whose listener echoes to whom it takes; ends when it is dropped.
struct Callee {
    _process: Child,
    listener: PathBuf,
    root: Root,
}

impl Callee {
    async fn start(folder: &Path) -> Self {
        let binary = std::env::var_os("MESHPROOF_ENVOY").expect(
            "MESHPROOF_ENVOY names no Envoy: `cargo xtask test` sets it; by hand, name the `envoy` of the assets",
        );
        let root = Root::new();
        let socket = folder.join("sds.sock");
        let secrets = UnixListener::bind(&socket).expect("a socket");
        let serving = Server::builder()
            .add_service(SecretDiscoveryServiceServer::new(Secrets::of(&root)))
            .serve_with_incoming(UnixListenerStream::new(secrets));
        tokio::spawn(serving);
        let listener = folder.join("callee.sock");
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
        let bootstrap = Bootstrap {
            node: Some(Node {
                id: "test".to_owned(),
                cluster: "test".to_owned(),
                ..Node::default()
            }),
            static_resources: Some(StaticResources {
                listeners: vec![Listener {
                    name: "callee".to_owned(),
                    address: pipe(&listener),
                    filter_chains: vec![chain],
                    ..Listener::default()
                }],
                clusters: vec![node_agent(&socket)],
                ..StaticResources::default()
            }),
            ..Bootstrap::default()
        };
        let file = folder.join("bootstrap.pb");
        std::fs::write(&file, bootstrap.encode_to_vec()).expect("written");
        let process = Command::new(binary)
            .args(["--use-dynamic-base-id", "--concurrency", "1"])
            .args(["--log-level", "warning", "--config-path"])
            .arg(file)
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        Self {
            _process: process,
            listener,
            root,
        }
    }

    /// One connection, and a word there and back.
    async fn greet(&self, shown: Option<Shown>) -> std::io::Result<()> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from(self.root.der.clone());
        roots.add(root).expect("a root");
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("a version")
            .with_root_certificates(roots);
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

    /// Waits until the right client is taken: Envoy tells nobody when its listener has its certificate.
    async fn until_it_serves(&self) {
        let serves = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if self.greet(self.root.client(None)).await.is_ok() {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(3 * PATIENCE, serves).await;
        in_time.expect("Envoy serves the right client");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_callee_refuses_each_flaw_with_the_alert_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let callee = Callee::start(folder.path()).await;
    callee.until_it_serves().await;
    let mut ends = Vec::new();
    for (flaw, _) in FLAWS {
        let refused = callee.greet(callee.root.client(Some(flaw))).await;
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
    let again = callee.greet(callee.root.client(None)).await;
    again.expect("the right client is still taken");
}
