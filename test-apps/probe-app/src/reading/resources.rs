//! xDS resources of each type, active and warming, with rejections.

use super::{Parts, Stats, guards, list};
use crate::canonical;
use probe_api::launcher::LauncherState;
use probe_api::state::{Cluster, FilterChain, Resource, Route, TypeState};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const LISTENER_URL: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const ROUTE_URL: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
const CLUSTER_URL: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const ENDPOINT_URL: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

/// The type URL of runtime layers.
pub(crate) const RUNTIME_URL: &str = "type.googleapis.com/envoy.service.runtime.v3.Runtime";

/// The name under which an error stands that no resource of its type can be blamed for.
const WHOLE_TYPE: &str = "*";

/// Every xDS type but RTDS.
pub(crate) fn types(
    parts: &Parts,
    stats: &Stats,
    launcher: &LauncherState,
) -> BTreeMap<String, TypeState> {
    let latest = |begin, end| stats.all(begin, end).max().unwrap_or_default();
    let sum = |begin, end| stats.all(begin, end).sum();
    let state = |collected: &Collected, url, accepted_at, accepted, rejected| {
        let mut collected = collected.clone();
        if let Some(words) = rejection(launcher, url, accepted_at) {
            collected.rejected(&words);
        }
        collected.into_state(accepted, rejected)
    };
    let listeners = state(
        &parts.listeners.collected,
        LISTENER_URL,
        stats.number("listener_manager.lds.update_time"),
        stats.number("listener_manager.lds.update_success"),
        stats.number("listener_manager.lds.update_rejected"),
    );
    let route_configurations = state(
        &in_force(parts),
        ROUTE_URL,
        latest("http.", ".update_time"),
        sum("http.", ".update_success"),
        sum("http.", ".update_rejected"),
    );
    let clusters = state(
        &parts.clusters.collected,
        CLUSTER_URL,
        stats.number("cluster_manager.cds.update_time"),
        stats.number("cluster_manager.cds.update_success"),
        stats.number("cluster_manager.cds.update_rejected"),
    );
    let load_assignments = state(
        &parts.load_assignments,
        ENDPOINT_URL,
        latest("cluster.", ".update_time"),
        sum("cluster.", ".update_success"),
        sum("cluster.", ".update_rejected"),
    );
    [
        ("LDS", listeners),
        ("RDS", route_configurations),
        ("CDS", clusters),
        ("EDS", load_assignments),
    ]
    .into_iter()
    .map(|(name, state)| (name.to_owned(), state))
    .collect()
}

/// The words of the last rejection of a type, if nothing of the type was accepted after it: at `accepted_at`,
/// in milliseconds since the Unix epoch.
pub(crate) fn rejection(launcher: &LauncherState, url: &str, accepted_at: u64) -> Option<String> {
    let rejection = launcher.rejections.get(url)?;
    (rejection.at_ms > accepted_at).then(|| rejection.message.clone())
}

/// Collects the resources of one type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected {
    resources: BTreeMap<String, Resource>,
    versions: BTreeSet<String>,
}

impl Collected {
    fn active(&mut self, name: &str, hash: String, version: &Value) {
        self.resources.entry(name.to_owned()).or_default().active = Some(hash);
        self.version(version);
    }

    fn warming(&mut self, name: &str, hash: String) {
        self.resources.entry(name.to_owned()).or_default().warming = Some(hash);
    }

    fn version(&mut self, version: &Value) {
        if let Some(version) = version.as_str().filter(|version| !version.is_empty()) {
            self.versions.insert(version.to_owned());
        }
    }

    /// Notes an error at the resources that its words name, else at the whole type.
    fn rejected(&mut self, message: &str) {
        let mut blamed = false;
        for (name, resource) in &mut self.resources {
            if message.contains(name.as_str()) {
                blamed = true;
                resource.error.get_or_insert_with(|| message.to_owned());
            }
        }
        if !blamed && !self.resources.values().any(|held| held.error.is_some()) {
            self.resources
                .entry(WHOLE_TYPE.to_owned())
                .or_default()
                .error = Some(message.to_owned());
        }
    }

    fn into_state(self, accepted: u64, rejected: u64) -> TypeState {
        let active: BTreeMap<&String, &String> = self
            .resources
            .iter()
            .filter_map(|(name, resource)| Some((name, resource.active.as_ref()?)))
            .collect();
        let versions: Vec<String> = self.versions.into_iter().collect();
        TypeState {
            version: (!versions.is_empty()).then(|| versions.join(",")),
            hash: canonical::hash_of(&active),
            resources: self.resources,
            accepted,
            rejected,
        }
    }
}

/// The listeners that the control plane delivered.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    collected: Collected,
    /// The route configurations that active listeners refer to.
    referred: BTreeSet<String>,
    /// Those of active listeners and of warming ones.
    pub(super) chains: Vec<FilterChain>,
}

