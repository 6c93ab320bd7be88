//! Services and where they lead, from Services and EndpointSlices; read by the service proxy and the name server.

use crate::follow::{Recoveries, follow};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::{reflector, watcher};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// All services at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Services(pub(crate) BTreeMap<(String, String), ServiceView>);

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceView {
    /// Its virtual address; none for a headless one.
    pub(crate) address: Option<Ipv4Addr>,
    /// `CNAME` of an ExternalName service.
    pub(crate) external_name: Option<String>,
    pub(crate) ports: Vec<ServicePortView>,
    /// Ready endpoints, in order of their addresses.
    pub(crate) endpoints: Vec<EndpointView>,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePortView {
    pub(crate) name: String,
    /// `tcp` or `udp`.
    pub(crate) protocol: String,
    pub(crate) port: u16,
}

/// One ready endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EndpointView {
    pub(crate) address: Ipv4Addr,
    pub(crate) host_name: Option<String>,
    /// By name of the service's port.
    pub(crate) ports: BTreeMap<String, u16>,
}

impl Services {
    /// Puts services and slices together.
    pub(crate) fn build(services: &[Arc<Service>], slices: &[Arc<EndpointSlice>]) -> Self {
        let mut table = BTreeMap::new();
        for service in services {
            let Some(spec) = &service.spec else {
                continue;
            };
            let metadata = &service.metadata;
            let (Some(namespace), Some(name)) = (metadata.namespace.clone(), metadata.name.clone())
            else {
                continue;
            };
            let ports = spec.ports.iter().flatten().filter_map(|port| {
                Some(ServicePortView {
                    name: port.name.clone().unwrap_or_default(),
                    protocol: port
                        .protocol
                        .as_deref()
                        .unwrap_or("TCP")
                        .to_ascii_lowercase(),
                    port: u16::try_from(port.port).ok()?,
                })
            });
            let view = ServiceView {
                address: spec
                    .cluster_ip
                    .as_ref()
                    .and_then(|address| address.parse().ok()),
                external_name: (spec.type_.as_deref() == Some("ExternalName"))
                    .then(|| spec.external_name.clone())
                    .flatten(),
                ports: ports.collect(),
                endpoints: Vec::new(),
            };
            table.insert((namespace, name), view);
        }
        for slice in slices {
            let Some(view) = owner(slice).and_then(|owner| table.get_mut(&owner)) else {
                continue;
            };
            view.endpoints.extend(endpoints(slice));
        }
        for view in table.values_mut() {
            view.endpoints.sort();
            view.endpoints.dedup();
        }
        Self(table)
    }

    /// Address and port of the API server's service.
    pub(crate) fn api_server(&self) -> Option<(Ipv4Addr, u16)> {
        let view = self
            .0
            .get(&("default".to_owned(), "kubernetes".to_owned()))?;
        Some((view.address?, view.ports.first()?.port))
    }
}

fn owner(slice: &EndpointSlice) -> Option<(String, String)> {
    let name = slice
        .metadata
        .labels
        .as_ref()?
        .get("kubernetes.io/service-name")?;
    let namespace = slice.metadata.namespace.clone()?;
    (slice.address_type == "IPv4").then(|| (namespace, name.clone()))
}

fn endpoints(slice: &EndpointSlice) -> impl Iterator<Item = EndpointView> + '_ {
    let ports: BTreeMap<String, u16> = slice
        .ports
        .iter()
        .flatten()
        .filter_map(|port| {
            Some((
                port.name.clone().unwrap_or_default(),
                u16::try_from(port.port?).ok()?,
            ))
        })
        .collect();
    slice
        .endpoints
        .iter()
        .filter(|endpoint| {
            // What is not known counts as ready.
            endpoint
                .conditions
                .as_ref()
                .and_then(|conditions| conditions.ready)
                .unwrap_or(true)
        })
        .filter_map(move |endpoint| {
            Some(EndpointView {
                address: endpoint.addresses.first()?.parse().ok()?,
                host_name: endpoint.hostname.clone(),
                ports: ports.clone(),
            })
        })
}

/// The newest services, shared.
#[derive(Clone, Debug)]
pub(crate) struct ServiceTable(watch::Receiver<Arc<Services>>);

