//! `on_the_wire`: what requests look like between data centers.

use super::evidence::{Evidence, detail};
use super::timeline::Timeline;
use super::traffic::Traffic;
use crate::history::{EventKind, Spoken};
use crate::verdict::Detail;
use crate::words;

/// Judges every connection of a batch. Where nothing was seen, or not everything, nothing is decided.
pub(super) fn check(timeline: &Timeline<'_>, name: &str, is: Spoken) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    let caller = traffic.requests.values().next();
    let told = |observed: String| Detail {
        sidecar: caller.map(|request| request.from.clone()),
        ..detail(
            format!("`{name}` to be {} on the wire", words::spoken(is)),
            observed,
        )
    };
    for event in timeline.events {
        let EventKind::OnTheWire {
            traffic: of,
            connections,
            unseen,
        } = &event.kind
        else {
            continue;
        };
        if of != name {
            continue;
        }
        for connection in connections {
            if connection.spoken == is {
                evidence.support(1);
            } else {
                evidence.contradict(told(format!(
                    "{} from {} to {}",
                    words::spoken(connection.spoken),
                    connection.from,
                    connection.to
                )));
            }
        }
        if *unseen > 0 {
            evidence.open(told(format!("{unseen} packets that nobody has seen")));
        }
    }
    traffic.note_gaps(name, &mut evidence);
    evidence
}
