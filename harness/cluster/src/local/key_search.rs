//! Looking for private keys on the disks of a local cluster's nodes, which alone see what is mounted there.

use super::away;
use super::cluster::LocalCluster;
use super::plan::Plan;
use crate::Cluster as _;
use crate::exposure::{Search, on_node};
use futures::future::join_all;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Has every node look through the files below these folders.
pub(super) async fn look(cluster: &LocalCluster, folders: &[PathBuf]) -> Search {
    let plan = Plan::new(cluster.topology());
    let mut looks = Vec::new();
    for (_, _, node) in plan.numbered_nodes() {
        for folder in folders {
            let look = ask(cluster.folder(), &node.name, folder);
            looks.push(on_node(&node.name, folder, look));
        }
    }
    Search::sum(join_all(looks).await)
}

async fn ask(run_folder: &Path, node: &str, folder: &Path) -> Result<Search, String> {
    let asked = away::ask(run_folder, node, &json!({ "search": folder })).await;
    asked.map_err(|error| error.to_string())
}
