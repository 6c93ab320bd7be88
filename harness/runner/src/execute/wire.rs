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
                let (connections, answers) = directions(source, &callees, seen.connections);
                self.recorder.push(EventKind::OnTheWire {
                    traffic: traffic.name.clone(),
                    connections,
                    answers: Some(answers),
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

/// What went from the caller to the callees, and what came back of that: on a connection over which nothing was sent it is of
/// something earlier, and may begin in the middle of it.
fn directions(
    caller: Ipv4Addr,
    callees: &BTreeSet<Ipv4Addr>,
    seen: Vec<WireConnection>,
) -> (Vec<WireConnection>, Vec<WireConnection>) {
    let is_callee = |end: &str| {
        let end = end.parse::<SocketAddrV4>();
        end.is_ok_and(|end| callees.contains(end.ip()) && *end.ip() != caller)
    };
    let with_callees = seen
        .into_iter()
        .filter(|connection| is_callee(&connection.from) != is_callee(&connection.to));
    let (there, mut back): (Vec<_>, Vec<_>) =
        with_callees.partition(|connection| is_callee(&connection.to));
    let is_of = |answer: &WireConnection, asked: &WireConnection| {
        asked.from == answer.to && asked.to == answer.from
    };
    back.retain(|answer| there.iter().any(|asked| is_of(answer, asked)));
    (there, back)
}

fn address(workload: &Workload) -> Result<Ipv4Addr, String> {
    let ip = &workload.address.ip;
    ip.parse()
        .map_err(|error| format!("the address `{ip}` of {}: {error}", workload.sidecar.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_model::history::Spoken;

    #[test]
    fn what_comes_back_is_told_from_what_was_sent_and_others_are_left_out() {
        let connection = |from: &str, to: &str| WireConnection {
            from: from.to_owned(),
            to: to.to_owned(),
            spoken: Spoken::Tls,
        };
        let callees = [Ipv4Addr::new(10, 0, 2, 1), Ipv4Addr::new(10, 0, 3, 1)];
        let asked = connection("10.0.1.1:4000", "10.0.2.1:8080");
        let answered = connection("10.0.2.1:8080", "10.0.1.1:4000");
        // Sent again, of a connection from before: no record of TLS begins with it.
        let stale = WireConnection {
            spoken: Spoken::Plaintext,
            ..connection("10.0.3.1:8080", "10.0.1.1:3999")
        };
        let elsewhere = connection("10.0.1.1:4001", "10.0.9.9:443");
        let (there, back) = directions(
            Ipv4Addr::new(10, 0, 1, 1),
            &callees.into(),
            vec![answered.clone(), stale, elsewhere, asked.clone()],
        );
        assert_eq!((there, back), (vec![asked], vec![answered]));
    }
}
