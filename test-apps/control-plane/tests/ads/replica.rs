//! A replica of the control plane in this process, on loopback, with identities and a world told by the test.

use crate::PATIENCE;
use control_plane::authenticate::{AuthenticateError, Authenticator, PodClaim};
use control_plane::behaviour::Faithful;
use control_plane::metrics::Metrics;
use control_plane::service::{DiscoveryService, Shared};
use control_plane::world::{
    Endpoint, Policy, Scope, Service, Services, Sidecar, World, WorldStore,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mesh_api::{
    Destination, HeaderMatch, PolicyConfigSpec, RoutingRule, RuleMatch, ScopeConfigSpec,
    ScopeEntry, TlsPolicy,
};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

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

pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    pub(crate) store: WorldStore,
    pub(crate) shared: Arc<Shared>,
    pub(crate) shutdown: CancellationToken,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Replica {
    /// Goes, and returns when nothing listens at its address any more.
    pub(crate) async fn go(self) -> SocketAddr {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.server).await;
        ended
            .expect("in time")
            .expect("no panic")
            .expect("served to the end");
        self.address
    }
}

pub(crate) async fn replica(world: World) -> Replica {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    replica_at(anywhere, "replica-0", world).await
}

pub(crate) async fn replica_at(address: SocketAddr, name: &str, world: World) -> Replica {
    let store = WorldStore::new();
    store.publish(Arc::new(world));
    let shutdown = CancellationToken::new();
    let shared = Arc::new(Shared::new(
        name,
        store.clone(),
        Arc::new(Faithful),
        Arc::new(Trusting),
        Arc::new(Metrics::new()),
        shutdown.clone(),
    ));
    let listener = TcpListener::bind(address).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = Server::builder()
        .add_service(DiscoveryService::new(shared.clone()))
        .serve_with_incoming_shutdown(
            TcpListenerStream::new(listener),
            shutdown.clone().cancelled_owned(),
        );
    Replica {
        address,
        store,
        shared,
        shutdown,
        server: tokio::spawn(server),
    }
}

/// A service with two endpoints, and a policy with a toggle and a rule for the east: `inside` is there, `outside` not.
pub(crate) fn world(toggle: &str) -> World {
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

/// [`world`] with a trust domain, whose policy also says this of TLS.
pub(crate) fn world_with(tls: &TlsPolicy) -> World {
    let mut world = World {
        trust_domain: "mesh.local".into(),
        ..world("on")
    };
    for policy in world.policies.values_mut() {
        Arc::make_mut(policy).spec.tls = Some(tls.clone());
    }
    world
}
