//! `on_the_wire`: what requests look like between data centers.

use super::evidence::{Evidence, detail};
use super::timeline::Timeline;
use super::traffic::Traffic;
use crate::history::{EventKind, Spoken};
use crate::verdict::Detail;
use crate::words;

/// Judges every connection of a batch, in both directions where both were looked at. Where nothing was seen of one, or not
/// everything, nothing is decided.
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
            answers,
            unseen,
        } = &event.kind
        else {
            continue;
        };
        if of != name {
            continue;
        }
        for connection in connections.iter().chain(answers.iter().flatten()) {
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
        let is_unanswered = answers.as_ref().is_some_and(Vec::is_empty);
        if is_unanswered && !connections.is_empty() {
            evidence.open(told("nothing of the answers".to_owned()));
        }
        if *unseen > 0 {
            evidence.open(told(format!("{unseen} packets that nobody has seen")));
        }
    }
    traffic.note_gaps(name, &mut evidence);
    evidence
}
