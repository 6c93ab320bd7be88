//! `shared_by`: the answers are shared among applications as weights say.

use super::evidence::{Evidence, detail};
use super::requests::Alike;
use super::timeline::Timeline;
use super::traffic::Traffic;
use crate::verdict::Detail;
use std::collections::BTreeMap;

/// The square of how many standard deviations of a fair draw are no contradiction: more than five happen less than once
/// in a million draws (binomial distribution, `n p (1 - p)`).
const SIGMAS_SQUARED: u64 = 25;

/// Judges how many of the answers come from each application.
pub(super) fn check(
    timeline: &Timeline<'_>,
    name: &str,
    percents: &BTreeMap<String, u8>,
) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    let mut answers: BTreeMap<&str, u64> = percents.keys().map(|app| (app.as_str(), 0)).collect();
    let mut total = 0_u64;
    let mut caller = None;
    let mut unknown = Alike::of(traffic.answered().count());
    for request in traffic.answered() {
        let Some(answerer) = &request.answered_by else {
            let expected = "to know who answers".to_owned();
            unknown.note(request, expected, " that do not tell".to_owned());
            continue;
        };
        *answers.entry(&answerer.application).or_default() += 1;
        total += 1;
        caller = Some(request.from.clone());
    }
    for (application, count) in &answers {
        let percent = percents.get(*application).copied().map_or(0, u64::from);
        if deviates(*count, total, percent) {
            evidence.contradict(Detail {
                sidecar: caller.clone(),
                ..detail(
                    format!("{percent} % of `{name}` to be answered by {application}"),
                    format!("{count} of {total}; by application {answers:?}"),
                )
            });
        } else if !(deviates(0, total, percent) && deviates(total, total, percent)) {
            evidence.open(detail(
                format!("enough answers to tell {percent} % by {application} from none and all"),
                format!("{total}"),
            ));
        }
    }
    unknown.leave_open(&mut evidence);
    evidence.support(total);
    traffic.note_gaps(name, &mut evidence);
    evidence
}

/// Whether so many of a total are not what a fair draw with this chance gives.
fn deviates(count: u64, total: u64, percent: u64) -> bool {
    let difference = (count * 100).abs_diff(total * percent);
    difference * difference > SIGMAS_SQUARED * total * percent * (100 - percent)
}
