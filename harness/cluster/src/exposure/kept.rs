//! Logs that the nodes of a local cluster keep when the API knows nothing of them any more.

use super::{AT_ONCE, PATIENCE, Search, flows};
use futures::StreamExt as _;
use harness_model::causes::chain;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, ListParams};
use serde::Deserialize;

/// What a node keeps, in our kubelet's words.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    /// When the youngest of those had ended that had to go.
    dropped_until: Option<Timestamp>,
    logs: Vec<Kept>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    number: u64,
    namespace: String,
    pod: String,
    container: String,
    ended_at: Timestamp,
}

/// Looks through the logs that nodes keep of containers in these namespaces that are gone, and ended after `since`: those of
/// pods that are gone, and of earlier runs than the last two. Nodes must be of a cluster that keeps them.
pub async fn keys_in_kept_logs(client: &Client, namespaces: &[String], since: Timestamp) -> Search {
    let mut search = Search::default();
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = match nodes.list(&ListParams::default()).await {
        Ok(nodes) => nodes.items,
        Err(error) => {
            let what = "the logs of pods that are gone".to_owned();
            search.note(what, Err(chain(&error)));
            return search;
        }
    };
    let mut logs = Vec::new();
    for node in nodes.into_iter().filter_map(|node| node.metadata.name) {
        let what = || format!("the logs of pods that are gone from node {node}");
        match within(listing(client, &node)).await {
            Ok(listing) => {
                if listing.dropped_until.is_some_and(|until| until >= since) {
                    let why = "not all of them could be kept".to_owned();
                    search.note(what(), Err(why));
                }
                let ours = listing
                    .logs
                    .into_iter()
                    .filter(|log| log.ended_at >= since && namespaces.contains(&log.namespace));
                logs.extend(ours.map(|log| (node.clone(), log)));
            }
            Err(why) => search.note(what(), Err(why)),
        }
    }
    let looks = logs.into_iter().map(|(node, log)| async move {
        let what = format!(
            "the log of {}/{}/{}, which is gone",
            log.namespace, log.pod, log.container
        );
        (what, within(exposes(client, &node, log.number)).await)
    });
    let mut looked = futures::stream::iter(looks).buffer_unordered(AT_ONCE);
    while let Some((what, exposes)) = looked.next().await {
        search.note(what, exposes);
    }
    search.put_in_order();
    search
}

async fn listing(client: &Client, node: &str) -> Result<Listing, String> {
    let request = ask(node, "")?;
    client.request(request).await.map_err(|error| chain(&error))
}

async fn exposes(client: &Client, node: &str, number: u64) -> Result<bool, String> {
    let request = ask(node, &format!("/{number}"))?;
    let text = client.request_stream(request).await;
    let text = text.map_err(|error| chain(&error))?;
    flows(std::pin::pin!(text))
        .await
        .map_err(|error| chain(&error))
}

fn ask(node: &str, path: &str) -> Result<http::Request<Vec<u8>>, String> {
    http::Request::get(format!("/api/v1/nodes/{node}/proxy/logs/kept{path}"))
        .body(Vec::new())
        .map_err(|error| chain(&error))
}

/// What comes of a look, which may take [`PATIENCE`].
pub(super) async fn within<T>(look: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(looked) => looked,
        Err(_) => Err(format!("it did not come within {} s", PATIENCE.as_secs())),
    }
}
