//! Who speaks what to whom: every mode of a caller against every mode of a callee, in and out of scope, in every protocol.
//! What comes of it is computed and not typed. (The matrix of seeded bugs is another: `suites/matrix.yaml`.)

use super::wire::{short, spoken};
use super::{
    batch, beyond_the_gate, both, in_plaintext, offers, only_frontend_may_call, refused, scenario,
    takes, with_tls,
};
use crate::payload::{application, everybody, scope, workload};
use crate::traffic::{SPOKEN, answered, over_tls};
use harness_model::capability::Capability;
use harness_model::configuration::{InboundTls, OutboundTls};
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::history::RefusalCause;
use harness_model::protocol::Protocol;
use harness_model::scenario::{Act, Scenario};

/// A mode of callers, its name, and the data center whose callers have it. In the order of the names, since canaries are
/// recipients of all three, and of those of one second the lesser name wins.
const CALLERS: [(OutboundTls, &str, &str); 3] = [
    (OutboundTls::Permissive, "permissive", "$zone2"),
    (OutboundTls::Plaintext, "plaintext", "$zone1"),
    (OutboundTls::Strict, "strict", "$zone3"),
];

/// Out of the scope of each of them: who calls without being told how does it in plaintext. What two say to each other of whom no
/// configuration speaks is for every other suite.
const UNCONFIGURED: &str = "inventory@$zone1";

/// What comes of a request.
enum Outcome {
    OverTls,
    InPlaintext,
    Refused(RefusalCause),
}

fn outcome(caller: OutboundTls, callee: InboundTls) -> Outcome {
    match (caller, callee) {
        (OutboundTls::Plaintext, InboundTls::Strict) => Outcome::Refused(RefusalCause::Plaintext),
        (OutboundTls::Strict, InboundTls::Plaintext) => Outcome::Refused(RefusalCause::NoTls),
        (OutboundTls::Plaintext, _) | (OutboundTls::Permissive, InboundTls::Plaintext) => {
            Outcome::InPlaintext
        }
        (OutboundTls::Permissive | OutboundTls::Strict, _) => Outcome::OverTls,
    }
}

/// One scenario for each mode of the callee, with all callers side by side.
pub(super) fn all() -> Vec<Scenario> {
    [
        (InboundTls::Plaintext, "plaintext"),
        (InboundTls::Permissive, "permissive"),
        (InboundTls::Strict, "strict"),
    ]
    .into_iter()
    .map(|(mode, name)| row(mode, name))
    .collect()
}

fn row(mode: InboundTls, name: &str) -> Scenario {
    let (mut when, mut then) = (vec![], vec![Expectation::Delivered]);
    if mode == InboundTls::Strict {
        // These connections are kept, and would be used again as long as the callee takes what comes on them.
        when.push(batch("before", "frontend@$zone1", "checkout"));
        then.extend([answered("before"), in_plaintext("before")]);
    }
    // Before the callers: one that shows its own configuration has heard of the callee's, which no reading of it tells.
    when.push(Act::Apply(with_tls(
        "callee",
        scope([application("checkout")]),
        takes(mode),
    )));
    for (offered, caller, zone) in CALLERS {
        when.push(Act::Apply(with_tls(
            caller,
            scope([workload("frontend", zone)]),
            offers(offered),
        )));
    }
    if mode == InboundTls::Strict {
        // Connections in plaintext from before are drained for a second.
        when.push(Act::Hold(Span::secs(2)));
    }
    let in_scope = ("checkout", "in-scope", mode);
    // Out of the callee's scope nobody takes TLS.
    let out_of_scope = ("inventory", "out-of-scope", InboundTls::Plaintext);
    let in_callers_scopes = CALLERS.into_iter().flat_map(|(offered, caller, zone)| {
        [in_scope, out_of_scope].map(|callee| (offered, caller, format!("frontend@{zone}"), callee))
    });
    let unconfigured = (
        OutboundTls::Plaintext,
        "unconfigured",
        UNCONFIGURED.to_owned(),
        in_scope,
    );
    for (offered, caller, from, (callee, place, takes)) in in_callers_scopes.chain([unconfigured]) {
        for protocol in SPOKEN {
            let traffic = format!("{caller}-{place}-{}", short(protocol));
            when.push(spoken(protocol, &traffic, &from, callee));
            match outcome(offered, takes) {
                Outcome::OverTls => then.extend([answered(&traffic), over_tls(&traffic)]),
                Outcome::InPlaintext => {
                    then.extend([answered(&traffic), in_plaintext(&traffic)]);
                }
                Outcome::Refused(because) => then.push(refused(&traffic, because)),
            }
        }
    }
    let kept = if mode == InboundTls::Strict {
        ", and not on connections from before"
    } else {
        ""
    };
    let mut scenario = scenario(
        &format!("matrix-{name}"),
        &format!(
            "plaintext, permissive and strict callers reach a {name} callee, and one that no configuration speaks of, as their modes say, and a caller that none speaks of reaches the former as one in plaintext does, in every protocol{kept}"
        ),
        when,
        then,
    );
    scenario.requires.push(Capability::Protocols);
    // The gate has no time for them. It sees a callee without TLS in `no-fallback`, a permissive one in `step-by-step` and a
    // strict one in `allowed-callers`, in fewer protocols.
    beyond_the_gate(scenario)
}

