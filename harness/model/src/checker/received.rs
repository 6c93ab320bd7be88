//! `received`: how often requests came to an application.

use super::evidence::{Evidence, detail};
use super::timeline::Timeline;
use super::traffic::Traffic;
use crate::history::EventKind;
use crate::verdict::Detail;

/// Judges a batch as a whole: of one request alone nobody knows how often it came.
pub(super) fn check(
    timeline: &Timeline<'_>,
    name: &str,
    application: &str,
    times: u32,
) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    let sent = u64::try_from(traffic.requests.len()).unwrap_or(u64::MAX);
    let wanted = sent.saturating_mul(u64::from(times));
    let caller = traffic.requests.values().next();
    for event in timeline.events {
        let count = match &event.kind {
            EventKind::Received {
                traffic,
                application: of,
                count,
            } if traffic == name && of == application => *count,
            _ => continue,
        };
        if count == wanted {
            evidence.support(sent);
        } else {
            evidence.contradict(Detail {
                sidecar: caller.map(|request| request.from.clone()),
                ..detail(
                    format!(
                        "{application} to get the {sent} requests of `{name}` {wanted} times in all"
                    ),
                    format!("{count} times"),
                )
            });
        }
    }
    traffic.note_gaps(name, &mut evidence);
    evidence
}
