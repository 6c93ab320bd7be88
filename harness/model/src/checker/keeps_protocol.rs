//! `keeps_protocol`: requests arrive in what they were sent in.

use super::evidence::{Evidence, detail};
use super::timeline::Timeline;
use super::traffic::Traffic;
use crate::protocol::Protocol;
use crate::scenario::Act;
use crate::verdict::Detail;

/// Judges every answered request of a batch or load.
pub(super) fn check(timeline: &Timeline<'_>, name: &str) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    let sent = sent(timeline, name);
    for request in traffic.answered() {
        let told = |observed: String| Detail {
            sidecar: Some(request.from.clone()),
            ..detail(
                format!("requests of `{name}` to arrive as {}", sent.name()),
                format!("request {} {observed}", request.sequence),
            )
        };
        match request.protocol {
            Some(protocol) if protocol == sent => evidence.support(1),
            Some(other) => evidence.contradict(told(format!("as {}", other.name()))),
            None => evidence.open(told("without a word of it".to_owned())),
        }
    }
    traffic.note_gaps(name, &mut evidence);
    evidence
}

fn sent(timeline: &Timeline<'_>, name: &str) -> Protocol {
    let mut acts = timeline.scenario.when.iter();
    acts.find_map(|act| match act {
        Act::Request(traffic) if traffic.name == name => Some(traffic.protocol),
        Act::Load(load) if load.name == name => Some(load.protocol),
        _ => None,
    })
    .unwrap_or_default()
}
