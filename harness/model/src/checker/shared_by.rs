//! `shared_by`: the answers are shared among applications as weights say.

use super::evidence::{Evidence, detail};
use super::requests::Alike;
use super::timeline::Timeline;
use super::traffic::Traffic;
use crate::verdict::Detail;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// How likely it may be at most, over all applications of an expectation, that a mesh is blamed which draws as weights say.
const BLAMED_BY_CHANCE: f64 = 1e-6;

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
    let chance = BLAMED_BY_CHANCE / draws(percents) as f64;
    for (application, count) in &answers {
        let percent = percents.get(*application).copied().map_or(0, u64::from);
        let fair = fair(total, percent, chance);
        if !fair.contains(count) {
            let bounds = bounds(&fair, total);
            evidence.contradict(Detail {
                sidecar: caller.clone(),
                ..detail(
                    format!("{percent} % of `{name}` to be answered by {application}: {bounds}"),
                    format!("{count} of {total}; by application {answers:?}"),
                )
            });
        } else if fair.contains(&0) || fair.contains(&total) {
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

/// How many draws are judged: one application has what the other of two has not, so these are one. Of more, each may be wrong by
/// itself, and has an equal part of the chance.
fn draws(percents: &BTreeMap<String, u8>) -> usize {
    match percents.len() {
        0..=2 => 1,
        more => more,
    }
}

/// How many of a total one application gets: what a draw with its percentage gives in all cases but rare ones, which come with at
/// most this chance, half of it for too few and half for too many (the tails of the binomial distribution, exactly).
fn fair(total: u64, percent: u64, chance: f64) -> RangeInclusive<u64> {
    let tail = chance / 2.0;
    fewest(total, percent, tail)..=total - fewest(total, 100 - percent, tail)
}

/// The lowest count that is not too low: all that are lower come with at most the chance `tail`, together.
fn fewest(total: u64, percent: u64, tail: f64) -> u64 {
    if percent == 100 {
        return total;
    }
    let (hit, miss) = (percent as f64 / 100.0, (100 - percent) as f64 / 100.0);
    // The chance of exactly `count`, as a logarithm: that of none of some thousand is less than a number can be.
    let mut exactly = total as f64 * miss.ln();
    let mut so_few = 0.0;
    for count in 0..total {
        so_few += exactly.exp();
        if so_few > tail {
            return count;
        }
        exactly += ((total - count) as f64 * hit / ((count + 1) as f64 * miss)).ln();
    }
    total
}

/// What a fair draw gives, in words.
fn bounds(fair: &RangeInclusive<u64>, total: u64) -> String {
    let (fewest, most) = (fair.start(), fair.end());
    if *most == 0 {
        return format!("none of {total}");
    }
    format!("{fewest} to {most} of {total} (a fair draw, all but one in a million)")
}
