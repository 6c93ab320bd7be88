//! Looking for private keys where none may be: in the logs of pods, in folders of nodes that a mesh writes to, in Secrets that
//! it keeps sealed ones in, and in the files that a run leaves for people.

mod in_secrets;
mod kept;
mod on_nodes;

pub use in_secrets::keys_in_secrets;
pub use kept::keys_in_kept_logs;
pub(crate) use on_nodes::on_node;

use crate::key_marks;
use futures::StreamExt as _;
use futures::io::{AsyncBufRead, AsyncBufReadExt as _};
use harness_kubelet::look_through;
use harness_model::causes::chain;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::Client;
use kube::api::{Api, ListParams, LogParams};
use serde::Deserialize;
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long one log may take: a node that is cut off does not answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// How many logs are fetched at once.
const AT_ONCE: usize = 16;

/// What a search for private keys came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Search {
    /// Where there is one: containers as `NAMESPACE/POD/CONTAINER`, Secrets as `Secret NAMESPACE/NAME`, files, and those of nodes
    /// as `NODE:PATH`; where several clusters were searched, with the name of its own before it.
    pub found: Vec<String>,
    /// What could not be looked through, with the reason: nobody knows whether there is one.
    pub not_searched: Vec<String>,
}

impl Search {
    /// What several searches came to.
    pub(crate) fn sum(all: Vec<Self>) -> Self {
        let mut sum = Self::default();
        for search in all {
            sum.add(search);
        }
        sum
    }

    /// The same, with these words before each place.
    pub(crate) fn each_after(mut self, words: &str) -> Self {
        for place in self.found.iter_mut().chain(&mut self.not_searched) {
            place.insert_str(0, words);
        }
        self
    }

    /// Adds what another search came to.
    pub fn add(&mut self, other: Self) {
        self.found.extend(other.found);
        self.not_searched.extend(other.not_searched);
        self.put_in_order();
    }

    /// Says once what two logs of a container say.
    fn put_in_order(&mut self) {
        for list in [&mut self.found, &mut self.not_searched] {
            list.sort();
            list.dedup();
        }
    }

    fn note(&mut self, what: String, looked: Result<bool, String>) {
        match looked {
            Ok(true) => self.found.push(what),
            Ok(false) => {}
            Err(why) => self.not_searched.push(format!("{what}: {why}")),
        }
    }
}

/// Looks through the logs of all containers in these namespaces, from their first line on. The API tells none of pods that are
/// gone, and of containers that were started again those of the last two runs (our kubelet: since the node started); see
/// [`keys_in_kept_logs`].
pub async fn keys_in_logs(client: &Client, namespaces: &[String]) -> Search {
    let mut search = Search::default();
    let mut logs = Vec::new();
    for namespace in namespaces {
        let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
        match api.list(&ListParams::default()).await {
            Ok(pods) => {
                for pod in &pods.items {
                    logs.extend(logs_of(pod).map(|log| (api.clone(), namespace.clone(), log)));
                }
            }
            Err(error) => {
                let what = format!("the logs of namespace {namespace}");
                search.note(what, Err(chain(&error)));
            }
        }
    }
    let looks = logs.into_iter().map(|(api, namespace, log)| async move {
        let what = format!("the log of {namespace}/{}/{}", log.pod, log.container);
        (what, log.exposes(&api).await)
    });
    let mut looked = futures::stream::iter(looks).buffer_unordered(AT_ONCE);
    while let Some((what, exposes)) = looked.next().await {
        search.note(what, exposes);
    }
    search.put_in_order();
    search
}

/// Looks through the files below a folder; one that is not there has none.
#[must_use]
pub fn keys_in_files(folder: &Path) -> Search {
    let mut search = Search::default();
    look_through(folder, u64::MAX, key_marks::are_in, |path, looked| {
        let exposes = looked.map_err(|error| error.to_string());
        search.note(path.display().to_string(), exposes);
    });
    search.put_in_order();
    search
}

/// Whether there is a private key in what is read, however long it is.
async fn flows(mut text: impl AsyncBufRead + Unpin) -> io::Result<bool> {
    let mut window = Vec::new();
    loop {
        let chunk = text.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(false);
        }
        let read = chunk.len();
        window.extend_from_slice(chunk);
        text.consume_unpin(read);
        if key_marks::are_in(&window) {
            return Ok(true);
        }
        // What begins here may end in the next one.
        window.drain(..window.len().saturating_sub(key_marks::LONGEST));
    }
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
            let current = has_run(status).then(|| log(false));
            let earlier = (status.restart_count > 0).then(|| log(true));
            current.into_iter().chain(earlier)
        })
}

/// A container that waits to be started for the first time has no log.
fn has_run(status: &ContainerStatus) -> bool {
    let state = status.state.as_ref();
    state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        || status.restart_count > 0
}

impl Log {
    /// Whether a private key is in it; or why nobody knows.
    async fn exposes(&self, api: &Api<Pod>) -> Result<bool, String> {
        let parameters = LogParams {
            container: Some(self.container.clone()),
            previous: self.previous,
            ..LogParams::default()
        };
        let look = async {
            match api.log_stream(&self.pod, &parameters).await {
                Ok(text) => flows(text).await.map_err(|error| chain(&error)),
                Err(error) if is_gone(&error) => Ok(false),
                Err(error) => Err(chain(&error)),
            }
        };
        match tokio::time::timeout(PATIENCE, look).await {
            Ok(exposes) => exposes,
            Err(_) => Err(format!("it did not come within {} s", PATIENCE.as_secs())),
        }
    }
}

/// The pod is gone since it was listed, or the log of its earlier container is.
fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 404))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

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
        assert_eq!(keys_in_files(folder.path()), Search::default());
        let planted = deep.join("history.jsonl");
        std::fs::write(
            &planted,
            "{\"a\":\"-----BEGIN EC PRIVATE KEY-----\\nMHc\"}\n",
        )
        .expect("written");
        let search = keys_in_files(folder.path());
        assert_eq!(search.found, [planted.display().to_string()]);
        assert!(search.not_searched.is_empty());
        let nowhere = keys_in_files(&folder.path().join("nowhere"));
        assert_eq!(nowhere, Search::default());
    }

    #[test]
    fn what_cannot_be_read_is_not_called_free_of_keys() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        // A file in the place of a folder.
        let search = keys_in_files(file.path());
        assert!(search.found.is_empty());
        let [why] = &search.not_searched[..] else {
            panic!("{search:?}");
        };
        assert!(why.starts_with(&file.path().display().to_string()), "{why}");
    }

    #[tokio::test]
    async fn a_long_log_is_looked_through_to_its_end() {
        let line = "2026-11-26T19:43:08Z INFO nothing of interest\n";
        let long = line.repeat(200_000);
        let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n";
        // The same, in base64 as a Secret has it.
        let encoded = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1DNENBUUF3Cg==\n";
        // One that is no PEM, as the key service keeps its own.
        let pair = rcgen::KeyPair::generate().expect("a key");
        let der = STANDARD.encode(pair.serialize_der());
        for (text, holds) in [
            (long.clone(), false),
            (format!("{long}{key}{line}"), true),
            (format!("{long}{encoded}{line}"), true),
            (format!("{long}key={der}\n{line}"), true),
        ] {
            // Pieces that cut the line in two somewhere.
            let reader = futures::io::BufReader::with_capacity(61, text.as_bytes());
            assert_eq!(flows(reader).await.expect("read"), holds);
        }
    }
}
