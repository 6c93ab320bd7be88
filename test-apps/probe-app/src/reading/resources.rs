//! xDS resources of each type, active and warming, with rejections.

use super::{Pass, Stats, list};
use crate::canonical;
use probe_api::state::{Resource, TypeState};
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
pub(crate) fn types(pass: &Pass) -> BTreeMap<String, TypeState> {
    [
        ("LDS", listeners(pass)),
        ("RDS", route_configurations(pass)),
        ("CDS", clusters(pass)),
        ("EDS", load_assignments(pass)),
    ]
    .into_iter()
    .map(|(name, state)| (name.to_owned(), state))
    .collect()
}

/// The words of the last rejection of a type, if nothing of the type was accepted after it. `accepted_at`
/// tells when that was, in milliseconds since the Unix epoch.
pub(crate) fn rejection(
    pass: &Pass,
    url: &str,
    accepted_at: impl Fn(&Stats) -> u64,
) -> Option<String> {
    let rejection = pass.launcher.rejections.get(url)?;
    (rejection.at_ms > accepted_at(&pass.stats)).then(|| rejection.message.clone())
}

/// Collects the resources of one type.
#[derive(Default)]
struct Collected {
    resources: BTreeMap<String, Resource>,
    versions: BTreeSet<String>,
}

impl Collected {
    fn active(&mut self, name: &str, resource: &Value, version: &Value) {
        let hash = canonical::hash(resource);
        self.resources.entry(name.to_owned()).or_default().active = Some(hash);
        self.version(version);
    }

    fn warming(&mut self, name: &str, resource: &Value) {
        let hash = canonical::hash(resource);
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

fn listeners(pass: &Pass) -> TypeState {
    let mut collected = Collected::default();
    for dynamic in list(&pass.listeners) {
        let name = dynamic["name"].as_str().unwrap_or_default();
        if let Some(active) = dynamic.get("active_state") {
            collected.active(name, &active["listener"], &active["version_info"]);
        }
        if let Some(warming) = dynamic.get("warming_state") {
            collected.warming(name, &warming["listener"]);
        }
        if let Some(words) = dynamic
            .pointer("/error_state/details")
            .and_then(Value::as_str)
        {
            collected
                .resources
                .entry(name.to_owned())
                .or_default()
                .error = Some(words.to_owned());
        }
    }
    let accepted_at = |stats: &Stats| stats.number("listener_manager.lds.update_time");
    if let Some(words) = rejection(pass, LISTENER_URL, accepted_at) {
        collected.rejected(&words);
    }
    collected.into_state(
        pass.stats.number("listener_manager.lds.update_success"),
        pass.stats.number("listener_manager.lds.update_rejected"),
    )
}

fn clusters(pass: &Pass) -> TypeState {
    let mut collected = Collected::default();
    let name_of = |dynamic: &Value| {
        dynamic["cluster"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    for dynamic in list(&pass.active_clusters) {
        collected.active(
            &name_of(dynamic),
            &dynamic["cluster"],
            &dynamic["version_info"],
        );
    }
    for dynamic in list(&pass.warming_clusters) {
        collected.warming(&name_of(dynamic), &dynamic["cluster"]);
    }
    let accepted_at = |stats: &Stats| stats.number("cluster_manager.cds.update_time");
    if let Some(words) = rejection(pass, CLUSTER_URL, accepted_at) {
        collected.rejected(&words);
    }
    collected.into_state(
        pass.stats.number("cluster_manager.cds.update_success"),
        pass.stats.number("cluster_manager.cds.update_rejected"),
    )
}

fn route_configurations(pass: &Pass) -> TypeState {
    let in_force = referred_route_configurations(pass);
    let mut collected = Collected::default();
    for dynamic in list(&pass.route_configurations) {
        let configuration = &dynamic["route_config"];
        let name = configuration["name"].as_str().unwrap_or_default();
        if in_force.contains(name) {
            collected.active(name, configuration, &dynamic["version_info"]);
        } else {
            collected.warming(name, configuration);
        }
    }
    let sum = |suffix: &str| -> u64 { rds(&pass.stats, suffix).sum() };
    let accepted_at = |stats: &Stats| rds(stats, ".update_time").max().unwrap_or_default();
    if let Some(words) = rejection(pass, ROUTE_URL, accepted_at) {
        collected.rejected(&words);
    }
    let (accepted, rejected) = (sum(".update_success"), sum(".update_rejected"));
    collected.into_state(accepted, rejected)
}

fn rds<'a>(stats: &'a Stats, suffix: &'a str) -> impl Iterator<Item = u64> + 'a {
    stats.all("http.", suffix)
}

fn load_assignments(pass: &Pass) -> TypeState {
    let mut collected = Collected::default();
    for dynamic in list(&pass.load_assignments) {
        let assignment = &dynamic["endpoint_config"];
        let name = assignment["cluster_name"].as_str().unwrap_or_default();
        collected.active(name, &steady(assignment), &dynamic["version_info"]);
    }
    let accepted_at = |stats: &Stats| {
        stats
            .all("cluster.", ".update_time")
            .max()
            .unwrap_or_default()
    };
    if let Some(words) = rejection(pass, ENDPOINT_URL, accepted_at) {
        collected.rejected(&words);
    }
    collected.into_state(
        pass.stats.all("cluster.", ".update_success").sum(),
        pass.stats.all("cluster.", ".update_rejected").sum(),
    )
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

/// The route configurations that active listeners refer to.
pub(crate) fn referred_route_configurations(pass: &Pass) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for dynamic in list(&pass.listeners) {
        if let Some(active) = dynamic.get("active_state") {
            collect_route_names(active, &mut names);
        }
    }
    names
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
