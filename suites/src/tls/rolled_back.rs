//! Toggles that are taken back.

use super::wire::short;
use super::{batch, beyond_the_gate, in_plaintext, offers, scenario, takes};
use crate::payload::{everybody, payload_as, scope};
use crate::traffic::{SPOKEN, answered, load_over, load_slow, over_tls, stop};
use harness_model::capability::Capability;
use harness_model::configuration::{Configuration, InboundTls, OutboundTls, Tls};
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::scenario::{Act, Scenario};

/// Requests of which some are under way whenever something changes: twenty a second, four of them at any time.
const UNDER_WAY: &str = "under-way";

/// How long an answer to one of them takes. Connections from before are closed a second after a change, and a sidecar may send
/// one more request on each, since only an answer that begins later tells it: both must end in that second, on a busy machine too.
const TAKES: Span = Span::millis(200);

/// Callers are told first to offer TLS, and callees then to take nothing else; the last is put back first. Before the first and
/// after the last of it nobody speaks TLS.
pub(super) fn rolled_back() -> Scenario {
    let from = "frontend@$zone1";
    let callee = |version, mode| said("callee", version, takes(mode));
    let caller = |version, mode| said("caller", version, offers(mode));
    let mut when = vec![load_slow(20, TAKES, UNDER_WAY, from, "checkout")];
    when.extend(SPOKEN.map(|protocol| load_over(protocol, 10, short(protocol), from, "checkout")));
    when.push(callee("v1", InboundTls::Permissive));
    let before_callers = when.len();
    when.push(caller("v1", OutboundTls::Plaintext));
    // Callees change after this step, as callers do after the other one.
    let before_callees = when.len();
    when.extend([
        caller("v2", OutboundTls::Strict),
        batch("callers-on", from, "checkout"),
        callee("v2", InboundTls::Strict),
        batch("callees-strict", from, "checkout"),
    ]);
    let callees_back = when.len();
    when.push(callee("v1", InboundTls::Permissive));
    let callers_back = when.len();
    when.extend([
        caller("v1", OutboundTls::Plaintext),
        batch("back", from, "checkout"),
        Act::Delete("callee".to_owned()),
        stop(UNDER_WAY),
    ]);
    when.extend(SPOKEN.map(|protocol| stop(short(protocol))));
    let mut then = vec![
        Expectation::Delivered,
        Expectation::Restored {
            reference: before_callees,
            step: callees_back,
        },
        Expectation::Restored {
            reference: before_callers,
            step: callers_back,
        },
        answered("callers-on"),
        over_tls("callers-on"),
        answered("callees-strict"),
        over_tls("callees-strict"),
        answered("back"),
        in_plaintext("back"),
        answered(UNDER_WAY),
    ];
    then.extend(SPOKEN.map(|protocol| answered(short(protocol))));
    let mut scenario = scenario(
        "rolled-back",
        "toggles of TLS that are put back to what they were, at callees and at callers, leave every sidecar exactly as it was before them, and from before callees take TLS until they take it no more nothing that is sent is lost and no answer is cut short",
        when,
        then,
    );
    scenario.requires.push(Capability::Protocols);
    // The gate sees in `step-by-step` that nothing is lost, and what goes back in `update-and-back`.
    beyond_the_gate(scenario)
}

/// The version shows in toggles and rules that something was changed, also where a mesh does not tell how its sidecars are set up
/// for TLS.
fn said(name: &str, version: &str, tls: Tls) -> Act {
    Act::Apply(Configuration {
        tls: Some(tls),
        ..payload_as(name, scope([everybody()]), version, &format!("-{name}"))
    })
}
