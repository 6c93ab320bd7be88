//! From the answers of Envoy's admin interface to [`Sidecar`]: pure, so that it is tested without a sidecar.

mod endpoints;
mod resources;
mod stats;

pub(crate) use stats::{CHANGE_FILTER, Stats};

use crate::canonical;
use probe_api::launcher::LauncherState;
use probe_api::state::{ControlPlaneConnection, Resource, Route, Sidecar, TypeState};
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything one pass over the admin interface and the launcher brought. The lists are what
/// `/config_dump?resource=NAME` shows: the whole dump repeats the bootstrap with every extension each time.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    /// What does not change while the sidecar process runs.
    pub about: About,
    /// `dynamic_listeners`.
    pub listeners: Value,
    /// `dynamic_route_configs`.
    pub route_configurations: Value,
    /// `dynamic_active_clusters`.
    pub active_clusters: Value,
    /// `dynamic_warming_clusters`.
    pub warming_clusters: Value,
    /// `dynamic_endpoint_configs`.
    pub load_assignments: Value,
    /// `/runtime`.
    pub runtime: Value,
    /// `/clusters?format=json`.
    pub clusters: Value,
    /// The filtered `/stats`.
    pub stats: Stats,
    /// The launcher's state; default where there is no launcher.
    pub launcher: LauncherState,
}

/// What does not change while the sidecar process runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// The sidecar's version.
    version: String,
    /// The runtime layers that come over RTDS.
    delivered_layers: Vec<String>,
}

impl About {
    /// From `/server_info` and the whole `/config_dump`.
    pub(crate) fn new(server: &Value, configuration: &Value) -> Self {
        let layers = list(configuration)
            .filter_map(|section| section.pointer("/bootstrap/layered_runtime/layers"))
            .filter_map(Value::as_array)
            .flatten()
            .filter(|layer| layer.get("rtds_layer").is_some())
            .filter_map(|layer| layer["name"].as_str())
            .map(str::to_owned)
            .collect();
        Self {
            version: server["version"].as_str().unwrap_or_default().to_owned(),
            delivered_layers: layers,
        }
    }
}

/// What the sidecar holds.
pub(crate) fn sidecar(pass: &Pass) -> Sidecar {
    let runtime = runtime(pass);
    let mut types = resources::types(pass);
    types.insert("RTDS".to_owned(), runtime_type(pass, &runtime));
    Sidecar {
        version: pass.about.version.clone(),
        starts: pass.launcher.starts,
        // Envoy's gauge is 0 when it is live; a sidecar that does not show it is not.
        ready: pass.stats.text("server.state") == Some("0"),
        control_plane: ControlPlaneConnection {
            connected: pass.stats.number("control_plane.connected_state") == 1,
            replica: pass
                .stats
                .text("control_plane.identifier")
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            epoch: pass.launcher.epoch,
        },
        routes: routes(pass),
        endpoints: endpoints::endpoints(&pass.clusters),
        runtime,
        types,
    }
}

/// The content hash of what a sidecar holds, without what changes by itself: versions, counters and the
/// health of endpoints.
pub(crate) fn content_hash(sidecar: &Sidecar) -> String {
    let resources: BTreeMap<&String, &BTreeMap<String, Resource>> = sidecar
        .types
        .iter()
        .map(|(name, held)| (name, &held.resources))
        .collect();
    canonical::hash_of(&serde_json::json!({
        "starts": sidecar.starts,
        "ready": sidecar.ready,
        "controlPlane": sidecar.control_plane,
        "resources": resources,
        "runtime": sidecar.runtime,
        "routes": sidecar.routes,
    }))
}

/// The items of a configuration dump.
fn list(dump: &Value) -> impl Iterator<Item = &Value> {
    dump["configs"].as_array().into_iter().flatten()
}

/// The layers that come over RTDS, with what the sidecar holds of them.
fn runtime(pass: &Pass) -> BTreeMap<String, BTreeMap<String, String>> {
    let layers: Vec<&str> = pass.runtime["layers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    pass.about
        .delivered_layers
        .iter()
        .map(|name| {
            let position = layers.iter().position(|layer| layer == name);
            let values = pass.runtime["entries"]
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(key, entry)| {
                    let value = entry["layer_values"].get(position?)?.as_str()?;
                    // The admin interface shows a key that a layer does not have as an empty text.
                    (!value.is_empty()).then(|| (key.clone(), value.to_owned()))
                })
                .collect();
            (name.clone(), values)
        })
        .collect()
}

fn runtime_type(pass: &Pass, runtime: &BTreeMap<String, BTreeMap<String, String>>) -> TypeState {
    let error = resources::rejection(pass, resources::RUNTIME_URL, |stats| {
        stats.number("runtime.update_time")
    });
    let resources: BTreeMap<String, Resource> = runtime
        .iter()
        .map(|(layer, values)| {
            let resource = Resource {
                active: Some(canonical::hash_of(values)),
                warming: None,
                error: error.clone(),
            };
            (layer.clone(), resource)
        })
        .collect();
    TypeState {
        version: pass
            .stats
            .text("runtime.version_text")
            .filter(|version| !version.is_empty())
            .map(str::to_owned),
        hash: canonical::hash_of(runtime),
        resources,
        accepted: pass.stats.number("runtime.update_success"),
        rejected: pass.stats.number("runtime.update_rejected"),
    }
}

/// Every route of every dynamic route configuration. One that no active listener refers to is not in force.
fn routes(pass: &Pass) -> Vec<Route> {
    let in_force = resources::referred_route_configurations(pass);
    let mut routes = Vec::new();
    for dynamic in list(&pass.route_configurations) {
        let configuration = &dynamic["route_config"];
        let name = configuration["name"].as_str().unwrap_or_default();
        for host in configuration["virtual_hosts"]
            .as_array()
            .into_iter()
            .flatten()
        {
            for route in host["routes"].as_array().into_iter().flatten() {
                routes.push(Route {
                    configuration: name.to_owned(),
                    virtual_host: host["name"].as_str().unwrap_or_default().to_owned(),
                    name: route["name"].as_str().unwrap_or_default().to_owned(),
                    hash: canonical::hash(route),
                    warming: !in_force.contains(name),
                });
            }
        }
    }
    routes
}

#[cfg(test)]
mod tests;
