//! `spreads_renewals`: certificates are renewed after parts of their lives that differ, so that pods which began together do not
//! come back together.

use super::evidence::{Evidence, detail};
use super::keeps_stream::{Shown, calm_until, is_another_process, shown, unshaken};
use super::timeline::Timeline;
use crate::verdict::Detail;
use std::time::Duration;

/// Of fewer certificates nothing is concluded.
const FEWEST: usize = 20;

/// One of so many parts is left out at either end: a reading that comes late makes the part before it longer and the one after it
/// shorter, and says nothing of the others.
const ONE_LEFT_OUT_OF: usize = 11;

/// Parts of so many lives that differ by no more than this, but for those that are left out, count as one part.
///
/// Readings show one part as several: a sidecar at which nothing else happens is looked at every 400 ms, so that of a life of
/// twenty seconds the beginning and the end are each told up to 0.02 too late. Random ones that are spread evenly over a tenth, as
/// the reference mesh's, differ by no more than this once in a million times at most: of `n` of them, `k` left out at either end,
/// the chance is that of `n` draws, each of which hits with ten times this, all but `2k + 1` hit at least. What readings add makes
/// them differ more. More than 33 have more of the tenth, but what differs by more than this is no one part.
fn one_part(count: usize) -> f64 {
    match count {
        ..=26 => 0.026,
        27..=32 => 0.034,
        33.. => 0.036,
    }
}

/// Judges the certificates that sidecars showed from a step on, until the next act that changes something. What was broken or
/// rolled out before may have had somebody ask again, and that is at other times for another reason.
pub(super) fn check(timeline: &Timeline<'_>, step: usize) -> Evidence {
    let mut evidence = Evidence::default();
    let told = |expected: String, observed: String| Detail {
        step: Some(step),
        ..detail(expected, observed)
    };
    let point = match unshaken(timeline, step) {
        Ok(point) => point,
        Err(open) => {
            evidence.open(open);
            return evidence;
        }
    };
    let end = calm_until(timeline, point.first);
    let in_force = timeline.in_force(point.last);
    let mut parts: Vec<f64> = timeline
        .alive(&point)
        .filter(|life| in_force.expected(life.at(point.last)).certificate)
        .flat_map(|life| parts(&shown(timeline, life, point.first, end)))
        .collect();
    if parts.len() < FEWEST {
        let expected = format!("{FEWEST} certificates that took others' places and were replaced");
        evidence.open(told(expected, format!("{} of them", parts.len())));
        return evidence;
    }
    parts.sort_by(f64::total_cmp);
    let left_out = parts.len() / ONE_LEFT_OUT_OF;
    let (least, most) = (parts[left_out], parts[parts.len() - 1 - left_out]);
    let one_part = one_part(parts.len());
    let count = u64::try_from(parts.len()).unwrap_or(u64::MAX);
    if most - least > one_part {
        evidence.support(count);
    } else {
        let expected = format!("parts of lives that differ by more than {one_part}");
        let observed = format!(
            "{count} certificates were renewed after {least:.3} to {most:.3} of theirs, {left_out} at either end left out"
        );
        evidence.contradict_times(count, told(expected, observed));
    }
    evidence
}

/// After which part of its life each certificate of one sidecar was replaced, counted from when it was shown first. Only of one
/// that took another one's place is it known that it was new then: agents may keep what they have for sidecars that come back.
fn parts(shown: &[Shown<'_>]) -> Vec<f64> {
    let mut firsts = shown.to_vec();
    firsts.dedup_by(|later, earlier| later.1.serial == earlier.1.serial);
    let three = firsts.windows(3);
    three
        .filter_map(|shown| match shown {
            [before, own, next] => part(before, own, next),
            _ => None,
        })
        .collect()
}

/// The part after which `own` was replaced. None where its end is not told or was over, or where another process took one of the
/// places: who is started anew is late.
fn part(before: &Shown<'_>, own: &Shown<'_>, next: &Shown<'_>) -> Option<f64> {
    let is_new =
        |earlier: &Shown<'_>, later: &Shown<'_>| is_another_process(earlier.0.seen, later.0.seen);
    if is_new(before, own) || is_new(own, next) {
        return None;
    }
    let (came_ns, replaced_ns) = (own.0.at_ns, next.0.at_ns);
    let left_ns = own.1.valid?.until_ns().checked_sub(came_ns)?;
    let kept_ns = replaced_ns.saturating_sub(came_ns);
    (left_ns > 0).then(|| seconds(kept_ns) / seconds(left_ns))
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How likely it is that of so many parts, spread evenly over a tenth, those that are not left out differ by no more than
    /// `spread`: the binomial distribution, exactly.
    fn by_chance(count: usize, spread: f64) -> f64 {
        let (hit, miss) = (spread * 10.0, 1.0 - spread * 10.0);
        let may_miss = 2 * (count / ONE_LEFT_OUT_OF) + 1;
        let mut exactly = hit.powf(count as f64);
        let mut chance = 0.0;
        for missed in 0..=may_miss {
            chance += exactly;
            exactly *= (count - missed) as f64 * miss / ((missed + 1) as f64 * hit);
        }
        chance
    }

    #[test]
    fn chance_gives_one_part_once_in_a_million_times_at_most() {
        for count in FEWEST..200 {
            let chance = by_chance(count, one_part(count));
            assert!(chance <= 1e-6, "{count}: {chance}");
        }
        // A little more would be too much for some.
        assert!(by_chance(22, 0.027) > 1e-6);
        assert!(by_chance(27, 0.036) > 1e-6);
        assert!(by_chance(33, 0.037) > 1e-6);
    }
}
