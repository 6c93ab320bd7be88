//! Certificates that are to be renewed while what gives them is away, slow or cut off.

use super::{hold, scenario};
use crate::tls::{self, batch, steady, strict_everywhere};
use crate::traffic::{answered, fresh, over_tls, stop};
use harness_model::asking::{Ask, AuditOutcome, DenialCause, Desk};
use harness_model::capability::Capability;
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::fault::{Fault, PodSelector};
use harness_model::history::RefusalCause;
use harness_model::scenario::{Act, Rollout, Scenario};

/// The name that the mesh definitions give the certificate authority.
const AUTHORITY: &str = "certificate-authority";
/// And the key service.
const KEY_SERVICE: &str = "key-service";
/// And the node agents.
const NODE_AGENT: &str = "node-agent";

/// The scenarios about certificates.
pub(super) fn all() -> Vec<Scenario> {
    vec![
        authority_away(),
        authority_away_past_expiry(),
        node_agents_away(),
        authority_replica_killed(),
        authority_slow(),
        authority_cut_off(),
        key_service_frozen(),
        key_service_away(),
        key_service_denies(),
        key_service_audit(),
        rolled_out(),
    ]
}

/// Certificates live for twenty seconds and are renewed after ten to twelve of them: the fault is there when they are to
/// be renewed, and gone before they end. Node agents keep what they have for a minute, so new ones are started first: then
/// every certificate is as old as the scenario.
fn while_renewed(name: &str, claim: &str, from: &str, faults: Vec<Act>) -> Scenario {
    after(7, name, claim, from, faults)
}

/// The same with faults that begin so many seconds after everybody has a certificate.
fn after(seconds: u64, name: &str, claim: &str, from: &str, faults: Vec<Act>) -> Scenario {
    let mut when = vec![
        Act::Inject(Fault::PodKill {
            selector: PodSelector::Component(NODE_AGENT.to_owned()),
        }),
        Act::Recover,
        strict_everywhere(),
        steady(from),
        fresh(from),
        hold(seconds),
    ];
    let since = when.len();
    when.extend(faults);
    // With the faults, which take five seconds or more, longer than the twelve after which every certificate has been renewed:
    // who was renewed just before them, on a machine that is slow to begin, is renewed again.
    when.extend([hold(8), stop("steady"), stop("fresh")]);
    Scenario {
        // Before TLS there must be something whose absence elsewhere can be proven.
        given: super::steady(),
        ..under_tls(name, claim, since, when)
    }
}

/// Traffic over TLS goes on, on connections from before and on new ones, which a certificate that has ended would not get;
/// each certificate is renewed from that step on, and nobody is disturbed otherwise.
pub(super) fn under_tls(name: &str, claim: &str, since: usize, when: Vec<Act>) -> Scenario {
    Scenario {
        requires: [tls::requirements(), vec![Capability::Protocols]].concat(),
        ..scenario(
            name,
            claim,
            when,
            vec![
                Expectation::Delivered,
                Expectation::Renewed { since },
                Expectation::Confined,
                answered("steady"),
                over_tls("steady"),
                answered("fresh"),
                over_tls("fresh"),
            ],
        )
    }
}

fn authority_away() -> Scenario {
    while_renewed(
        "authority-away",
        "certificates serve while the certificate authority is away when they are to be renewed, and are renewed before they end",
        "frontend@$zone1",
        vec![
            Act::Inject(Fault::ComponentOutage {
                component: AUTHORITY.to_owned(),
                duration: Span::secs(5),
            }),
            Act::Recover,
        ],
    )
}