impl ServiceTable {
    /// The services now.
    pub(crate) fn current(&self) -> Arc<Services> {
        self.0.borrow().clone()
    }

    /// Waits for a change since this or [`newest`](Self::newest) was called last.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The services now; only what comes later is a change.
    pub(crate) fn newest(&mut self) -> Arc<Services> {
        self.0.borrow_and_update().clone()
    }
}

/// The table, and the work that keeps it new.
pub(crate) fn watch(
    client: kube::Client,
    recoveries: Recoveries,
) -> (ServiceTable, impl Future<Output = ()> + Send) {
    let (sender, receiver) = watch::channel(Arc::default());
    (ServiceTable(receiver), keep_new(client, recoveries, sender))
}

async fn keep_new(
    client: kube::Client,
    recoveries: Recoveries,
    table: watch::Sender<Arc<Services>>,
) {
    let changed = Notify::new();
    let (services, mut service_writer) = reflector::store::<Service>();
    let (slices, mut slice_writer) = reflector::store::<EndpointSlice>();
    let config = watcher::Config::default;
    let follow_services = follow(
        Api::all(client.clone()),
        config(),
        recoveries.clone(),
        |event| {
            service_writer.apply_watcher_event(&event);
            changed.notify_one();
        },
    );
    let follow_slices = follow(Api::all(client), config(), recoveries, |event| {
        slice_writer.apply_watcher_event(&event);
        changed.notify_one();
    });
    let rebuild = async {
        // A table without endpoints would refuse connections that have always worked.
        if services.wait_until_ready().await.is_err() || slices.wait_until_ready().await.is_err() {
            return;
        }
        loop {
            let newest = Services::build(&services.state(), &slices.state());
            table.send_if_modified(|known| {
                let differs = **known != newest;
                if differs {
                    *known = Arc::new(newest);
                }
                differs
            });
            changed.notified().await;
        }
    };
    tokio::join!(follow_services, follow_slices, rebuild);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    impl ServiceTable {
        /// A table that has nothing yet, and what changes it.
        pub(crate) fn channel() -> (watch::Sender<Arc<Services>>, Self) {
            let (sender, receiver) = watch::channel(Arc::default());
            (sender, Self(receiver))
        }
    }

    impl Default for ServicePortView {
        fn default() -> Self {
            Self {
                name: String::new(),
                protocol: "tcp".to_owned(),
                port: 0,
            }
        }
    }

    impl Default for EndpointView {
        fn default() -> Self {
            Self {
                address: Ipv4Addr::UNSPECIFIED,
                host_name: None,
                ports: BTreeMap::new(),
            }
        }
    }

    #[test]
    fn only_ready_ipv4_endpoints_of_the_service_count() {
        let service: Service = serde_json::from_value(json!({
            "metadata": {"namespace": "n", "name": "s"},
            "spec": {"clusterIP": "10.96.0.9", "ports": [{"name": "web", "port": 80}]}}))
        .unwrap();
        let slice = |name: &str, kind: &str, endpoints: serde_json::Value| -> Arc<EndpointSlice> {
            let slice = json!({
                "metadata": {"namespace": "n", "name": name, "labels": {"kubernetes.io/service-name": "s"}},
                "addressType": kind, "ports": [{"name": "web", "port": 8080}], "endpoints": endpoints});
            Arc::new(serde_json::from_value(slice).unwrap())
        };
        let slices = [
            slice(
                "a",
                "IPv4",
                json!([
                {"addresses": ["10.1.0.2"], "conditions": {"ready": true}},
                {"addresses": ["10.1.0.3"], "conditions": {"ready": false}}]),
            ),
            slice("b", "IPv4", json!([{"addresses": ["10.1.0.1"]}])),
            slice("c", "IPv6", json!([{"addresses": ["fd00::1"]}])),
        ];
        let table = Services::build(&[Arc::new(service)], &slices);
        let view = &table.0[&("n".to_owned(), "s".to_owned())];
        let addresses: Vec<u8> = view
            .endpoints
            .iter()
            .map(|endpoint| endpoint.address.octets()[3])
            .collect();
        assert_eq!(addresses, [1, 2]);
        assert_eq!(view.endpoints[0].ports["web"], 8080);
        assert_eq!(view.ports[0].protocol, "tcp");
    }
}
