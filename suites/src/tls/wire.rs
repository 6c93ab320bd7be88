//! What can be read on the way, and what becomes of connections from before.

use super::{
    batch, beyond_the_gate, both, in_plaintext, offers, refused, scenario, takes, with_tls,
};
use crate::payload::{application, everybody, scope};
use crate::traffic::{SPOKEN, answered, load_over};
use harness_model::capability::Capability;
use harness_model::configuration::{InboundTls, OutboundTls};
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::history::{RefusalCause, Spoken};
use harness_model::protocol::Protocol;
use harness_model::scenario::{Act, Disturbs, Scenario, Tag, Traffic};
use std::collections::BTreeMap;

/// What the callee's sidecar says of TLS is one thing; what somebody between two data centers can read is another.
pub(super) fn on_the_wire() -> Scenario {
    let from = "frontend@$zone1";
    let send = |prefix: &str| {
        SPOKEN.map(|protocol| {
            let name = format!("{prefix}-{}", short(protocol));
            (protocol, name)
        })
    };
    let act = |(protocol, name): &(Protocol, String)| spoken(*protocol, name, from, "checkout");
    let seen = |(_, name): &(Protocol, String), is| {
        let traffic = name.clone();
        [answered(name), Expectation::OnTheWire { traffic, is }]
    };
    let (before, after) = (send("before"), send("after"));
    let mut scenario = scenario(
        "on-the-wire",
        "packets between data centers can be read while TLS is off, and cannot while it is on, whatever is spoken",
        [leave("checkout", "$zone1")]
            .into_iter()
            .chain(before.iter().map(act))
            .chain([Act::Apply(with_tls(
                "everybody",
                scope([everybody()]),
                both(InboundTls::Strict),
            ))])
            .chain(after.iter().map(act))
            .collect(),
        [Expectation::Delivered]
            .into_iter()
            .chain(before.iter().flat_map(|sent| seen(sent, Spoken::Plaintext)))
            .chain(after.iter().flat_map(|sent| seen(sent, Spoken::Tls)))
            .collect(),
    );
    scenario.disturbs = Disturbs::Everything;
    scenario
        .requires
        .extend([Capability::Wire, Capability::Protocols]);
    // The gate has what both sidecars say of each request.
    beyond_the_gate(scenario)
}

fn leave(application: &str, zone: &str) -> Act {
    Act::Leave {
        application: application.to_owned(),
        data_center: zone.to_owned(),
    }
}

/// What is spoken, in names of traffic.
pub(super) fn short(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "http1",
        Protocol::Http2 => "http2",
        Protocol::Grpc => "grpc",
        Protocol::Tcp => "tcp",
        Protocol::ServerFirst => "server-first",
        Protocol::ApplicationTls => "application-tls",
    }
}

pub(super) fn spoken(protocol: Protocol, name: &str, from: &str, to: &str) -> Act {
    Act::Request(Traffic {
        name: name.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        path: "/".to_owned(),
        headers: BTreeMap::new(),
        protocol,
        count: 4,
    })
}

/// How long after a write connections from before may still be used, a bound of its own: two seconds until sidecars are told,
/// whatever a run grants deliveries, one of draining, one for a busy machine.
pub(super) const OLD_CONNECTIONS: Span = Span::secs(4);

pub(super) fn strict_refuses_plaintext() -> Scenario {
    let callee = scope([application("checkout")]);
    let scenario = scenario(
        "strict-refuses-plaintext",
        "a strict callee closes connections in plaintext, those from before within two seconds after it shows that it is strict, and others go on as before",
        vec![
            // Its connections are kept, and would be used again as long as the callee takes what comes on them.
            batch("before", "frontend@$zone1", "checkout"),
            Act::Apply(with_tls("callee", callee, takes(InboundTls::Strict))),
            // Connections from before are drained for a second.
            Act::Hold(Span::secs(2)),
            batch("plaintext", "frontend@$zone1", "checkout"),
            batch("elsewhere", "frontend@$zone1", "inventory"),
        ],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            answered("before"),
            in_plaintext("before"),
            refused("plaintext", RefusalCause::Plaintext),
            answered("elsewhere"),
            in_plaintext("elsewhere"),
        ],
    );
    // The gate sees in `allowed-callers` what a strict callee takes, and that nobody else is one.
    beyond_the_gate(scenario)
}

/// Connections are kept and used for many requests, and a toggle says nothing to those who have one.
pub(super) fn connections_from_before() -> Scenario {
    // Each has connections of its own. A callee's sidecar that ends them by and by, over minutes, ends some at once, as chance has
    // it, but hardly those of all four.
    let loads: Vec<(Protocol, &str, String)> = [Protocol::Http1, Protocol::Grpc]
        .into_iter()
        .flat_map(|protocol| {
            ["checkout", "inventory"]
                .map(|callee| (protocol, callee, format!("{}-{callee}", short(protocol))))
        })
        .collect();
    let caller = |mode| Act::Apply(with_tls("caller", scope([everybody()]), offers(mode)));
    let mut when = vec![Act::Apply(with_tls(
        "callee",
        scope([everybody()]),
        takes(InboundTls::Permissive),
    ))];
    when.extend(
        loads.iter().map(|(protocol, callee, name)| {
            load_over(*protocol, 10, name, "frontend@$zone1", callee)
        }),
    );
    let mut then = vec![Expectation::Delivered];
    then.extend(loads.iter().map(|(.., name)| answered(name)));
    // At last it is the callee that turns TLS off. A permissive caller goes on with the connections that it has: only the callee
    // can end them.
    for (act, is) in [
        (caller(OutboundTls::Strict), Spoken::Tls),
        (caller(OutboundTls::Plaintext), Spoken::Plaintext),
        (caller(OutboundTls::Permissive), Spoken::Tls),
        (Act::Delete("callee".to_owned()), Spoken::Plaintext),
    ] {
        then.extend(loads.iter().map(|(.., name)| Expectation::MovesTo {
            traffic: name.clone(),
            step: when.len(),
            within: OLD_CONNECTIONS,
            is,
        }));
        when.extend([act, Act::Hold(Span::secs(5))]);
    }
    when.extend(loads.into_iter().map(|(.., name)| Act::Stop(name)));
    let mut scenario = Scenario {
        tags: vec![Tag::Qa, Tag::PreRelease],
        // It is about time, so nobody else takes the processor.
        disturbs: Disturbs::Everything,
        ..scenario(
            "connections-from-before",
            "four seconds after TLS is turned on or off, at callers or at callees, no connection from before is used, and no request was lost to that",
            when,
            then,
        )
    };
    scenario.requires.push(Capability::Protocols);
    scenario
}
