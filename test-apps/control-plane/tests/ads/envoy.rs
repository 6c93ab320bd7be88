//! A real Envoy as the client, in both forms. `MESHPROOF_ENVOY` names it; `cargo xtask test` sets it.

use crate::PATIENCE;
use crate::replica::{Replica, replica, replica_at, world};
use control_plane::acknowledgements::State;
use control_plane::metrics::KindMetrics;
use control_plane::snapshot::Kind;
use control_plane::stream::Form;
use control_plane::world::{Services, World};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::process::{Child, Command};

/// An Envoy that runs as long as this is there.
struct Envoy {
    process: Child,
    file: PathBuf,
}

impl Envoy {
    fn start(form: Form, control_plane: SocketAddr) -> Self {
        let binary = std::env::var_os("MESHPROOF_ENVOY").expect(
            "MESHPROOF_ENVOY names no Envoy: `cargo xtask test` sets it; by hand, name the `envoy` of the assets",
        );
        let file = std::env::temp_dir().join(format!(
            "meshproof-control-plane-{}-{}.json",
            std::process::id(),
            control_plane.port()
        ));
        std::fs::write(&file, bootstrap(form, control_plane).to_string()).expect("written");
        let process = Command::new(binary)
            .args(["--use-dynamic-base-id", "--log-level", "warning"])
            .arg("--config-path")
            .arg(&file)
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        Self { process, file }
    }

    async fn end(mut self) {
        self.process.kill().await.expect("was running");
        std::fs::remove_file(&self.file).expect("was written");
    }
}

/// Waits until something holds of the replica; what it counted, as text.
async fn until(replica: &Replica, holds: impl Fn(&Replica) -> bool) -> String {
    let mut revisions = replica.shared.acknowledgements.subscribe();
    let in_time = {
        let wait = revisions.wait_for(|_| holds(replica));
        // What the wait returns holds a lock that the server needs to end the stream.
        tokio::time::timeout(PATIENCE, wait).await.is_ok()
    };
    let text = replica.shared.metrics.text();
    assert!(in_time, "{text}");
    text
}

fn count(
    replica: &Replica,
    kind: Kind,
    counter: impl Fn(&KindMetrics) -> &std::sync::atomic::AtomicU64,
) -> u64 {
    counter(&replica.shared.metrics.kinds[&kind]).load(Ordering::Relaxed)
}

fn has_answered_for_every_type(replica: &Replica) -> bool {
    Kind::ALL.into_iter().all(|kind| {
        count(replica, kind, |m| &m.acknowledged) + count(replica, kind, |m| &m.rejected) > 0
    })
}

/// The policy of the world is held, in this generation.
fn holds_policy(generation: i64) -> impl Fn(&Replica) -> bool {
    move |replica| {
        let report = replica.shared.acknowledgements.report();
        let mut policies = report.recipients.iter().flat_map(|one| &one.policies);
        policies.any(|(_, policy)| {
            policy.generation == generation && policy.state == State::Acknowledged
        })
    }
}

/// The world with its policy in a later generation.
fn later(toggle: &str, generation: i64) -> World {
    let mut world = world(toggle);
    for policy in world.policies.values_mut() {
        Arc::make_mut(policy).generation = generation;
    }
    world
}

async fn accepts_every_type(form: Form) {
    let replica = replica(world("on")).await;
    let envoy = Envoy::start(form, replica.address);
    let text = until(&replica, has_answered_for_every_type).await;
    envoy.end().await;
    for kind in Kind::ALL {
        let accepted = format!("rejected_total{{type=\"{}\"}} 0\n", kind.short());
        assert!(text.contains(&accepted), "{text}");
    }
    let served = format!("streams_by_form{{form=\"{}\"}} 1\n", form.short());
    assert!(text.contains(&served), "{text}");
}

#[tokio::test]
async fn a_real_envoy_accepts_every_type() {
    accepts_every_type(Form::StateOfTheWorld).await;
}

#[tokio::test]
async fn a_real_envoy_accepts_every_type_over_delta() {
    accepts_every_type(Form::Delta).await;
}

#[tokio::test]
async fn a_real_envoy_that_comes_back_is_sent_only_what_it_lacks() {
    let first = replica(later("on", 1)).await;
    let envoy = Envoy::start(Form::Delta, first.address);
    until(&first, |replica| {
        has_answered_for_every_type(replica) && holds_policy(1)(replica)
    })
    .await;
    let address = first.go().await;

    let second = replica_at(address, "replica-1", later("on", 1)).await;
    let text = until(&second, holds_policy(1)).await;
    let resources = |replica: &Replica| -> u64 {
        let of = |kind| count(replica, kind, |m| &m.resources);
        // Endpoints are sent again to whoever comes back.
        let may_rest = Kind::ALL
            .into_iter()
            .filter(|kind| *kind != Kind::Endpoints);
        may_rest.map(of).sum()
    };
    assert_eq!(resources(&second), 0, "it had everything:\n{text}");

    second.store.publish(Arc::new(later("off", 2)));
    let text = until(&second, holds_policy(2)).await;
    assert_eq!(resources(&second), 1, "one runtime layer:\n{text}");

    let without = World {
        services: Arc::new(Services::new([].into())),
        ..later("off", 3)
    };
    second.store.publish(Arc::new(without));
    let text = until(&second, holds_policy(3)).await;
    envoy.end().await;
    assert!(
        count(&second, Kind::Clusters, |m| &m.removed) > 0,
        "the service's cluster is told as gone:\n{text}"
    );
    assert!(!text.contains("rejected_total{type=\"CDS\"} 1"), "{text}");
}

fn bootstrap(form: Form, address: SocketAddr) -> serde_json::Value {
    let ads = serde_json::json!({"ads": {}, "resource_api_version": "V3"});
    serde_json::json!({
        "node": {"id": "test", "cluster": "test"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": match form {
                    Form::StateOfTheWorld => "GRPC",
                    Form::Delta => "DELTA_GRPC",
                },
                "transport_api_version": "V3",
                "grpc_services": [{
                    "envoy_grpc": {
                        "cluster_name": "xds",
                        "retry_policy": {"retry_back_off": {"base_interval": "0.03s", "max_interval": "0.1s"}}
                    },
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
