//! The ADS service as a client sees it, over loopback, with identities told by the test. `MESHPROOF_ENVOY` names
//! the Envoy that is a client, too; `cargo xtask test` sets it.

use control_plane::authenticate::{AuthenticateError, Authenticator, PodClaim};
use control_plane::behaviour::Faithful;
use control_plane::metrics::Metrics;
use control_plane::service::{DiscoveryService, Shared};
use control_plane::snapshot::Kind;
use control_plane::world::{
    Endpoint, Policy, Scope, Service, Services, Sidecar, World, WorldStore,
};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::envoy::service::runtime::v3::Runtime;
use envoy_types::pb::google::rpc::Status as RpcStatus;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mesh_api::{
    Destination, HeaderMatch, PolicyConfigSpec, RoutingRule, RuleMatch, ScopeConfigSpec, ScopeEntry,
};
use prost::Message as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Streaming};

const PATIENCE: Duration = Duration::from_secs(10);

/// Takes a token for the UID of a pod.
struct Trusting;

impl Authenticator for Trusting {
    fn authenticate(&self, token: String) -> BoxFuture<'_, Result<PodClaim, AuthenticateError>> {
        let claim = match token.split_once('/') {
            Some((namespace, uid)) => Ok(PodClaim {
                namespace: namespace.into(),
                uid: uid.into(),
            }),
            None => Err(AuthenticateError::Unbound),
        };
        async { claim }.boxed()
    }
}

struct Replica {
    address: SocketAddr,
    store: WorldStore,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
}

async fn replica(world: World) -> Replica {
    let store = WorldStore::new();
    store.publish(Arc::new(world));
    let shutdown = CancellationToken::new();
    let shared = Arc::new(Shared::new(
        "replica-0",
        store.clone(),
        Arc::new(Faithful),
        Arc::new(Trusting),
        Arc::new(Metrics::new()),
        shutdown.clone(),
    ));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = Server::builder()
        .add_service(DiscoveryService::new(shared.clone()))
        .serve_with_incoming_shutdown(
            TcpListenerStream::new(listener),
            shutdown.clone().cancelled_owned(),
        );
    tokio::spawn(server);
    Replica {
        address,
        store,
        shared,
        shutdown,
    }
}

fn world(toggle: &str) -> World {
    let sidecar = |name: &str, zone: &str, ip: &str| {
        let sidecar = Sidecar {
            pod: name.into(),
            uid: name.into(),
            data_center: zone.into(),
            ip: ip.parse().expect("an address"),
            ..Sidecar::default()
        };
        (sidecar.uid.clone(), Arc::new(sidecar))
    };
    let scope = ScopeConfigSpec {
        entries: vec![ScopeEntry {
            data_center: Some("east".into()),
            ..ScopeEntry::default()
        }],
        except: vec![],
    };
    let rule = RoutingRule {
        name: "canary".into(),
        service: "checkout".into(),
        condition: RuleMatch {
            path_prefix: Some("/new".into()),
            path_regex: None,
            headers: vec![HeaderMatch {
                name: "x-user".into(),
                value: "a".into(),
            }],
        },
        to: vec![
            Destination {
                service: "checkout".into(),
                weight: 3,
            },
            Destination {
                service: "elsewhere".into(),
                weight: 1,
            },
        ],
        ..RoutingRule::default()
    };
    let policy = Policy {
        name: "p".into(),
        uid: "p".into(),
        generation: 1,
        created: 0,
        spec: PolicyConfigSpec {
            scope_ref: "east".into(),
            toggles: [("key".to_owned(), toggle.into())].into(),
            rules: vec![rule],
            ..PolicyConfigSpec::default()
        },
    };
    let endpoint = |ip: &str, zone: &str| Endpoint {
        ip: ip.parse().expect("an address"),
        port: 8080,
        region: "r".into(),
        zone: zone.into(),
    };
    let service = Service {
        ports: [(
            8080,
            vec![endpoint("10.0.0.1", "east"), endpoint("10.0.0.2", "west")],
        )]
        .into(),
        accounts: ["checkout".to_owned()].into(),
        ..Service::default()
    };
    World {
        namespace: "mesh-workloads".into(),
        policies: [("p".to_owned(), Arc::new(policy))].into(),
        scopes: [(
            "east".to_owned(),
            Arc::new(Scope {
                name: "east".into(),
                uid: "east".into(),
                generation: 1,
                spec: scope,
            }),
        )]
        .into(),
        services: Arc::new(Services::new([("checkout".to_owned(), service)].into())),
        sidecars: [
            sidecar("inside", "east", "10.0.0.1"),
            sidecar("outside", "west", "10.0.0.2"),
        ]
        .into(),
        ..World::default()
    }
}

