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

/// Everything one pass over the admin interface and the launcher brought.
#[derive(Debug)]
pub(crate) struct Pass {
    /// `/config_dump?include_eds`.
    pub configuration: Value,
    /// `/runtime`.
    pub runtime: Value,
    /// `/clusters?format=json`.
    pub clusters: Value,
    /// `/server_info`.
    pub server: Value,
    /// The filtered `/stats`.
    pub stats: Stats,
    /// The launcher's state; default where there is no launcher.
    pub launcher: LauncherState,
}

/// What the sidecar holds.
pub(crate) fn sidecar(pass: &Pass) -> Sidecar {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let runtime = runtime(pass);
    let mut types = resources::types(pass);
    types.insert("RTDS".to_owned(), runtime_type(pass, &runtime));
    Sidecar {
        version: text(&pass.server, "version"),
        starts: pass.launcher.starts,
        ready: pass.server["state"] == "LIVE",
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

/// The sections of a configuration dump whose type ends in `name`.
fn sections<'a>(configuration: &'a Value, name: &'a str) -> impl Iterator<Item = &'a Value> {
    configuration["configs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(move |section| {
            section["@type"]
                .as_str()
                .is_some_and(|kind| kind.ends_with(name))
        })
}

/// The items of a list in every section of that type.
fn items<'a>(
    configuration: &'a Value,
    section: &'a str,
    list: &'a str,
) -> impl Iterator<Item = &'a Value> {
    sections(configuration, section)
        .filter_map(move |section| section[list].as_array())
        .flatten()
}

/// The layers that the bootstrap says come over RTDS, in its order, with what the sidecar holds of them.
fn runtime(pass: &Pass) -> BTreeMap<String, BTreeMap<String, String>> {
    let delivered: Vec<&str> = sections(&pass.configuration, ".BootstrapConfigDump")
        .filter_map(|section| section.pointer("/bootstrap/layered_runtime/layers")?.as_array())
        .flatten()
        .filter(|layer| layer.get("rtds_layer").is_some())
        .filter_map(|layer| layer["name"].as_str())
        .collect();
    let layers: Vec<&str> = pass.runtime["layers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    delivered
        .into_iter()
        .map(|name| {
            let position = layers.iter().position(|layer| *layer == name);
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
            (name.to_owned(), values)
        })
        .collect()
}

fn runtime_type(
    pass: &Pass,
    runtime: &BTreeMap<String, BTreeMap<String, String>>,
) -> TypeState {
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
    for dynamic in items(
        &pass.configuration,
        ".RoutesConfigDump",
        "dynamic_route_configs",
    ) {
        let configuration = &dynamic["route_config"];
        let name = configuration["name"].as_str().unwrap_or_default();
        for host in configuration["virtual_hosts"].as_array().into_iter().flatten() {
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
