//! The endpoints of each cluster as the sidecar uses them.

use probe_api::state::Endpoint;
use serde_json::Value;
use std::collections::BTreeMap;

/// What marks an endpoint as one that gets no traffic.
const FAILED: &[&str] = &[
    "failed_active_health_check",
    "failed_outlier_check",
    "failed_active_degraded_check",
    "pending_dynamic_removal",
];

/// Endpoints by cluster, for the clusters that the control plane delivered.
pub(crate) fn endpoints(clusters: &Value) -> BTreeMap<String, Vec<Endpoint>> {
    clusters["cluster_statuses"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|cluster| cluster["added_via_api"] == true)
        .map(|cluster| {
            let mut found: Vec<Endpoint> = cluster["host_statuses"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(endpoint)
                .collect();
            found.sort();
            let name = cluster["name"].as_str().unwrap_or_default().to_owned();
            (name, found)
        })
        .collect()
}

fn endpoint(host: &Value) -> Option<Endpoint> {
    let socket = host.pointer("/address/socket_address")?;
    let health = &host["health_status"];
    let told = health["eds_health_status"].as_str().unwrap_or("UNKNOWN");
    let health = if FAILED.iter().any(|mark| health[*mark] == true) {
        "UNHEALTHY"
    } else {
        told
    };
    Some(Endpoint {
        address: format!(
            "{}:{}",
            socket["address"].as_str()?,
            socket["port_value"].as_u64()?
        ),
        zone: host
            .pointer("/locality/zone")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        priority: host["priority"]
            .as_u64()
            .and_then(|priority| u32::try_from(priority).ok())
            .unwrap_or_default(),
        health: health.to_owned(),
    })
}
