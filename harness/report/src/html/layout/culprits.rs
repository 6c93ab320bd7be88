//! The moments at which findings point: which sidecar showed what it must not, and from when on.

use super::parts::{Culprit, Length};
use super::{LANE, Scale, seconds};
use crate::terminal::about;
use crate::timeline::Timeline;
use harness_model::verdict::{Finding, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// A deviation of a failed finding that has a sidecar and a deciding event.
struct Pointed<'a> {
    sidecar: &'a str,
    at_ns: u64,
    words: String,
}

fn pointed<'a>(timeline: &Timeline, findings: &'a [Finding]) -> Vec<Pointed<'a>> {
    findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Failed)
        .flat_map(|finding| finding.details.iter().map(move |detail| (finding, detail)))
        .filter_map(|(finding, detail)| {
            let at_ns = *timeline.times.get(detail.event?)?;
            let sidecar = detail.sidecar.as_deref()?;
            Some(Pointed {
                sidecar,
                at_ns,
                words: format!(
                    "{} failed at {sidecar}: {}",
                    about(finding),
                    detail.observed
                ),
            })
        })
        .collect()
}

/// The sidecars that findings name with a moment.
pub(super) fn sidecars<'a>(timeline: &Timeline, findings: &'a [Finding]) -> BTreeSet<&'a str> {
    pointed(timeline, findings)
        .into_iter()
        .map(|pointed| pointed.sidecar)
        .collect()
}

/// One mark for each sidecar and moment.
pub(super) fn culprits(
    timeline: &Timeline,
    findings: &[Finding],
    scale: &Scale,
    lane_tops: &BTreeMap<&str, f64>,
) -> Vec<Culprit> {
    let mut marks: BTreeMap<(&str, u64), Vec<String>> = BTreeMap::new();
    for pointed in pointed(timeline, findings) {
        let key = (pointed.sidecar, pointed.at_ns);
        marks.entry(key).or_default().push(pointed.words);
    }
    marks
        .into_iter()
        .filter_map(|((sidecar, at_ns), words)| {
            let y = *lane_tops.get(sidecar)?;
            let x = scale.x(at_ns);
            let shown_until = timeline.lanes[sidecar]
                .segments
                .iter()
                .find(|segment| {
                    (segment.from_ns..=segment.to_ns).contains(&at_ns) && at_ns < segment.to_ns
                })
                .map_or(at_ns, |segment| segment.to_ns);
            Some(Culprit {
                x: Length(x),
                y: Length(y),
                width: Length((scale.x(shown_until) - x).max(1.5)),
                height: Length(LANE),
                corners: format!(
                    "{:.1},{:.1} {:.1},{:.1} {x:.1},{:.1}",
                    x - 5.0,
                    y - 3.0,
                    x + 5.0,
                    y - 3.0,
                    y + 5.0
                ),
                title: format!("{} ({})", words.join("; "), seconds(at_ns)),
            })
        })
        .collect()
}
