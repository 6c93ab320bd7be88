//! What a failed run leaves for people: logs, rules, objects.

use super::failed;
use crate::ClusterError;
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
    let write =
        |name: &str, text: String| std::fs::write(target.join(name), text).map_err(failed(act()));
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
    write("nodes.json", nodes)?;
    write("pods.json", pods)?;
    write("events.json", events)
}

async fn listed<K>(client: &kube::Client) -> String
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    match Api::<K>::all(client.clone())
        .list(&ListParams::default())
        .await
    {
        Ok(list) => {
            serde_json::to_string_pretty(&list.items).unwrap_or_else(|error| error.to_string())
        }
        Err(error) => format!("{:?}", format!("not there: {error}")),
    }
}

fn copy_logs(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
