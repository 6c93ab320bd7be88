//! Connections that never end by themselves: one of bytes, and a stream of gRPC.

use super::wire::OLD_CONNECTIONS;
use super::{offers, scenario, takes, with_tls};
use crate::payload::{everybody, scope};
use crate::traffic::{answered_but, keeps_protocol, load_kept, passes_both_sidecars, stop};
use harness_model::capability::Capability;
use harness_model::configuration::{InboundTls, OutboundTls};
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::history::Spoken;
use harness_model::protocol::Protocol;
use harness_model::scenario::{Act, Disturbs, Scenario, Tag};

/// What is kept, and its name. Each message is answered before the next one goes there.
const KEPT: [(Protocol, &str); 2] = [(Protocol::Tcp, "bytes"), (Protocol::Grpc, "stream")];

/// A sidecar cannot see where a message of bytes begins, so that when it closes a connection the one that is under way is lost;
/// and no other, since whoever has none under way sees the end, and dials anew.
pub(super) fn kept_connections() -> Scenario {
    let callee = |mode| Act::Apply(with_tls("callee", scope([everybody()]), takes(mode)));
    let caller = |mode| Act::Apply(with_tls("caller", scope([everybody()]), offers(mode)));
    let toggles = [
        // A permissive caller goes on with the connections that it has: only the callee can end them.
        (callee(InboundTls::Permissive), Spoken::Tls),
        // Only the caller can, here and in the next: the callee takes both.
        (caller(OutboundTls::Plaintext), Spoken::Plaintext),
        (caller(OutboundTls::Strict), Spoken::Tls),
        // In this and the next nothing has to end, since it is over TLS already and stays so.
        (callee(InboundTls::Strict), Spoken::Tls),
        (caller(OutboundTls::Permissive), Spoken::Tls),
        // The callee ends what would go on over TLS.
        (Act::Delete("callee".to_owned()), Spoken::Plaintext),
    ];
    let ends = u64::try_from(toggles.len()).unwrap_or(u64::MAX);
    let mut when = vec![caller(OutboundTls::Permissive)];
    when.extend(
        KEPT.map(|(protocol, name)| load_kept(protocol, 20, name, "frontend@$zone1", "checkout")),
    );
    // Both are open before anything changes.
    when.push(Act::Hold(Span::secs(1)));
    let mut then = vec![Expectation::Delivered];
    for (_, name) in KEPT {
        then.extend([
            answered_but(name, ends),
            passes_both_sidecars(name),
            keeps_protocol(name),
        ]);
    }
    for (act, is) in toggles {
        then.extend(KEPT.map(|(_, name)| Expectation::MovesTo {
            traffic: name.to_owned(),
            step: when.len(),
            within: OLD_CONNECTIONS,
            is,
        }));
        when.extend([act, Act::Hold(Span::secs(5))]);
    }
    when.extend(KEPT.map(|(_, name)| stop(name)));
    let mut scenario = Scenario {
        tags: vec![Tag::Qa, Tag::PreRelease],
        // It is about time, so nobody else takes the processor.
        disturbs: Disturbs::Everything,
        ..scenario(
            "kept-connections",
            "four seconds after TLS is turned on or off, at callers or at callees, neither an open connection of bytes nor an open stream from before carries anything, and of each at most the message under way was lost when it was closed",
            when,
            then,
        )
    };
    scenario.requires.push(Capability::Protocols);
    scenario
}