struct Client {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

impl Client {
    async fn connect(address: SocketAddr, token: &str) -> Result<Self, tonic::Status> {
        let channel = Channel::from_shared(format!("http://{address}"))
            .expect("a URI")
            .connect()
            .await
            .expect("listens");
        let (requests, receiver) = mpsc::channel(8);
        let mut request = Request::new(ReceiverStream::new(receiver));
        if !token.is_empty() {
            let value = format!("Bearer {token}").parse().expect("a header value");
            request.metadata_mut().insert("authorization", value);
        }
        let mut service = AggregatedDiscoveryServiceClient::new(channel);
        let response = service.stream_aggregated_resources(request);
        let responses = tokio::time::timeout(PATIENCE, response)
            .await
            .expect("an answer")?
            .into_inner();
        Ok(Self {
            requests,
            responses,
        })
    }

    async fn ask(&self, kind: Kind, names: &[&str], nonce: &str, error: Option<&str>) {
        let request = DiscoveryRequest {
            type_url: kind.url().into(),
            resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
            response_nonce: nonce.into(),
            error_detail: error.map(|message| RpcStatus {
                message: message.into(),
                ..RpcStatus::default()
            }),
            ..DiscoveryRequest::default()
        };
        self.requests
            .send(request)
            .await
            .expect("the stream is open");
    }

    async fn next(&mut self) -> DiscoveryResponse {
        let message = tokio::time::timeout(PATIENCE, self.responses.message()).await;
        message
            .expect("in time")
            .expect("no error")
            .expect("a response")
    }
}

fn toggles(response: &DiscoveryResponse) -> usize {
    let runtime = Runtime::decode(response.resources[0].value.as_slice()).expect("a runtime layer");
    runtime.layer.expect("a layer").fields.len()
}

#[tokio::test]
async fn scope_follows_identity_and_updates_are_pushed_at_once() {
    let replica = replica(world("on")).await;
    let mut inside = Client::connect(replica.address, "mesh-workloads/inside")
        .await
        .expect("admitted");
    let mut outside = Client::connect(replica.address, "mesh-workloads/outside")
        .await
        .expect("admitted");
    for (client, expected) in [(&mut inside, 1), (&mut outside, 0)] {
        client.ask(Kind::Runtime, &["mesh"], "", None).await;
        let response = client.next().await;
        assert_eq!(toggles(&response), expected);
        assert_eq!(
            response
                .control_plane
                .as_ref()
                .map(|c| c.identifier.as_str()),
            Some("replica-0")
        );
        client
            .ask(Kind::Runtime, &["mesh"], &response.nonce, None)
            .await;
    }

    replica.store.publish(Arc::new(world("off")));
    let updated = inside.next().await;
    inside
        .ask(Kind::Runtime, &["mesh"], &updated.nonce, Some("no"))
        .await;
    replica.store.publish(Arc::new(world("on")));
    let restored = inside.next().await;
    assert_ne!(updated.version_info, restored.version_info);

    // A client out of scope is sent what is for it, and that shows that nothing else was.
    outside.ask(Kind::Clusters, &[], "", None).await;
    assert_eq!(outside.next().await.type_url, Kind::Clusters.url());
    assert_eq!(replica.shared.acknowledgements.report().recipients.len(), 2);
}

#[tokio::test]
async fn who_cannot_prove_who_it_is_gets_nothing() {
    let replica = replica(world("on")).await;
    let refusal = |token: &'static str| {
        let address = replica.address;
        async move {
            Client::connect(address, token)
                .await
                .err()
                .map(|status| status.code())
        }
    };
    assert_eq!(refusal("").await, Some(Code::Unauthenticated));
    assert_eq!(refusal("nonsense").await, Some(Code::Unauthenticated));
    assert_eq!(
        refusal("elsewhere/inside").await,
        Some(Code::PermissionDenied)
    );
}

