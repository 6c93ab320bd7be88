//! Many handshakes at once.

use super::wire::spoken;
use super::{in_plaintext, offers, scenario, takes, with_tls};
use crate::payload::{everybody, scope};
use crate::traffic::{answered, load_over, over_tls, stop};
use harness_model::capability::Capability;
use harness_model::configuration::{InboundTls, OutboundTls};
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::history::Spoken;
use harness_model::protocol::Protocol;
use harness_model::scenario::{Act, Disturbs, Scenario, Tag};

/// Who dials: a caller in each data center.
const STORMS: [(&str, &str); 3] = [
    ("storm-1", "frontend@$zone1"),
    ("storm-2", "frontend@$zone2"),
    ("storm-3", "frontend@$zone3"),
];

/// New connections a second from each of them: a machine with two cores bears the handshakes of both ends.
const RATE: u32 = 15;

/// How long after a write whoever dials does as it says, and so has no connection from before.
const TOLD: Span = Span::secs(2);

/// Every exchange of bytes is a connection of its own: with TLS there is a handshake for each, by sidecars that are told
/// meanwhile to speak otherwise. Callees take nothing but TLS only while callers offer it.
pub(super) fn handshake_storm() -> Scenario {
    let callee = |mode| Act::Apply(with_tls("callee", scope([everybody()]), takes(mode)));
    let caller = |mode| Act::Apply(with_tls("caller", scope([everybody()]), offers(mode)));
    let mut when = vec![callee(InboundTls::Permissive)];
    let mut then = vec![Expectation::Delivered];
    for (name, from) in STORMS {
        when.push(load_over(Protocol::Tcp, RATE, name, from, "checkout"));
        then.push(answered(name));
    }
    for (step, toggle, is) in [
        ("on", caller(OutboundTls::Strict), Spoken::Tls),
        ("strict", callee(InboundTls::Strict), Spoken::Tls),
        ("permissive", callee(InboundTls::Permissive), Spoken::Tls),
        ("off", caller(OutboundTls::Plaintext), Spoken::Plaintext),
        ("on-again", caller(OutboundTls::Strict), Spoken::Tls),
        ("strict-again", callee(InboundTls::Strict), Spoken::Tls),
    ] {
        let toggled = when.len();
        when.push(toggle);
        for (storm, from) in STORMS {
            let batch = format!("{step}-{storm}");
            when.push(spoken(Protocol::Tcp, &batch, from, "checkout"));
            then.extend([
                answered(&batch),
                match is {
                    Spoken::Tls => over_tls(&batch),
                    Spoken::Plaintext => in_plaintext(&batch),
                },
                Expectation::MovesTo {
                    traffic: storm.to_owned(),
                    step: toggled,
                    within: TOLD,
                    is,
                },
            ]);
        }
        when.push(Act::Hold(Span::secs(3)));
    }
    when.extend(STORMS.map(|(name, _)| stop(name)));
    let mut scenario = Scenario {
        tags: vec![Tag::Qa, Tag::PreRelease],
        // It is about time, so nobody else takes the processor.
        disturbs: Disturbs::Everything,
        ..scenario(
            "handshake-storm",
            "while many connections are made at once TLS is turned on at callers, required by callees, turned off in the other order and on again without a lost one, and those made two seconds later are as the toggle says",
            when,
            then,
        )
    };
    scenario.requires.push(Capability::Protocols);
    scenario
}
