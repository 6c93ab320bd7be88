//! TLS between sidecars: the toggle reaches whom it is meant for, certificates are their own and are renewed, and who must
//! not come through is turned away for the right reason.

mod applications;
mod clients;
mod kept;
mod matrix;
mod rolled_back;
mod storm;
mod wire;

use crate::payload::{application, data_center, everybody, payload, payload_as, scope, workload};
use crate::traffic::{answered, fresh, load, load_over, over_tls, stop};
use harness_model::capability::Capability;
use harness_model::configuration::{Configuration, InboundTls, OutboundTls, Scope, Tls};
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::fault::{Fault, PodSelector};
use harness_model::history::RefusalCause;
use harness_model::protocol::Protocol;
use harness_model::scenario::{Act, Disturbs, Given, Scenario, Tag, Traffic};
use std::collections::BTreeMap;

/// The scenarios of this suite.
#[must_use]
pub fn all() -> Vec<Scenario> {
    vec![
        in_scope_only(),
        wire::strict_refuses_plaintext(),
        wire::on_the_wire(),
        matrix::impostor(),
        matrix::allowed_callers_in_other_protocols(),
        wire::connections_from_before(),
        kept::kept_connections(),
        rolled_back::rolled_back(),
        storm::handshake_storm(),
        renewal(),
        node_agent_killed(),
        authority_killed(),
    ]
    .into_iter()
    .chain(clients::all())
    .chain(matrix::all())
    .chain(applications::all())
    // They run one after the other, beside those that send nothing: what sends all the time, and what would wait for the others'
    // reconnections, comes when these are done.
    .chain([step_by_step(), client_needs_a_server(), allowed_callers()])
    .collect()
}

/// What a sidecar takes.
fn takes(mode: InboundTls) -> Tls {
    Tls {
        inbound: Some(mode),
        ..Tls::default()
    }
}

/// What a sidecar offers.
fn offers(mode: OutboundTls) -> Tls {
    Tls {
        outbound: Some(mode),
        ..Tls::default()
    }
}

/// TLS in both directions.
fn both(inbound: InboundTls) -> Tls {
    Tls {
        inbound: Some(inbound),
        ..offers(OutboundTls::Strict)
    }
}

/// The payload of the other suites with TLS beside it.
fn with_tls(name: &str, scope: Scope, tls: Tls) -> Configuration {
    Configuration {
        tls: Some(tls),
        ..payload_as(name, scope, "v1", &format!("-{name}"))
    }
}

pub(crate) fn batch(name: &str, from: &str, to: &str) -> Act {
    Act::Request(Traffic {
        name: name.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        path: "/".to_owned(),
        headers: BTreeMap::new(),
        protocol: Protocol::Http1,
        count: 12,
    })
}

fn in_plaintext(traffic: &str) -> Expectation {
    Expectation::InPlaintext {
        traffic: traffic.to_owned(),
    }
}

fn refused(traffic: &str, because: RefusalCause) -> Expectation {
    Expectation::Refused {
        traffic: traffic.to_owned(),
        because,
    }
}

/// What every scenario about TLS needs.
pub(crate) fn requirements() -> Vec<Capability> {
    vec![Capability::ThreeZones, Capability::Tls]
}

fn scenario(name: &str, claim: &str, when: Vec<Act>, then: Vec<Expectation>) -> Scenario {
    Scenario {
        name: format!("tls/{name}"),
        claim: claim.to_owned(),
        tags: vec![Tag::Gate, Tag::Qa],
        requires: requirements(),
        disturbs: Disturbs::Traffic,
        given: Given::default(),
        when,
        then,
    }
}

/// For QA and releases alone: the gate is to be short.
fn beyond_the_gate(scenario: Scenario) -> Scenario {
    Scenario {
        tags: vec![Tag::Qa, Tag::PreRelease],
        ..scenario
    }
}