/// The clusters that the control plane delivered.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    collected: Collected,
    /// What active ones and warming ones offer to their endpoints.
    pub(super) offers: Vec<Cluster>,
}

/// A dynamic route configuration, active or not.
#[derive(Debug)]
pub(crate) struct RouteConfiguration {
    name: String,
    version: Value,
    hash: String,
    routes: Vec<Route>,
}

/// From `dynamic_listeners`.
pub(super) fn listeners(dump: &Value) -> Listeners {
    let mut found = Listeners::default();
    for dynamic in list(dump) {
        let name = dynamic["name"].as_str().unwrap_or_default();
        if let Some(active) = dynamic.get("active_state") {
            let hash = canonical::hash(&active["listener"]);
            found.collected.active(name, hash, &active["version_info"]);
            collect_route_names(active, &mut found.referred);
            found
                .chains
                .extend(guards::chains(&active["listener"], false));
        }
        if let Some(warming) = dynamic.get("warming_state") {
            let hash = canonical::hash(&warming["listener"]);
            found.collected.warming(name, hash);
            found
                .chains
                .extend(guards::chains(&warming["listener"], true));
        }
        if let Some(words) = dynamic
            .pointer("/error_state/details")
            .and_then(Value::as_str)
        {
            let resources = &mut found.collected.resources;
            resources.entry(name.to_owned()).or_default().error = Some(words.to_owned());
        }
    }
    found
}

/// From `dynamic_active_clusters` and `dynamic_warming_clusters`.
pub(super) fn clusters(active: &Value, warming: &Value) -> Clusters {
    let mut collected = Collected::default();
    let mut offers = Vec::new();
    let name_of = |cluster: &Value| cluster["name"].as_str().unwrap_or_default().to_owned();
    for dynamic in list(active) {
        let cluster = &dynamic["cluster"];
        let hash = canonical::hash(cluster);
        collected.active(&name_of(cluster), hash, &dynamic["version_info"]);
        offers.push(guards::cluster(cluster, false));
    }
    for dynamic in list(warming) {
        let cluster = &dynamic["cluster"];
        collected.warming(&name_of(cluster), canonical::hash(cluster));
        offers.push(guards::cluster(cluster, true));
    }
    Clusters { collected, offers }
}

/// From `dynamic_route_configs`.
pub(super) fn route_configurations(dump: &Value) -> Vec<RouteConfiguration> {
    list(dump)
        .map(|dynamic| {
            let configuration = &dynamic["route_config"];
            let name = configuration["name"].as_str().unwrap_or_default();
            let mut routes = Vec::new();
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
                        warming: false,
                    });
                }
            }
            RouteConfiguration {
                name: name.to_owned(),
                version: dynamic["version_info"].clone(),
                hash: canonical::hash(configuration),
                routes,
            }
        })
        .collect()
}

/// The route configurations; one that no active listener refers to only warms.
fn in_force(parts: &Parts) -> Collected {
    let mut collected = Collected::default();
    for configuration in &parts.route_configurations {
        let (name, hash) = (&configuration.name, configuration.hash.clone());
        if parts.listeners.referred.contains(name) {
            collected.active(name, hash, &configuration.version);
        } else {
            collected.warming(name, hash);
        }
    }
    collected
}

/// Every route of every dynamic route configuration. One that no active listener refers to is not in force.
pub(super) fn routes(parts: &Parts) -> Vec<Route> {
    let mut routes = Vec::new();
    for configuration in &parts.route_configurations {
        let warming = !parts.listeners.referred.contains(&configuration.name);
        routes.extend(
            configuration
                .routes
                .iter()
                .cloned()
                .map(|route| Route { warming, ..route }),
        );
    }
    routes
}

/// From `dynamic_endpoint_configs`.
pub(super) fn load_assignments(dump: &Value) -> Collected {
    let mut collected = Collected::default();
    for dynamic in list(dump) {
        let assignment = &dynamic["endpoint_config"];
        let name = assignment["cluster_name"].as_str().unwrap_or_default();
        let hash = canonical::hash(&steady(assignment));
        collected.active(name, hash, &dynamic["version_info"]);
    }
    collected
}

/// A load assignment without the health that the sidecar itself found out and shows among what was delivered.
fn steady(assignment: &Value) -> Value {
    let mut assignment = assignment.clone();
    for locality in assignment["endpoints"].as_array_mut().into_iter().flatten() {
        for endpoint in locality["lb_endpoints"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if let Some(fields) = endpoint.as_object_mut() {
                fields.shift_remove("health_status");
            }
        }
    }
    assignment
}

fn collect_route_names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = fields
                .get("rds")
                .and_then(|rds| rds["route_config_name"].as_str())
            {
                names.insert(name.to_owned());
            }
            fields
                .values()
                .for_each(|field| collect_route_names(field, names));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_route_names(item, names)),
        _ => {}
    }
}