/// A service whose pods show a certificate of the mesh, but not that of whom the caller called.
pub(super) fn impostor() -> Scenario {
    let from = "frontend@$zone1";
    let send = |callee: &str| {
        SPOKEN.map(|protocol| {
            let name = format!("{callee}-{}", short(protocol));
            (spoken(protocol, &name, from, callee), name)
        })
    };
    let (to_impostor, to_others) = (send("impostor"), send("inventory"));
    let mut scenario = scenario(
        "impostor",
        "a caller speaks to nobody who shows another identity than that of the service it calls, though the mesh knows it",
        [Act::Apply(with_tls(
            "everybody",
            scope([everybody()]),
            both(InboundTls::Permissive),
        ))]
        .into_iter()
        .chain(
            to_impostor
                .iter()
                .chain(&to_others)
                .map(|(act, _)| act.clone()),
        )
        .collect(),
        [Expectation::Delivered]
            .into_iter()
            .chain(
                to_impostor
                    .iter()
                    .map(|(_, name)| refused(name, RefusalCause::OtherName)),
            )
            .chain(
                to_others
                    .iter()
                    .flat_map(|(_, name)| [answered(name), over_tls(name)]),
            )
            .collect(),
    );
    scenario
        .requires
        .extend([Capability::Protocols, Capability::Impostor]);
    scenario
}

/// The list of callers in what `allowed-callers` does not send.
pub(super) fn allowed_callers_in_other_protocols() -> Scenario {
    let mut when = vec![
        only_frontend_may_call(),
        Act::Apply(with_tls(
            "callers",
            scope([application("frontend"), application("inventory")]),
            offers(OutboundTls::Strict),
        )),
    ];
    let mut then = vec![Expectation::Delivered];
    for protocol in [Protocol::Http2, Protocol::Grpc, Protocol::Tcp] {
        let name = |what: &str| format!("{what}-{}", short(protocol));
        let (allowed, not_allowed) = (name("allowed"), name("not-allowed"));
        when.extend([
            spoken(protocol, &allowed, "frontend@$zone1", "checkout"),
            spoken(protocol, &not_allowed, "inventory@$zone1", "checkout"),
        ]);
        then.extend([
            answered(&allowed),
            over_tls(&allowed),
            refused(&not_allowed, RefusalCause::NotAllowed),
        ]);
    }
    let mut scenario = scenario(
        "allowed-callers-protocols",
        "of those who speak HTTP/2, gRPC or send bytes only callers whose certificate carries an allowed identity come through",
        when,
        then,
    );
    scenario.requires.push(Capability::Protocols);
    // The gate sees the same of requests in `allowed-callers`.
    beyond_the_gate(scenario)
}
