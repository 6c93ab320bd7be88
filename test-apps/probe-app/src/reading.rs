//! From the answers of Envoy's admin interface to [`Sidecar`]: pure, so that it is tested without a sidecar.

mod endpoints;
mod guards;
mod parts;
mod resources;
mod secrets;
mod stats;

pub(crate) use parts::{Fingerprint, Parts};
pub(crate) use secrets::certificates;
pub(crate) use stats::{ALL_USED, Closed, Stats, closed, is_under_way, that_mark};

use crate::canonical;
use probe_api::launcher::LauncherState;
use probe_api::state::{ControlPlaneConnection, Resource, Sidecar, TypeState, XdsForm};
use serde_json::Value;
use std::collections::BTreeMap;

/// What does not change while the sidecar process runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// The sidecar's version.
    version: String,
    /// The runtime layers that come over RTDS.
    delivered_layers: Vec<String>,
    /// The form in which it asks its control plane.
    form: Option<XdsForm>,
    /// It counts the connections that it closes.
    tells_closed: Closed<bool>,
}

impl About {
    /// What of `/config_dump` it is read from. The whole of it, or `/server_info`, would tell each of the extensions that are
    /// compiled in, which takes a sidecar longer than to take its configuration over.
    pub(crate) const PATH: &str = "/config_dump?mask=bootstrap.node.user_agent_build_version,\
                                   bootstrap.dynamic_resources.ads_config.api_type,\
                                   bootstrap.layered_runtime,bootstrap.stats_config";

    /// From the answer to [`PATH`](Self::PATH).
    pub(crate) fn new(configuration: &Value) -> Self {
        let nothing = Value::Null;
        let bootstrap = list(configuration).find_map(|section| section.get("bootstrap"));
        let bootstrap = bootstrap.unwrap_or(&nothing);
        let api_type = bootstrap.pointer("/dynamic_resources/ads_config/api_type");
        let layers = bootstrap.pointer("/layered_runtime/layers");
        let layers = layers
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|layer| layer.get("rtds_layer").is_some())
            .filter_map(|layer| layer["name"].as_str())
            .map(str::to_owned)
            .collect();
        Self {
            version: version(&bootstrap["node"]["user_agent_build_version"]),
            delivered_layers: layers,
            tells_closed: stats::tells_closed(bootstrap),
            form: match api_type.and_then(Value::as_str) {
                Some("GRPC") => Some(XdsForm::Sotw),
                Some("DELTA_GRPC") => Some(XdsForm::Delta),
                _ => None,
            },
        }
    }
}

/// The version as Envoy tells it in words: `REVISION/1.40.0/Clean/RELEASE/BoringSSL`; nothing where it tells none.
fn version(build: &Value) -> String {
    if build["version"].is_null() {
        return String::new();
    }
    let number = |part: &str| build["version"][part].as_u64().unwrap_or_default();
    let numbers = ["major_number", "minor_number", "patch"].map(|part| number(part).to_string());
    let about = |key: &str| build["metadata"][key].as_str();
    let label = about("build.label").map(|label| format!("-{label}"));
    let numbers = numbers.join(".") + label.as_deref().unwrap_or_default();
    let parts = [
        about("revision.sha"),
        Some(numbers.as_str()),
        about("revision.status"),
        about("build.type"),
        about("ssl.version"),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// What the sidecar holds. Every part was read under `stats` and `launcher`, or earlier under the same marks.
pub(crate) fn sidecar(
    about: &About,
    parts: &Parts,
    stats: &Stats,
    launcher: &LauncherState,
    closed: Closed<u64>,
) -> Sidecar {
    let mut types = resources::types(parts, stats, launcher);
    types.insert("RTDS".to_owned(), parts.runtime.state(stats, launcher));
    Sidecar {
        version: about.version.clone(),
        starts: launcher.starts,
        // Envoy's gauge is 0 when it is live; a sidecar that does not show it is not.
        ready: stats.text("server.state") == Some("0"),
        control_plane: ControlPlaneConnection {
            connected: stats.number("control_plane.connected_state") == 1,
            replica: stats
                .text("control_plane.identifier")
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            epoch: launcher.epoch,
            form: about.form,
        },
        routes: resources::routes(parts),
        endpoints: parts.endpoints.clone(),
        runtime: parts.runtime.layers.clone(),
        secrets: secrets::with_streams(&parts.secrets, stats),
        filter_chains: parts.listeners.chains.clone(),
        clusters: parts.clusters.offers.clone(),
        turned_away: about.tells_closed.led_nowhere.then_some(closed.led_nowhere),
        not_allowed: about.tells_closed.not_allowed.then_some(closed.not_allowed),
        types,
    }
}

/// The content hash of what a sidecar holds, without what changes by itself: versions, counters and the
/// health of endpoints. Routes and runtime values are in the hashes of their resources.
pub(crate) fn content_hash(sidecar: &Sidecar) -> String {
    let resources: BTreeMap<&String, &BTreeMap<String, Resource>> = sidecar
        .types
        .iter()
        .map(|(name, held)| (name, &held.resources))
        .collect();
    let secrets: BTreeMap<&String, (&String, bool)> = sidecar
        .secrets
        .iter()
        .map(|(name, secret)| (name, (&secret.hash, secret.warming)))
        .collect();
    canonical::hash_of(&serde_json::json!({
        "starts": sidecar.starts,
        "ready": sidecar.ready,
        "controlPlane": sidecar.control_plane,
        "resources": resources,
        "secrets": secrets,
    }))
}

/// The items of a configuration dump.
fn list(dump: &Value) -> impl Iterator<Item = &Value> {
    dump["configs"].as_array().into_iter().flatten()
}

/// The layers that come over RTDS, with what the sidecar holds of them.
#[derive(Debug, Default)]
pub(crate) struct Runtime {
    layers: BTreeMap<String, BTreeMap<String, String>>,
    /// Of each layer.
    hashes: BTreeMap<String, String>,
    /// Of all layers.
    hash: String,
}

impl Runtime {
    /// From `/runtime`.
    fn new(shown: &Value, about: &About) -> Self {
        let names: Vec<&str> = shown["layers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let layers: BTreeMap<String, BTreeMap<String, String>> = about
            .delivered_layers
            .iter()
            .map(|name| {
                let position = names.iter().position(|layer| layer == name);
                let values = shown["entries"]
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
            .collect();
        let hashes = layers
            .iter()
            .map(|(name, values)| (name.clone(), canonical::hash_of(values)))
            .collect();
        Self {
            hash: canonical::hash_of(&layers),
            layers,
            hashes,
        }
    }

    fn state(&self, stats: &Stats, launcher: &LauncherState) -> TypeState {
        let accepted_at = stats.number("runtime.update_time");
        let error = resources::rejection(launcher, resources::RUNTIME_URL, accepted_at);
        let resource = |hash: &String| Resource {
            active: Some(hash.clone()),
            warming: None,
            error: error.clone(),
        };
        TypeState {
            version: stats
                .text("runtime.version_text")
                .filter(|version| !version.is_empty())
                .map(str::to_owned),
            hash: self.hash.clone(),
            resources: self
                .hashes
                .iter()
                .map(|(layer, hash)| (layer.clone(), resource(hash)))
                .collect(),
            accepted: stats.number("runtime.update_success"),
            rejected: stats.number("runtime.update_rejected"),
        }
    }
}

#[cfg(test)]
mod tests;
