//! Applications that a sidecar might take for something else: those that speak first, and those that speak TLS themselves.

use super::wire::spoken;
use super::{beyond_the_gate, in_plaintext, offers, refused, scenario, takes, with_tls};
use crate::payload::{application, scope, workload};
use crate::traffic::{answered, keeps_protocol, over_tls, passes_both_sidecars};
use harness_model::capability::Capability;
use harness_model::configuration::{InboundTls, OutboundTls};
use harness_model::expectation::Expectation;
use harness_model::history::RefusalCause;
use harness_model::protocol::Protocol;
use harness_model::scenario::{Act, Scenario};

/// No configuration speaks of it.
const IN_PLAINTEXT: &str = "frontend@$zone1";
/// Offers TLS alone.
const OVER_TLS: &str = "frontend@$zone2";

/// One scenario for each kind of application, and one for applications that a sidecar takes for another sidecar.
pub(super) fn all() -> [Scenario; 3] {
    [server_first(), application_tls(), self_signed()]
}

/// A sidecar that looks at the first words of a connection must not wait for ever for a caller that says none: the permissive
/// callee's hears of one in plaintext after a second, and so does its application.
fn server_first() -> Scenario {
    each_mode(
        Protocol::ServerFirst,
        Capability::ServerFirst,
        "server-first",
        "an application that speaks first is heard in plaintext and over TLS, whatever its sidecar takes, but by nobody in plaintext behind a strict one",
    )
}

/// What applications say to each other within TLS of their own begins as what sidecars do: the mesh's word in ALPN (RFC 7301)
/// alone tells them apart.
fn application_tls() -> Scenario {
    each_mode(
        Protocol::ApplicationTls,
        Capability::ApplicationTls,
        "application-tls",
        "TLS that applications speak themselves ends at the application, beside the mesh's and within it; a permissive callee does not take it for the mesh's, and a strict one refuses it",
    )
}

/// Where the callee's sidecar takes no TLS, that of the caller's sidecar comes to the application, which answers it: its
/// certificate says the name that is called, so nothing but its root is wrong.
fn self_signed() -> Scenario {
    let send = |name, from, to| spoken(Protocol::ApplicationTls, name, from, to);
    let (of_no_root, of_the_mesh, plaintext) = ("of-no-root", "of-the-mesh", "plaintext");
    let mut scenario = scenario(
        "self-signed",
        "a caller speaks to nobody whose certificate leads to no root of the mesh, though it carries the identity of the service that is called",
        vec![
            Act::Apply(with_tls(
                "callee",
                scope([application("inventory")]),
                takes(InboundTls::Permissive),
            )),
            Act::Apply(with_tls(
                "caller",
                scope([workload("frontend", "$zone2")]),
                offers(OutboundTls::Strict),
            )),
            send(of_no_root, OVER_TLS, "checkout"),
            send(of_the_mesh, OVER_TLS, "inventory"),
            // Somebody is there: it is not for want of an answer that others are refused.
            send(plaintext, IN_PLAINTEXT, "checkout"),
        ],
        vec![
            Expectation::Delivered,
            refused(of_no_root, RefusalCause::Untrusted),
            answered(of_the_mesh),
            over_tls(of_the_mesh),
            answered(plaintext),
            in_plaintext(plaintext),
        ],
    );
    scenario.requires.push(Capability::ApplicationTls);
    // As those above.
    beyond_the_gate(scenario)
}

/// One callee without TLS, one that is permissive, and one that is strict, for callers in plaintext and over TLS.
fn each_mode(protocol: Protocol, takes_this: Capability, name: &str, claim: &str) -> Scenario {
    let mut when = Vec::new();
    let mut then = vec![Expectation::Delivered];
    let mut comes_through = |when: &mut Vec<Act>, name: &str, from, to, how: Expectation| {
        when.push(spoken(protocol, name, from, to));
        then.extend([
            answered(name),
            passes_both_sidecars(name),
            keeps_protocol(name),
            how,
        ]);
    };
    let off = "off";
    comes_through(&mut when, off, IN_PLAINTEXT, "checkout", in_plaintext(off));
    when.extend(
        [
            (
                "caller",
                workload("frontend", "$zone2"),
                offers(OutboundTls::Strict),
            ),
            (
                "permissive",
                application("checkout"),
                takes(InboundTls::Permissive),
            ),
            (
                "strict",
                application("inventory"),
                takes(InboundTls::Strict),
            ),
        ]
        .map(|(name, whom, tls)| Act::Apply(with_tls(name, scope([whom]), tls))),
    );
    for (name, from, to, how) in [
        (
            "permissive-plaintext",
            IN_PLAINTEXT,
            "checkout",
            in_plaintext("permissive-plaintext"),
        ),
        (
            "permissive-tls",
            OVER_TLS,
            "checkout",
            over_tls("permissive-tls"),
        ),
        ("strict-tls", OVER_TLS, "inventory", over_tls("strict-tls")),
    ] {
        comes_through(&mut when, name, from, to, how);
    }
    let turned_away = "strict-plaintext";
    when.push(spoken(protocol, turned_away, IN_PLAINTEXT, "inventory"));
    then.push(refused(turned_away, RefusalCause::Plaintext));
    let mut scenario = scenario(name, claim, when, then);
    scenario.requires.push(takes_this);
    // What changes TLS runs one after another, and the gate aims at 75 seconds for all: these are left to longer runs.
    beyond_the_gate(scenario)
}
