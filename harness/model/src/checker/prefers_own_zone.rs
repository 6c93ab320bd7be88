//! `prefers_own_zone`: answers come from the caller's own data center.

use super::evidence::{Evidence, detail};
use super::requests::Alike;
use super::timeline::Timeline;
use super::traffic::Traffic;
use crate::verdict::Detail;
use std::collections::BTreeMap;

/// Judges the share of answers from the caller's data center.
pub(super) fn check(timeline: &Timeline<'_>, name: &str, percent: u8) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    let mut by_zone: BTreeMap<&str, u64> = BTreeMap::new();
    let mut at_home = 0_u64;
    let mut total = 0_u64;
    let mut caller = None;
    let mut unknown = Alike::of(traffic.answered().count());
    for request in traffic.answered() {
        let home = timeline
            .lives
            .iter()
            .find(|life| life.sidecar.name == request.from)
            .map(|life| life.sidecar.data_center.as_str());
        let (Some(home), Some(answerer)) = (home, &request.answered_by) else {
            let expected = "to know where caller and callee are".to_owned();
            unknown.note(request, expected, " that do not tell".to_owned());
            continue;
        };
        *by_zone.entry(&answerer.data_center).or_default() += 1;
        total += 1;
        at_home += u64::from(answerer.data_center == home);
        caller = Some(request.from.clone());
    }
    if at_home * 100 < total * u64::from(percent) {
        evidence.contradict(Detail {
            sidecar: caller,
            ..detail(
                format!(
                    "at least {percent} % of `{name}` to be answered in the caller's data center"
                ),
                format!("{at_home} of {total}; by data center {by_zone:?}"),
            )
        });
    }
    unknown.leave_open(&mut evidence);
    evidence.support(total);
    traffic.note_gaps(name, &mut evidence);
    evidence
}
