//! How long a packet and its answer take between the data centers of a running cluster: measured where its nodes are,
//! through everything that is between them.

use super::plan::Plan;
use super::wiring::Network;
use super::{control, control_socket, failed, run_folder};
use crate::ClusterError;
use crate::round_trip::RoundTrip;
use harness_kubelet::KUBELET_PORT;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How often each is measured; the shortest counts, since a busy machine only adds.
const TIMES: usize = 3;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Measures the round trips between the data centers of a running cluster, each pair once.
///
/// # Errors
///
/// When no cluster of this name is up.
pub async fn round_trips(name: &str) -> Result<Vec<RoundTrip>, ClusterError> {
    let folder = run_folder::of(name);
    let act = || format!("measure the round trips of cluster `{name}`");
    let topology = run_folder::description(&folder)
        .map_err(failed(act()))?
        .topology;
    let request = super::protocol::Request::RoundTrips;
    let told = control::ask(&control_socket(&folder), &request).await?;
    let measured: Vec<(String, String, Option<Duration>)> =
        serde_json::from_str(&told).map_err(failed(act()))?;
    Ok(measured
        .into_iter()
        .map(|(from, to, measured)| RoundTrip::new(&topology, from, to, measured))
        .collect())
}

/// The fabric's part: from the first node of each data center to the kubelet of the first node of each later one. The
/// answer to the first packet of a connection comes from the kernel there.
pub(super) fn between_zones(
    plan: &Plan,
    network: &Network,
) -> Vec<(String, String, Option<Duration>)> {
    let mut all = Vec::new();
    for (number, zone) in plan.zones.iter().enumerate() {
        let namespace = zone
            .nodes
            .first()
            .and_then(|node| network.nodes.get(&node.name));
        for other in plan.zones.iter().skip(number + 1) {
            let address = other
                .nodes
                .first()
                .map(|node| SocketAddr::from((node.internal_ip, KUBELET_PORT)));
            let measured = namespace
                .zip(address)
                .and_then(|(namespace, address)| namespace.run_in(|| shortest(address)).ok()?);
            all.push((
                zone.data_center.clone(),
                other.data_center.clone(),
                measured,
            ));
        }
    }
    all
}

fn shortest(address: SocketAddr) -> Option<Duration> {
    let measure = |_| {
        let started = Instant::now();
        let connected = TcpStream::connect_timeout(&address, PATIENCE);
        connected.is_ok().then(|| started.elapsed())
    };
    (0..TIMES).filter_map(measure).min()
}
