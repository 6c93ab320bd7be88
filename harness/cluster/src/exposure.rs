//! Looking for private keys where none may be: in the logs of pods, and in the files that a run leaves for people.

use crate::redaction::holds_private_key;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams, LogParams};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long one log may take: a node that is cut off does not answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// How many logs are fetched at once.
const AT_ONCE: usize = 16;
/// The end of a log that is looked through, in bytes.
const LOOKED_THROUGH: i64 = 4 << 20;

/// The containers in these namespaces that wrote a private key to their log, as `NAMESPACE/POD/CONTAINER`. A log that cannot
/// be had is told to ours.
///
/// # Errors
///
/// When the pods cannot be listed.
pub async fn keys_in_logs(
    client: &Client,
    namespaces: &[String],
) -> Result<Vec<String>, kube::Error> {
    let mut containers = Vec::new();
    for namespace in namespaces {
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        for pod in api.list(&ListParams::default()).await?.items {
            containers.extend(logs_of(&pod).map(|log| (api.clone(), namespace.clone(), log)));
        }
    }
    let found = futures::stream::iter(containers)
        .map(|(api, namespace, log)| async move {
            let Log { pod, container, .. } = &log;
            let exposes = log.exposes(&api).await;
            exposes.then(|| format!("{namespace}/{pod}/{container}"))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready);
    let mut found: Vec<String> = found.collect().await;
    found.sort();
    found.dedup();
    Ok(found)
}

/// The files below a folder that hold a private key.
///
/// # Errors
///
/// When a folder or file cannot be read.
pub fn keys_in_files(folder: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file()
                && holds_private_key(&String::from_utf8_lossy(&std::fs::read(entry.path())?))
            {
                found.push(entry.path().display().to_string());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// One log of a container.
struct Log {
    pod: String,
    container: String,
    previous: bool,
}

fn logs_of(pod: &Pod) -> impl Iterator<Item = Log> {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let status = pod.status.as_ref();
    let inits = status.and_then(|status| status.init_container_statuses.as_ref());
    let mains = status.and_then(|status| status.container_statuses.as_ref());
    inits
        .into_iter()
        .chain(mains)
        .flatten()
        .flat_map(move |status| {
            let log = |previous| Log {
                pod: name.clone(),
                container: status.name.clone(),
                previous,
            };
            let earlier = (status.restart_count > 0).then(|| log(true));
            [log(false)].into_iter().chain(earlier)
        })
}

impl Log {
    async fn exposes(&self, api: &Api<Pod>) -> bool {
        let parameters = LogParams {
            container: Some(self.container.clone()),
            previous: self.previous,
            limit_bytes: Some(LOOKED_THROUGH),
            ..LogParams::default()
        };
        match tokio::time::timeout(PATIENCE, api.logs(&self.pod, &parameters)).await {
            Ok(Ok(text)) => holds_private_key(&text),
            Ok(Err(error)) => {
                tracing::warn!(self.pod, self.container, %error, "a log cannot be looked through");
                false
            }
            Err(_) => {
                tracing::warn!(self.pod, self.container, "a log does not come in time");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_key_is_found_wherever_it_lies() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("scenarios/a/diagnostics");
        std::fs::create_dir_all(&deep).expect("made");
        std::fs::write(
            deep.join("pod.log"),
            "nothing\n-----BEGIN CERTIFICATE-----\n",
        )
        .expect("written");
        assert!(keys_in_files(folder.path()).expect("read").is_empty());
        let planted = deep.join("history.jsonl");
        std::fs::write(
            &planted,
            "{\"a\":\"-----BEGIN EC PRIVATE KEY-----\\nMHc\"}\n",
        )
        .expect("written");
        assert_eq!(
            keys_in_files(folder.path()).expect("read"),
            [planted.display().to_string()]
        );
        assert!(keys_in_files(&folder.path().join("nowhere")).is_err());
    }
}