fn in_scope_only() -> Scenario {
    let zone = scope([data_center("$zone1")]);
    let mut scenario = scenario(
        "scope",
        "the TLS toggle of one data center makes exactly the sidecars there fetch their own certificates and speak TLS",
        vec![
            Act::Apply(Configuration {
                tls: Some(both(InboundTls::Permissive)),
                ..payload("scoped", zone, "v1")
            }),
            batch("in-scope", "frontend@$zone1", "checkout"),
            batch("out-of-scope", "frontend@$zone2", "checkout"),
            Act::Reconnect,
            Act::Delete("scoped".to_owned()),
            batch("afterwards", "frontend@$zone1", "checkout"),
        ],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            answered("in-scope"),
            over_tls("in-scope"),
            answered("out-of-scope"),
            in_plaintext("out-of-scope"),
            answered("afterwards"),
            in_plaintext("afterwards"),
        ],
    );
    scenario.requires.push(Capability::SeveralReplicas);
    scenario.requires.push(Capability::Reconnect);
    scenario
}

/// The order in which an operator turns TLS on and off: a caller must not offer what a callee does not take yet.
fn step_by_step() -> Scenario {
    let callee = |mode| Act::Apply(with_tls("callee", scope([everybody()]), takes(mode)));
    let caller = |mode| Act::Apply(with_tls("caller", scope([everybody()]), offers(mode)));
    let from = "frontend@$zone1";
    let bytes = load_over(Protocol::Tcp, 10, "bytes", from, "checkout");
    let calls = load_over(Protocol::Grpc, 10, "calls", from, "checkout");
    let http2 = load_over(Protocol::Http2, 10, "http2", from, "checkout");
    let mut scenario = scenario(
        "step-by-step",
        "TLS is turned on from plaintext over permissive to strict and off again without a lost request, call or connection",
        vec![
            steady(from),
            http2,
            calls,
            bytes,
            callee(InboundTls::Permissive),
            batch("callee-permissive", from, "checkout"),
            caller(OutboundTls::Strict),
            batch("caller-strict", from, "checkout"),
            callee(InboundTls::Strict),
            batch("both-strict", from, "checkout"),
            callee(InboundTls::Permissive),
            caller(OutboundTls::Plaintext),
            batch("caller-off", from, "checkout"),
            Act::Delete("callee".to_owned()),
            stop("steady"),
            stop("http2"),
            stop("calls"),
            stop("bytes"),
        ],
        vec![
            Expectation::Delivered,
            answered("steady"),
            answered("http2"),
            answered("calls"),
            answered("bytes"),
            answered("callee-permissive"),
            in_plaintext("callee-permissive"),
            answered("caller-strict"),
            over_tls("caller-strict"),
            answered("both-strict"),
            over_tls("both-strict"),
            answered("caller-off"),
            in_plaintext("caller-off"),
        ],
    );
    scenario.requires.push(Capability::Protocols);
    scenario
}

fn client_needs_a_server() -> Scenario {
    let caller = scope([application("frontend")]);
    scenario(
        "no-fallback",
        "a strict caller does not fall back to plaintext where the callee speaks no TLS",
        vec![
            Act::Apply(with_tls("caller", caller, offers(OutboundTls::Strict))),
            batch("to-plaintext", "frontend@$zone1", "checkout"),
            batch("by-others", "inventory@$zone1", "checkout"),
        ],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            refused("to-plaintext", RefusalCause::NoTls),
            answered("by-others"),
            in_plaintext("by-others"),
        ],
    )
}

/// The callee takes TLS only, and of callers `frontend` alone.
fn only_frontend_may_call() -> Act {
    let tls = Tls {
        allow: Some(vec!["frontend".to_owned()]),
        ..takes(InboundTls::Strict)
    };
    Act::Apply(with_tls("callee", scope([application("checkout")]), tls))
}

