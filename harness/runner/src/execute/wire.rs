//! Looking at the packets of a batch between data centers, where somebody wants to know.

use super::Execution;
use harness_mesh::Workload;
use harness_model::causes::chain;
use harness_model::expectation::Expectation;
use harness_model::history::{EventKind, WireConnection};
use harness_model::scenario::Traffic;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

impl Execution {
    /// Begins to look, where an expectation is about what is seen. Says whether it does.
    pub(super) async fn watch_wire(&self, traffic: &Traffic, from: &Workload) -> bool {
        let is_asked = self.script.scenario.then.iter().any(|expectation| {
            matches!(expectation, Expectation::OnTheWire { traffic: name, .. } if *name == traffic.name)
        });
        if !is_asked {
            return false;
        }
        let clusters = self.environment.clusters();
        let started = match address(from) {
            Ok(source) => {
                let data_center = &from.sidecar.data_center;
                let started = clusters.watch_wire(data_center, source).await;
                started.map_err(|error| chain(&error))
            }
            Err(error) => Err(error),
        };
        match started {
            Ok(()) => true,
            Err(error) => {
                self.give_up(format!(
                    "a look at the packets of `{}`: {error}",
                    traffic.name
                ));
                false
            }
        }
    }

    /// Records what was seen of the connections to the service that was called.
    pub(super) async fn wire_seen(&self, traffic: &Traffic, from: &Workload) {
        let Ok(source) = address(from) else {
            return;
        };
        let clusters = self.environment.clusters();
        let seen = clusters.wire_seen(&from.sidecar.data_center, source).await;
        match seen {
            Ok(seen) => {
                let callees: BTreeSet<Ipv4Addr> = self
                    .environment
                    .watch()
                    .workloads()
                    .iter()
                    .filter(|workload| workload.sidecar.application == traffic.to)
                    .filter_map(|workload| address(workload).ok())
                    .collect();
                let is_callee = |connection: &WireConnection| {
                    let to = connection.to.parse::<SocketAddrV4>();
                    to.is_ok_and(|to| callees.contains(to.ip()))
                };
                self.recorder.push(EventKind::OnTheWire {
                    traffic: traffic.name.clone(),
                    connections: seen.connections.into_iter().filter(is_callee).collect(),
                    unseen: seen.unseen,
                });
            }
            Err(error) => self.give_up(format!(
                "what the packets of `{}` carried: {}",
                traffic.name,
                chain(&error)
            )),
        }
    }
}

fn address(workload: &Workload) -> Result<Ipv4Addr, String> {
    let ip = &workload.address.ip;
    ip.parse()
        .map_err(|error| format!("the address `{ip}` of {}: {error}", workload.sidecar.name))
}