#[tokio::test]
async fn a_pod_that_is_not_known_yet_is_waited_for() {
    let mut early = world("on");
    let late = early.sidecars.remove("inside").expect("is there");
    let replica = replica(early.clone()).await;
    let connects = tokio::spawn(Client::connect(replica.address, "mesh-workloads/inside"));
    early.sidecars.insert("inside".into(), late);
    replica.store.publish(Arc::new(early));
    assert!(connects.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn a_replica_that_goes_ends_its_streams() {
    let replica = replica(world("on")).await;
    let mut client = Client::connect(replica.address, "mesh-workloads/inside")
        .await
        .expect("admitted");
    replica.shutdown.cancel();
    let ended = tokio::time::timeout(PATIENCE, client.responses.message())
        .await
        .expect("in time");
    assert_eq!(
        ended.err().map(|status| status.code()),
        Some(Code::Unavailable)
    );
}

#[tokio::test]
async fn a_real_envoy_accepts_every_type() {
    let binary = std::env::var_os("MESHPROOF_ENVOY").expect(
        "MESHPROOF_ENVOY names no Envoy: `cargo xtask test` sets it; by hand, name the `envoy` of the assets",
    );
    let replica = replica(world("on")).await;
    let file = std::env::temp_dir().join(format!(
        "meshproof-control-plane-{}.json",
        std::process::id()
    ));
    std::fs::write(&file, bootstrap(replica.address).to_string()).expect("written");
    let mut envoy = tokio::process::Command::new(binary)
        .args([
            "--use-dynamic-base-id",
            "--log-level",
            "warning",
            "--config-path",
        ])
        .arg(&file)
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let mut revisions = replica.shared.acknowledgements.subscribe();
    let holds = revisions.wait_for(|_| {
        let metrics = &replica.shared.metrics;
        metrics.kinds.values().all(|kind| {
            use std::sync::atomic::Ordering::Relaxed;
            kind.acknowledged.load(Relaxed) + kind.rejected.load(Relaxed) > 0
        })
    });
    // What the wait returns holds a lock that the server needs to end the stream.
    let in_time = tokio::time::timeout(PATIENCE, holds).await.is_ok();
    envoy.kill().await.expect("was running");
    std::fs::remove_file(&file).expect("was written");
    let text = replica.shared.metrics.text();
    assert!(in_time, "{text}");
    for kind in Kind::ALL {
        let accepted = format!("rejected_total{{type=\"{}\"}} 0\n", kind.short());
        assert!(text.contains(&accepted), "{text}");
    }
}

fn bootstrap(address: SocketAddr) -> serde_json::Value {
    let ads = serde_json::json!({"ads": {}, "resource_api_version": "V3"});
    serde_json::json!({
        "node": {"id": "test", "cluster": "test"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{
                    "envoy_grpc": {"cluster_name": "xds"},
                    "initial_metadata": [{"key": "authorization", "value": "Bearer mesh-workloads/inside"}]
                }]
            },
            "lds_config": ads,
            "cds_config": ads
        },
        "layered_runtime": {"layers": [{"name": "mesh", "rtds_layer": {"name": "mesh", "rtds_config": ads}}]},
        "static_resources": {"clusters": [{
            "name": "xds",
            "type": "STATIC",
            "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [{"endpoint": {"address":
                {"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}}
            }}]}]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}}
            }}
        }]}
    })
}