/// Every certificate has ended before the authority is back, and what nobody can prove is refused. Whom the refusals hit sends
/// nothing else: a connection from before is not ended by the end of a certificate (RFC 8446 does not say so, and Envoy does
/// not do it), and a sidecar leaves a callee that refused it alone for seconds.
fn authority_away_past_expiry() -> Scenario {
    let when = vec![
        strict_everywhere(),
        steady("frontend@$zone1"),
        batch("before", "frontend@$zone2", "checkout"),
        Act::Inject(Fault::ComponentOutage {
            component: AUTHORITY.to_owned(),
            duration: Span::secs(40),
        }),
        // Nobody has a certificate for less than eight seconds more when the authority goes, and whoever sends here has sent
        // nothing before: its connections are new.
        batch("meanwhile", "inventory@$zone1", "checkout"),
        // A certificate lives for twenty seconds, and the last ones were issued just before.
        hold(21),
        batch("ended", "inventory@$zone2", "checkout"),
        Act::Recover,
        // The mesh's bound for everything to be as configured again.
        hold(20),
        batch("afterwards", "frontend@$zone3", "checkout"),
        stop("steady"),
    ];
    Scenario {
        requires: tls::requirements(),
        ..scenario(
            "authority-away-past-expiry",
            "without an authority new connections are made until certificates end and refused from then on, and everybody gets a new one once it is back",
            when,
            vec![
                Expectation::Delivered,
                Expectation::Confined,
                answered("before"),
                over_tls("before"),
                answered("meanwhile"),
                over_tls("meanwhile"),
                Expectation::Refused {
                    traffic: "ended".to_owned(),
                    because: RefusalCause::Expired,
                },
                Expectation::Renewed { since: 7 },
                answered("afterwards"),
                over_tls("afterwards"),
                // It may lose requests, but nothing of it goes without TLS.
                over_tls("steady"),
            ],
        )
    }
}

/// What a sidecar holds serves without an agent, whose keys go with it: the new ones have nothing, so what they give at first is
/// new anyhow. That they renew shows in what comes after it.
fn node_agents_away() -> Scenario {
    let faults = vec![
        // Until certificates are to be renewed, or nearly so.
        Act::Inject(Fault::ComponentOutage {
            component: NODE_AGENT.to_owned(),
            duration: Span::secs(8),
        }),
        Act::Recover,
        // With the hold that follows longer than the twelve seconds after which all of the new ones have been renewed.
        hold(11),
    ];
    let mut scenario = after(
        1,
        "node-agents-away",
        "certificates serve while every node agent is away, on new connections too, and are given anew and renewed once the agents are back",
        "frontend@$zone2",
        faults,
    );
    scenario.then.push(Expectation::Renewed { since: 8 });
    scenario
}

/// The other replica goes on, and nobody has to wait for the one that comes in its place. First both that were there are killed,
/// one after the other, so that certificates are to be renewed by who has lost a connection to one of them; then another one,
/// when they are.
fn authority_replica_killed() -> Scenario {
    let kill = || {
        let selector = PodSelector::Replica(AUTHORITY.to_owned());
        vec![Act::Inject(Fault::PodKill { selector }), Act::Recover]
    };
    after(
        4,
        "authority-replica-killed",
        "certificates are renewed though each replica of the certificate authority is killed in its turn, the last one when they are to be renewed",
        "frontend@$zone1",
        [kill(), kill(), kill(), vec![hold(1)]].concat(),
    )
}

/// It answers each call, late: not so late that whoever asks for a sign of life takes it for dead, which agents do after two
/// seconds. The fault lasts until each certificate has been due, on a fast machine and on a slow one.
fn authority_slow() -> Scenario {
    while_renewed(
        "authority-slow",
        "certificates are renewed in time though the certificate authority takes more than a second for each answer when they are to be renewed",
        "frontend@$zone2",
        vec![
            Act::Inject(Fault::LateAnswers {
                component: AUTHORITY.to_owned(),
                delay: Span::millis(1200),
                duration: Span::secs(7),
            }),
            Act::Recover,
        ],
    )
}

/// No authority can sign without the key service, which runs elsewhere: where it does not, nothing is decided.
fn authority_cut_off() -> Scenario {
    while_renewed(
        "authority-cut-off",
        "certificates serve in a data center from which no authority that can sign is reached when they are to be renewed, and are renewed before they end",
        "frontend@$zone3",
        vec![
            Act::Inject(Fault::ZoneOutage {
                data_center: "$zone3".to_owned(),
                duration: Span::secs(5),
                without: Some(KEY_SERVICE.to_owned()),
            }),
            Act::Recover,
        ],
    )
}

