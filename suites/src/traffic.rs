//! The words that scenarios are written with: load, and what becomes of requests.

use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::protocol::{Connections, Protocol};
use harness_model::scenario::{Act, Load};
use std::collections::BTreeMap;

/// In what the caller speaks first, and nobody else speaks TLS.
pub(crate) const SPOKEN: [Protocol; 4] = [
    Protocol::Http1,
    Protocol::Http2,
    Protocol::Grpc,
    Protocol::Tcp,
];

/// Twenty requests a second: each that waits has a connection of its own, and all those do their handshakes at once when a
/// machine that was busy gets round to them. They go on until they are [stopped](stop()).
pub(crate) fn load(name: &str, from: &str, to: &str) -> Act {
    load_over(Protocol::Http1, 20, name, from, to)
}

/// So many exchanges a second over this protocol, until they are [stopped](stop()).
pub(crate) fn load_over(protocol: Protocol, rate: u32, name: &str, from: &str, to: &str) -> Act {
    Act::Load(Load {
        name: name.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        headers: BTreeMap::new(),
        protocol,
        connections: Connections::Usual,
        rate,
    })
}

/// So many messages a second over one connection of bytes or one stream, until they are [stopped](stop()).
pub(crate) fn load_kept(protocol: Protocol, rate: u32, name: &str, from: &str, to: &str) -> Act {
    let mut act = load_over(protocol, rate, name, from, to);
    if let Act::Load(load) = &mut act {
        load.connections = Connections::Kept;
    }
    act
}

/// Makes the probe end each answer so many milliseconds after it has begun it.
const END_LATE: &str = "x-probe-answer-end-after-ms";

/// So many requests a second whose answers take `takes` each, until they are [stopped](stop()). A sidecar may try a request
/// again elsewhere until it has passed the beginning of an answer on, and not after that: what is cut short shows.
pub(crate) fn load_slow(rate: u32, takes: Span, name: &str, from: &str, to: &str) -> Act {
    let mut act = load_over(Protocol::Http1, rate, name, from, to);
    if let Act::Load(load) = &mut act {
        load.headers = [(END_LATE.to_owned(), takes.0.as_millis().to_string())].into();
    }
    act
}

/// Connections of a steady load live on, with the certificate that they began with. Of these each is new, and shows what its
/// sidecar holds then: every exchange of bytes has a connection of its own.
pub(crate) fn fresh(from: &str) -> Act {
    load_over(Protocol::Tcp, 10, "fresh", from, "checkout")
}

/// The load ends.
pub(crate) fn stop(name: &str) -> Act {
    Act::Stop(name.to_owned())
}

/// Every request is answered.
pub(crate) fn answered(traffic: &str) -> Expectation {
    answered_but(traffic, 0)
}

/// Every request is answered but for so many.
pub(crate) fn answered_but(traffic: &str, lost: u64) -> Expectation {
    Expectation::Answered {
        traffic: traffic.to_owned(),
        lost,
    }
}

/// Every request reaches the callee's application as what it was sent.
pub(crate) fn keeps_protocol(traffic: &str) -> Expectation {
    Expectation::KeepsProtocol {
        traffic: traffic.to_owned(),
    }
}

/// No request goes by a sidecar.
pub(crate) fn passes_both_sidecars(traffic: &str) -> Expectation {
    Expectation::PassesBothSidecars {
        traffic: traffic.to_owned(),
    }
}

/// Every request that is answered came over TLS.
pub(crate) fn over_tls(traffic: &str) -> Expectation {
    Expectation::OverTls {
        traffic: traffic.to_owned(),
    }
}
