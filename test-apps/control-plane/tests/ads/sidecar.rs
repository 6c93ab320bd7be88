//! A real Envoy with the listeners and clusters of the control plane, but without its streams, and with secrets of the test's
//! own authority in place of the node agent's. `MESHPROOF_ENVOY` names the Envoy; `cargo xtask test` sets it.

use crate::authority::{Root, dns, params, pem, uri};
use crate::replica::replica;
use crate::{Client, PATIENCE};
use control_plane::snapshot::Kind;
use control_plane::world::World;
use envoy_types::pb::envoy::config::bootstrap::v3::{Admin, Bootstrap, bootstrap::StaticResources};
use envoy_types::pb::envoy::config::cluster::v3::{
    Cluster,
    cluster::{ClusterDiscoveryType, DiscoveryType},
};
use envoy_types::pb::envoy::config::core::v3::{
    Address, DataSource, Http2ProtocolOptions, Node, Pipe, address, data_source::Specifier,
};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use envoy_types::pb::envoy::config::listener::v3::Listener;
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
use prost::{Message as _, Name};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// The sidecar also has a name that a client of the test can verify it by.
pub(crate) const CALLEE: &str = "callee.test";

/// What the control plane gives to a sidecar in this world: its listener for what comes in, and all its clusters.
pub(crate) async fn inbound(world: World) -> (Listener, Vec<Cluster>) {
    let replica = replica(world).await;
    let client = Client::connect(replica.address, "mesh-workloads/inside").await;
    let mut client = client.expect("admitted");
    client.ask(Kind::Listeners, &[], "", None).await;
    let response = client.next().await;
    let mut listeners = response
        .resources
        .iter()
        .map(|any| Listener::decode(any.value.as_slice()).expect("a listener"));
    let listener = listeners.find(|listener| listener.name == "inbound");
    client.ask(Kind::Clusters, &[], "", None).await;
    let response = client.next().await;
    let clusters = response
        .resources
        .iter()
        .map(|any| Cluster::decode(any.value.as_slice()).expect("a cluster"))
        .collect();
    drop(client);
    replica.go().await;
    (listener.expect("a listener for what comes in"), clusters)
}

/// The socket of the admin interface of an Envoy that was started in this folder.
pub(crate) fn admin(folder: &Path) -> PathBuf {
    folder.join("admin.sock")
}

/// Starts an Envoy with these, which ends when it is dropped. Its secrets are of `root`.
pub(crate) fn start(
    folder: &Path,
    root: &Root,
    listener: Listener,
    clusters: impl IntoIterator<Item = Cluster>,
) -> Child {
    let binary = std::env::var_os("MESHPROOF_ENVOY").expect(
        "MESHPROOF_ENVOY names no Envoy: `cargo xtask test` sets it; by hand, name the `envoy` of the assets",
    );
    let socket = folder.join("sds.sock");
    let secrets = UnixListener::bind(&socket).expect("a socket");
    let serving = Server::builder()
        .add_service(SecretDiscoveryServiceServer::new(Secrets::of(root)))
        .serve_with_incoming(UnixListenerStream::new(secrets));
    tokio::spawn(serving);
    let bootstrap = Bootstrap {
        admin: Some(Admin {
            address: pipe(&admin(folder)),
            ..Admin::default()
        }),
        node: Some(Node {
            id: "test".to_owned(),
            cluster: "test".to_owned(),
            ..Node::default()
        }),
        static_resources: Some(StaticResources {
            listeners: vec![listener],
            clusters: [node_agent(&socket)].into_iter().chain(clusters).collect(),
            ..StaticResources::default()
        }),
        ..Bootstrap::default()
    };
    let file = folder.join("bootstrap.pb");
    std::fs::write(&file, bootstrap.encode_to_vec()).expect("written");
    Command::new(binary)
        .args(["--use-dynamic-base-id", "--concurrency", "1"])
        .args(["--log-level", "warning", "--config-path"])
        .arg(file)
        // What it says of each connection is for a launcher.
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("starts")
}

/// Tries until it succeeds: Envoy tells nobody when its listener is there and has its certificate.
pub(crate) async fn until_ok<T, E>(attempt: impl AsyncFn() -> Result<T, E>) -> T {
    let succeeds = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Ok(done) = attempt().await {
                return done;
            }
        }
    };
    let in_time = tokio::time::timeout(3 * PATIENCE, succeeds).await;
    in_time.expect("Envoy serves")
}

/// Serves the sidecar's certificate and the roots, in the node agent's place.
#[derive(Clone)]
struct Secrets(Arc<Vec<Secret>>);

impl Secrets {
    fn of(root: &Root) -> Self {
        let mut own = params(Some(uri("spiffe://mesh.local/ns/a/sa/checkout")));
        own.subject_alt_names.push(dns(CALLEE));
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

pub(crate) fn any<M: prost::Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

pub(crate) fn pipe(path: &Path) -> Option<Address> {
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
    Cluster {
        name: "node-agent".to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        load_assignment: leads_to("node-agent", pipe(socket)),
        typed_extension_protocol_options: [(
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(),
            any(&options),
        )]
        .into(),
        ..Cluster::default()
    }
}

/// The one endpoint of a cluster.
pub(crate) fn leads_to(cluster: &str, address: Option<Address>) -> Option<ClusterLoadAssignment> {
    let endpoint = LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address,
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    };
    Some(ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: vec![endpoint],
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    })
}