fn key_service_frozen() -> Scenario {
    while_renewed(
        "key-service-frozen",
        "certificates serve while the key service hangs when they are to be renewed, and are renewed before they end",
        "frontend@$zone2",
        vec![
            Act::Inject(Fault::PodFreeze {
                selector: PodSelector::Component(KEY_SERVICE.to_owned()),
                duration: Span::secs(5),
            }),
            Act::Recover,
        ],
    )
}

/// An authority without it cannot sign, and says so at once.
fn key_service_away() -> Scenario {
    while_renewed(
        "key-service-away",
        "certificates serve while the key service is away when they are to be renewed, and are renewed before they end",
        "frontend@$zone3",
        vec![
            Act::Inject(Fault::ComponentOutage {
                component: KEY_SERVICE.to_owned(),
                duration: Span::secs(5),
            }),
            Act::Recover,
        ],
    )
}

/// The key service denies the authority for a while; `from` asks that for a certificate meanwhile and afterwards.
fn asked_while_denied(from: &str) -> Vec<Act> {
    let asks = |name: &str| Act::Ask(Ask::rightly(name, from, Desk::Authority));
    vec![
        Act::Inject(Fault::ClientDenial {
            component: KEY_SERVICE.to_owned(),
            client: AUTHORITY.to_owned(),
            duration: Span::secs(6),
        }),
        asks("while-denied"),
        Act::Recover,
        asks("allowed-again"),
    ]
}

/// It is there and says no, by its list of clients, which an operator changes while it runs. The authority says so to whoever
/// asks it, and goes on by itself once it is on the list again.
fn key_service_denies() -> Scenario {
    let mut scenario = while_renewed(
        "key-service-denies",
        "certificates serve while the key service denies the authority, which says so and is not pressed for them, and are renewed once it is allowed again",
        "frontend@$zone1",
        asked_while_denied("frontend@$zone2"),
    );
    scenario.requires.push(Capability::Identities);
    scenario.then.extend([
        Expectation::Denied {
            ask: "while-denied".to_owned(),
            because: DenialCause::NotServed,
        },
        Expectation::Granted {
            ask: "allowed-again".to_owned(),
            at_most: Span::secs(24 * 3600 + 60),
        },
        // Who doubles its pauses up to half a second in the mean asks some ten times in four seconds, and fifteen times in all
        // six; who makes none asks as often as it is answered.
        Expectation::BacksOff {
            component: AUTHORITY.to_owned(),
            at_most: 3,
        },
    ]);
    scenario
}

/// By itself, since not every mesh says where calls are written down.
fn key_service_audit() -> Scenario {
    Scenario {
        requires: vec![
            Capability::TwoZones,
            Capability::Identities,
            Capability::AuditLog,
        ],
        ..scenario(
            "key-service-audit",
            "the key service writes down that it has denied the authority, which is served once it is allowed again",
            asked_while_denied("frontend@$zone1"),
            vec![
                Expectation::Denied {
                    ask: "while-denied".to_owned(),
                    because: DenialCause::NotServed,
                },
                Expectation::Audited {
                    ask: "while-denied".to_owned(),
                    outcome: AuditOutcome::Refused,
                },
                Expectation::Granted {
                    ask: "allowed-again".to_owned(),
                    at_most: Span::secs(24 * 3600 + 60),
                },
            ],
        )
    }
}

/// An upgrade of everything that certificates come from, one after the other, and before it the way back. An agent keeps its keys in memory only, so the
/// new one fetches every certificate anew.
fn rolled_out() -> Scenario {
    let parts = [KEY_SERVICE, AUTHORITY, NODE_AGENT];
    let parts = parts.map(|part| Act::Restart(Rollout::Component(part.to_owned())));
    let from = "frontend@$zone1";
    let mut when = vec![strict_everywhere(), steady(from), fresh(from)];
    when.extend(parts);
    // Who has renewed a certificate before the agents went has proven nothing of the new ones.
    let since = when.len() - 1;
    when.extend([hold(2), stop("steady"), stop("fresh")]);
    under_tls(
        "identities-rolled-out",
        "the key service, the authority and the node agents are taken back to the build before and up again without a lost request, and each sidecar has a certificate by the new ones",
        since,
        when,
    )
}
