//! How long a packet and its answer take between the data centers of a kept cluster: a shell in the first node of each dials
//! the kubelets of the others. The answer to the first packet of a connection comes from the kernel there.

use super::engine::Engine;
use super::state::Listed;
use super::zone::{self, KUBELET_PORT, Worker};
use crate::round_trip::RoundTrip;
use crate::{ClusterError, api};
use futures::future::join_all;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Takes a port and addresses, and says for each connection that came about the address and the microseconds it took. Each is
/// measured three times; what has no answer is given up after two seconds.
const DIAL: &str = r#"port=$1
shift
for address in "$@"; do
    for _ in 1 2 3; do
        timeout 2 bash -c 'begun=${EPOCHREALTIME/[.,]/}
exec 3<> "/dev/tcp/$0/$1" || exit 1
echo "$0 $((${EPOCHREALTIME/[.,]/} - begun))"' "$address" "$port" 2> /dev/null || true
    done
done
"#;

/// Measures the round trips between the data centers of a kept cluster, each pair once; nothing is changed there.
///
/// # Errors
///
/// When its API server or the container engine cannot be asked, or it is not kept.
pub async fn round_trips(listed: &Listed) -> Result<Vec<RoundTrip>, ClusterError> {
    let Some(topology) = &listed.topology else {
        let act = format!("measure the round trips of cluster `{}`", listed.name);
        return Err(ClusterError::because(act, "it is not kept".to_owned()));
    };
    let engine = Engine::find().await?;
    let client = api::client::from_file(&listed.kubeconfig, None).await?;
    let workers = zone::workers(&client).await?;
    let zones: Vec<&str> = topology
        .data_centers()
        .map(|data_center| data_center.name.as_str())
        .collect();
    let firsts = first_of_each(&zones, &workers);
    let from_each = firsts.iter().enumerate().map(|(number, (from, worker))| {
        let later = &firsts[number + 1..];
        let engine = &engine;
        async move {
            let told = dial(engine, &worker.name, later).await;
            later.iter().map(move |(to, worker)| {
                let measured = worker.address().and_then(|at| told.get(&at).copied());
                RoundTrip::new(topology, (*from).to_owned(), (*to).to_owned(), measured)
            })
        }
    });
    Ok(join_all(from_each).await.into_iter().flatten().collect())
}

/// The first node of each data center, in the order of the topology.
fn first_of_each<'a>(zones: &[&'a str], workers: &'a [Worker]) -> Vec<(&'a str, &'a Worker)> {
    let first = |zone: &&'a str| {
        let mut inside = workers.iter().filter(|worker| worker.data_center == *zone);
        inside.next().map(|worker| (*zone, worker))
    };
    zones.iter().filter_map(first).collect()
}

/// The shortest of what was measured from a node, by the other node's address. Nothing where the node cannot be asked.
async fn dial(
    engine: &Engine,
    node: &str,
    others: &[(&str, &Worker)],
) -> BTreeMap<Ipv4Addr, Duration> {
    let addresses = others.iter().filter_map(|(_, worker)| worker.address());
    let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
    if addresses.is_empty() {
        return BTreeMap::new();
    }
    let port = KUBELET_PORT.to_string();
    let mut command = vec!["bash", "-c", DIAL, "dial", &port];
    command.extend(addresses.iter().map(String::as_str));
    match engine.in_node(node, &command, None).await {
        Ok(said) => shortest(&said),
        Err(error) => {
            tracing::warn!(%error, node, "round trips are not measured");
            BTreeMap::new()
        }
    }
}

/// Reads what [`DIAL`] says: a busy machine only adds, so the shortest counts.
fn shortest(said: &str) -> BTreeMap<Ipv4Addr, Duration> {
    let mut all = BTreeMap::new();
    for line in said.lines() {
        let Some((address, micros)) = line.split_once(' ') else {
            continue;
        };
        if let (Ok(address), Ok(micros)) = (address.parse(), micros.parse()) {
            let took = Duration::from_micros(micros);
            all.entry(address)
                .and_modify(|least: &mut Duration| *least = took.min(*least))
                .or_insert(took);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::process::Command;

    #[test]
    fn the_shortest_of_each_address_counts() {
        let all = shortest("10.0.0.2 900\n10.0.0.3 40\n10.0.0.2 30100\n10.0.0.2 x\nnoise\n");
        let micros = |last| {
            all.get(&Ipv4Addr::new(10, 0, 0, last))
                .map(Duration::as_micros)
        };
        assert_eq!(
            [micros(2), micros(3), micros(4)],
            [Some(900), Some(40), None]
        );
    }

    /// With the shell and the connections of this machine, as a node has them.
    #[test]
    fn a_shell_measures_who_answers_and_leaves_out_who_does_not() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        // Nobody listens at the second address.
        let output = Command::new("bash")
            .args(["-c", DIAL, "dial", &port, "127.0.0.1", "127.0.0.9"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.lines().count(), 3, "{said}");
        let all = shortest(&said);
        let known: Vec<_> = all.keys().copied().collect();
        assert_eq!(known, [Ipv4Addr::LOCALHOST]);
        assert!(all[&Ipv4Addr::LOCALHOST] < Duration::from_secs(2));
    }

    #[test]
    fn data_centers_are_in_the_order_of_the_topology_each_with_its_first_node() {
        let worker = |name: &str, data_center: &str| Worker {
            name: name.to_owned(),
            data_center: data_center.to_owned(),
            addresses: Vec::new(),
        };
        let workers = [worker("w1", "b"), worker("w2", "a"), worker("w3", "b")];
        let firsts = first_of_each(&["a", "b", "c"], &workers);
        let names: Vec<_> = firsts
            .iter()
            .map(|(zone, worker)| (*zone, worker.name.as_str()))
            .collect();
        assert_eq!(names, [("a", "w2"), ("b", "w1")]);
    }
}
