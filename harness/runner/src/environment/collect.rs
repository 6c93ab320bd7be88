//! Collecting what people may want to see afterwards.

use harness_cluster::Clusters;
use harness_model::causes::chain;
use std::path::Path;
use std::time::Duration;

/// How long collecting may take: it is for people, and must not hold up the end.
const COLLECT: Duration = Duration::from_secs(20);

/// Logs and objects of the clusters.
pub(super) async fn collect(clusters: &Clusters, folder: &Path) {
    match tokio::time::timeout(COLLECT, clusters.collect_diagnostics(folder)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = chain(&error), "cannot collect diagnostics"),
        Err(_) => tracing::warn!("collecting diagnostics took too long"),
    }
}

/// The state of a sidecar.
pub(super) fn write_state(folder: &Path, name: &str, state: &probe_api::state::SidecarState) {
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        let text = serde_json::to_string_pretty(state)?;
        std::fs::write(folder.join(format!("{name}.json")), text)
    });
    if let Err(error) = written {
        tracing::warn!(name, %error, "cannot write the state of a sidecar");
    }
}