fn allowed_callers() -> Scenario {
    scenario(
        "allowed-callers",
        "only callers whose certificate carries an allowed identity come through, and the list is nobody else's",
        vec![
            only_frontend_may_call(),
            Act::Apply(with_tls(
                "callers",
                scope([
                    application("frontend"),
                    workload("inventory", "$zone1"),
                    workload("inventory", "$zone3"),
                ]),
                both(InboundTls::Permissive),
            )),
            batch("allowed", "frontend@$zone1", "checkout"),
            batch("not-allowed", "inventory@$zone1", "checkout"),
            batch("in-plaintext", "inventory@$zone2", "checkout"),
            batch("unrestricted", "inventory@$zone1", "frontend"),
        ],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            answered("allowed"),
            over_tls("allowed"),
            refused("not-allowed", RefusalCause::NotAllowed),
            refused("in-plaintext", RefusalCause::Plaintext),
            answered("unrestricted"),
            over_tls("unrestricted"),
        ],
    )
}

pub(crate) fn kill(component: &str) -> Act {
    Act::Inject(Fault::PodKill {
        selector: PodSelector::Component(component.to_owned()),
    })
}

pub(crate) fn steady(from: &str) -> Act {
    load("steady", from, "checkout")
}

/// Everybody speaks TLS and nothing else.
pub(crate) fn strict_everywhere() -> Act {
    strict("everybody", scope([everybody()]))
}

/// Whom the scope is for speaks TLS and nothing else.
pub(crate) fn strict(name: &str, scope: Scope) -> Act {
    Act::Apply(with_tls(name, scope, both(InboundTls::Strict)))
}

/// Something dies while new connections are made.
fn breaking(scenario: Scenario) -> Scenario {
    Scenario {
        requires: [requirements(), vec![Capability::Protocols]].concat(),
        disturbs: Disturbs::Everything,
        tags: vec![Tag::Qa, Tag::PreRelease, Tag::Chaos],
        ..scenario
    }
}

/// Every node agent dies, and with it the keys that it has in memory: sidecars go on with what they hold, and get new
/// certificates from the agents that come back.
fn node_agent_killed() -> Scenario {
    breaking(scenario(
        "node-agent-killed",
        "traffic goes on while every node agent is away, and sidecars get new certificates once they are back",
        vec![
            strict_everywhere(),
            steady("frontend@$zone1"),
            fresh("frontend@$zone2"),
            kill("node-agent"),
            Act::Recover,
            Act::Hold(Span::secs(3)),
            stop("steady"),
            stop("fresh"),
        ],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            Expectation::Renewed { since: 3 },
            answered("steady"),
            over_tls("steady"),
            answered("fresh"),
            over_tls("fresh"),
        ],
    ))
}

/// Every replica of the authority dies: certificates serve until they end, and are renewed in time.
fn authority_killed() -> Scenario {
    breaking(scenario(
        "authority-killed",
        "traffic goes on and certificates are renewed in time though every replica of the certificate authority dies",
        vec![
            strict_everywhere(),
            steady("frontend@$zone1"),
            fresh("frontend@$zone2"),
            kill("certificate-authority"),
            Act::Recover,
            Act::Hold(Span::secs(14)),
            stop("steady"),
            stop("fresh"),
        ],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            Expectation::Renewed { since: 5 },
            answered("steady"),
            over_tls("steady"),
            answered("fresh"),
            over_tls("fresh"),
        ],
    ))
}

/// Certificates live for twenty seconds and are renewed after ten to twelve of them. Every one is renewed four times: of three
/// pauses of each both ends are seen, however late in the first one the hold begins.
fn renewal() -> Scenario {
    let from = "frontend@$zone2";
    let scenario = scenario(
        "renewal",
        "certificates are renewed before they end, on the streams that are open and not all together, and no request notices",
        vec![
            strict_everywhere(),
            steady(from),
            Act::Hold(Span::secs(52)),
            stop("steady"),
            batch("afterwards", from, "checkout"),
        ],
        vec![
            Expectation::Delivered,
            Expectation::Renewed { since: 2 },
            Expectation::KeepsStream { since: 2 },
            Expectation::SpreadsRenewals { since: 2 },
            answered("steady"),
            over_tls("steady"),
            answered("afterwards"),
            over_tls("afterwards"),
        ],
    );
    // What takes a certificate's life is too long for a gate.
    beyond_the_gate(scenario)
}
