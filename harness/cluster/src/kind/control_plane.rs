//! Taking parts of the control plane of Kubernetes away: the API server is killed, and its port refuses everybody for as
//! long as it is to be away, though the kubelet starts it again before; etcd is stopped.
//!
//! Invariant: the port refuses only while an element with a timeout is in a set, so the kernel heals by itself.

use super::engine::Engine;
use super::pods::{self, PodOn};
use crate::{ClusterError, failed};
use std::time::Duration;

const TABLE: &str = "meshproof-control-plane";
const NAMESPACE: &str = "kube-system";
/// Where kubeadm has the API server listen.
const PORT: u16 = 6443;

/// Kills these processes. A kubelet that was started anew has forgotten how often it had to start a container again, and
/// does it at once.
const KILL: &str = r#"set -eu
kill -KILL "$@"
systemctl restart kubelet
"#;

/// Kills the API server and has its port refuse everybody for this time; what was done, in words.
pub(super) async fn kill_api_server(
    engine: &Engine,
    node: &str,
    duration: Duration,
) -> Result<String, ClusterError> {
    let act = "kill the API server";
    let pod = &name("kube-apiserver", node);
    let first = pods::first_processes(engine, on(node, pod)).await;
    let first = first.map_err(failed(act))?;
    let millis = duration.as_millis().max(1);
    let refuse = format!("add element inet {TABLE} away {{ {PORT} timeout {millis}ms }}\n");
    apply(engine, node, &refuse).await.map_err(failed(act))?;
    let mut arguments = vec!["sh", "-c", KILL, "kill"];
    arguments.extend(first.split_whitespace());
    match engine.in_node(node, &arguments, None).await {
        Ok(_) => Ok(format!("{pod} is killed")),
        Err(error) => {
            // What fails here heals by itself.
            let _ = give_api_server_back(engine, node).await;
            Err(failed(act)(error))
        }
    }
}

/// Lets everybody at its port again; fine when everybody is.
pub(super) async fn give_api_server_back(engine: &Engine, node: &str) -> Result<(), ClusterError> {
    apply(engine, node, "").await
}

/// Stops etcd for this time; what was done, in words.
pub(super) async fn freeze_etcd(
    engine: &Engine,
    node: &str,
    duration: Duration,
) -> Result<String, ClusterError> {
    pods::freeze(engine, on(node, &name("etcd", node)), duration).await
}

/// Lets it go on.
pub(super) async fn thaw_etcd(engine: &Engine, node: &str) -> Result<(), ClusterError> {
    pods::thaw(engine, on(node, &name("etcd", node))).await
}

/// The kubelet's name for what kubeadm has it run.
fn name(component: &str, node: &str) -> String {
    format!("{component}-{node}")
}

fn on<'a>(node: &'a str, name: &'a str) -> PodOn<'a> {
    PodOn {
        node,
        namespace: NAMESPACE,
        name,
    }
}

/// Applies rules after a table that refuses nobody.
async fn apply(engine: &Engine, node: &str, then: &str) -> Result<(), ClusterError> {
    let rules = format!("{}{then}", rules());
    engine.apply_rules(node, &rules).await
}

fn rules() -> String {
    // Declared and deleted first, so that applying it again replaces it. The API server speaks to itself by loopback while
    // it starts, which everybody else does not use.
    format!(
        "table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
  set away {{ type inet_service; flags timeout; }}
  chain arriving {{
    type filter hook input priority -300; policy accept;
    ip daddr 127.0.0.1 accept
    ip6 daddr ::1 accept
    tcp dport @away reject with tcp reset
  }}
}}
"
    )
}
