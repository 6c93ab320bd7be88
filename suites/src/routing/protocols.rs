//! What is spoken beside HTTP/1.1 goes where it belongs, as what it is.

use super::{answered_by, leave, scenario, traffic};
use crate::traffic::{answered, keeps_protocol, load_over, passes_both_sidecars, stop};
use harness_model::capability::Capability;
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::fault::Fault;
use harness_model::protocol::Protocol;
use harness_model::scenario::{Act, Disturbs, Scenario, Tag, Traffic};

/// What is spoken beside HTTP/1.1, with a name for traffic.
const OTHER_PROTOCOLS: [(Protocol, &str); 3] = [
    (Protocol::Http2, "http2"),
    (Protocol::Grpc, "grpc"),
    (Protocol::Tcp, "tcp"),
];

fn spoken(protocol: Protocol, name: &str, from: &str) -> Act {
    Act::Request(Traffic {
        protocol,
        ..traffic(name, from, "/", &[])
    })
}

pub(super) fn every_protocol() -> Scenario {
    let from = "frontend@$zone1";
    let mut scenario = scenario(
        "protocols",
        "HTTP/2, gRPC and bytes pass both sidecars as what they are, and are answered in the caller's own data center",
        OTHER_PROTOCOLS
            .map(|(protocol, name)| spoken(protocol, name, from))
            .into(),
        OTHER_PROTOCOLS
            .iter()
            .flat_map(|(_, name)| {
                [
                    answered(name),
                    passes_both_sidecars(name),
                    keeps_protocol(name),
                    Expectation::PrefersOwnZone {
                        traffic: (*name).to_owned(),
                        percent: 100,
                    },
                ]
            })
            .collect(),
    );
    scenario.requires.push(Capability::Protocols);
    scenario
}

pub(super) fn every_protocol_across_zones() -> Scenario {
    let away = OTHER_PROTOCOLS.map(|(protocol, name)| spoken(protocol, name, "frontend@$zone1"));
    Scenario {
        // The gate sees requests do so in `resilience/zone-cut-off`.
        tags: vec![Tag::Qa, Tag::PreRelease],
        requires: vec![Capability::ThreeZones, Capability::Protocols],
        disturbs: Disturbs::Everything,
        ..scenario(
            "protocols-across-zones",
            "HTTP/2, gRPC and bytes that nobody at home can answer pass both sidecars on their way to another data center",
            [leave("checkout", "$zone1")]
                .into_iter()
                .chain(away)
                .collect(),
            OTHER_PROTOCOLS
                .iter()
                .flat_map(|(_, name)| {
                    [
                        answered(name),
                        passes_both_sidecars(name),
                        keeps_protocol(name),
                        answered_by(name, "checkout"),
                    ]
                })
                .collect(),
        )
    }
}

/// Requests are tried again elsewhere. Of a connection only its making can be: what was said on it may have had its effect.
pub(super) fn unreachable_zone_is_failed_over_in_every_protocol() -> Scenario {
    let loads = [(Protocol::Grpc, "grpc"), (Protocol::Tcp, "tcp")];
    let starts =
        loads.map(|(protocol, name)| load_over(protocol, 20, name, "frontend@$zone1", "checkout"));
    let stops = loads.map(|(_, name)| stop(name));
    let then = loads.iter().flat_map(|(_, name)| {
        [
            Expectation::FailsOver {
                traffic: (*name).to_owned(),
                within: Span::secs(2),
            },
            passes_both_sidecars(name),
        ]
    });
    Scenario {
        tags: vec![Tag::PreRelease, Tag::Chaos],
        requires: vec![
            Capability::ThreeZones,
            Capability::ZoneCut,
            Capability::Protocols,
        ],
        disturbs: Disturbs::Everything,
        ..scenario(
            "protocols-unreachable-zone",
            "gRPC calls and new connections to a data center that cannot be reached are answered by another one within two seconds",
            [leave("checkout", "$zone1")]
                .into_iter()
                .chain(starts)
                .chain([
                    Act::Inject(Fault::ZoneOutage {
                        data_center: "$zone2".to_owned(),
                        duration: Span::secs(4),
                        without: None,
                    }),
                    Act::Recover,
                ])
                .chain(stops)
                .collect(),
            then.collect(),
        )
    }
}
