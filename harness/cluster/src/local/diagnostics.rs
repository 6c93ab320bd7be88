//! What a failed run leaves for people: logs, rules, objects, pods. No keys and no tokens: see `redaction`.

use super::failed;
use crate::redaction::redact;
use crate::{ClusterError, pod_diagnostics};
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{Api, ListParams};
use std::io;
use std::path::Path;

/// Writes everything below `target`. What cannot be had is noted there instead.
pub(super) async fn collect(
    run_folder: &Path,
    client: kube::Client,
    rules: Result<String, ClusterError>,
    target: &Path,
) -> Result<(), ClusterError> {
    let act = || format!("write diagnostics to {}", target.display());
    let write = |name: &str, text: String| {
        std::fs::write(target.join(name), redact(&text)).map_err(failed(act()))
    };
    copy_logs(&run_folder.join("logs"), &target.join("logs")).map_err(failed(act()))?;
    write(
        "rules.nft",
        rules.unwrap_or_else(|error| super::describe(&error)),
    )?;
    let (nodes, pods, events) = tokio::join!(
        listed::<Node>(&client),
        listed::<Pod>(&client),
        listed::<Event>(&client)
    );
    write("nodes.json", in_json(&nodes))?;
    write("pods.json", in_json(&pods))?;
    write("events.json", in_json(&events))?;
    pod_diagnostics::write(
        &client,
        &pods.unwrap_or_default(),
        &events.unwrap_or_default(),
        &target.join("pods"),
    )
    .await
    .map_err(failed(act()))
}

async fn listed<K>(client: &kube::Client) -> Result<Vec<K>, kube::Error>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let list = Api::<K>::all(client.clone())
        .list(&ListParams::default())
        .await?;
    Ok(list.items)
}

fn in_json<K: serde::Serialize>(listed: &Result<Vec<K>, kube::Error>) -> String {
    match listed {
        Ok(items) => serde_json::to_string_pretty(items).unwrap_or_else(|error| error.to_string()),
        Err(error) => format!("{:?}", format!("not there: {error}")),
    }
}

fn copy_logs(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let text = std::fs::read(entry.path())?;
            let text = redact(&String::from_utf8_lossy(&text));
            std::fs::write(to.join(entry.file_name()), text)?;
        }
    }
    Ok(())
}
