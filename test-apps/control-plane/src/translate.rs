//! From the world and what a sidecar is to hold to Envoy's resources.
//!
//! Whatever is equal for two sidecars is made and encoded once: clusters for all that offer the same TLS and speak one form of xDS, endpoints for
//! a zone, routes for equal rules, runtime for equal toggles. Only the listeners are a sidecar's own, since they say its
//! name.
//!
//! Invariant: pure but for the memory of what was made already.

mod cluster;
mod endpoint;
mod listener;
mod message;
mod route;
mod runtime;
mod tls;

use crate::behaviour::{Security, Traffic};
use crate::effective::Effective;
use crate::snapshot::{Kind, Resource, Resources, Snapshot};
use crate::stream::Form;
use crate::world::{Services, Sidecar, World};
use mesh_api::{OutboundTls, RoutingRule, TlsPolicy};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The port that captured outbound connections are redirected to.
pub const OUTBOUND_PORT: u16 = 15001;
/// The port that captured inbound connections are redirected to.
pub const INBOUND_PORT: u16 = 15006;
/// The name of the outbound route configuration.
pub const OUTBOUND_ROUTES: &str = "outbound";
/// The name of the runtime layer.
pub const RUNTIME_LAYER: &str = "mesh";

/// How many sets of resources are remembered before all are forgotten.
const REMEMBERED: usize = 4096;

/// Makes snapshots and remembers what it made.
#[derive(Debug, Default)]
pub struct Translator {
    made: Mutex<HashMap<Ingredients, Arc<Resources>>>,
}

/// Everything that a set of resources depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Ingredients {
    Clusters([u8; 32], OutboundTls, Form),
    Endpoints([u8; 32], String, Arc<BTreeSet<IpAddr>>),
    Listeners([u8; 32], String, TlsPolicy, Form),
    Routes([u8; 32], Vec<RoutingRule>),
    Runtime(BTreeMap<String, String>),
}

impl Translator {
    /// Makes the snapshot of one sidecar, which fetches its secrets in `form` too. `traffic` and `security` must be the
    /// same in every call.
    #[must_use]
    pub fn snapshot(
        &self,
        world: &World,
        sidecar: &Sidecar,
        effective: &Effective,
        traffic: Traffic,
        security: Security,
        form: Form,
    ) -> Snapshot {
        let services = &*world.services;
        let namespace = &world.namespace;
        let hash = services.hash;
        let zone = &sidecar.data_center;
        let outbound = effective.tls.outbound.unwrap_or_default();
        let tls = TlsPolicy {
            outbound: Some(outbound),
            ..effective.tls.clone()
        };
        let resources = [
            (
                Kind::Clusters,
                self.make(Ingredients::Clusters(hash, outbound, form), || {
                    cluster::clusters(world, outbound, traffic, security, form)
                }),
            ),
            (
                Kind::Endpoints,
                self.make(
                    Ingredients::Endpoints(hash, zone.clone(), Arc::clone(&world.takes_tls)),
                    || endpoint::assignments(world, zone, traffic),
                ),
            ),
            (
                Kind::Listeners,
                self.make(
                    Ingredients::Listeners(hash, sidecar.pod.clone(), tls.clone(), form),
                    || listener::listeners(world, &sidecar.pod, &tls, traffic, security, form),
                ),
            ),
            (
                Kind::Routes,
                self.make(Ingredients::Routes(hash, effective.rules.clone()), || {
                    route::configurations(services, namespace, &effective.rules, traffic)
                }),
            ),
            (
                Kind::Runtime,
                self.make(Ingredients::Runtime(effective.toggles.clone()), || {
                    runtime::layers(&effective.toggles)
                }),
            ),
        ];
        Snapshot {
            resources: resources.into(),
            basis: Arc::new(effective.basis.clone()),
        }
    }

    fn make(&self, ingredients: Ingredients, make: impl FnOnce() -> Resources) -> Arc<Resources> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resources) = made.get(&ingredients) {
            return resources.clone();
        }
        if made.len() >= REMEMBERED {
            made.clear();
        }
        let resources = Arc::new(make());
        made.insert(ingredients, resources.clone());
        resources
    }
}

/// `NAME.NAMESPACE:PORT`, the name of a service port's cluster.
fn cluster_name(service: &str, namespace: &str, port: u16) -> String {
    format!("{service}.{namespace}:{port}")
}

/// What a port carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carries {
    /// HTTP, gRPC among it.
    Requests,
    /// Something of which nothing is known.
    Bytes,
}

/// The pod ports that some service leads to, and what they carry: requests if one of the services says so.
fn inbound_ports(services: &Services) -> BTreeMap<u16, Carries> {
    let mut ports = BTreeMap::new();
    for service in services.by_name.values() {
        for (port, endpoints) in &service.ports {
            let carries = if service.bytes.contains(port) {
                Carries::Bytes
            } else {
                Carries::Requests
            };
            for endpoint in endpoints {
                let known = ports.entry(endpoint.port).or_insert(carries);
                if carries == Carries::Requests {
                    *known = carries;
                }
            }
        }
    }
    ports
}

fn resources(kind: Kind, messages: impl IntoIterator<Item = (String, Vec<u8>)>) -> Resources {
    messages
        .into_iter()
        .map(|(name, message)| (name, Resource::new(kind, message)))
        .collect()
}

#[cfg(test)]
mod tests;
