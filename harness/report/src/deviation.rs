//! Deviations as people read them: what was seen alike at several sidecars is told once.

use crate::whereabouts;
use harness_model::scenario::Scenario;
use harness_model::verdict::Detail;
use harness_model::words;

/// One deviation, at every place where it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// The sidecars, by stable name; none where it is about no one sidecar.
    pub sidecars: Vec<String>,
    /// The step of the scenario's timeline.
    pub step: Option<usize>,
    /// What was expected.
    pub expected: String,
    /// What was observed.
    pub observed: String,
}

/// What deviations are told against.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setting<'a> {
    /// The scenario, where it is known: for the words of its steps.
    pub scenario: Option<&'a Scenario>,
    /// The stable names of all sidecars: for lists of them in few words.
    pub sidecars: &'a [String],
}

impl Deviation {
    /// Where it was seen: `*@zone-a, checkout@zone-b; step 2 (delete payload)`. Empty when it has no place.
    #[must_use]
    pub fn place(&self, setting: Setting<'_>) -> String {
        let mut parts: Vec<String> = Vec::new();
        if !self.sidecars.is_empty() {
            parts.push(whereabouts::in_short(&self.sidecars, setting.sidecars));
        }
        if let Some(step) = self.step {
            parts.push(words::step(step, setting.scenario));
        }
        parts.join("; ")
    }
}

/// Joins what was observed at one sidecar in one step, and then sidecars that show the same; in the order in which
/// they first appear. Of several times the first is told, and content hashes are cut to what tells them apart.
#[must_use]
pub fn deviations(details: &[Detail]) -> Vec<Deviation> {
    let mut at_one: Vec<(&Detail, Vec<String>, Option<f64>)> = Vec::new();
    for detail in details {
        let (text, seconds) = without_time(&detail.observed);
        let same = |(known, ..): &&mut (&Detail, Vec<String>, Option<f64>)| {
            known.sidecar == detail.sidecar
                && known.step == detail.step
                && known.expected == detail.expected
                && detail.sidecar.is_some()
        };
        match at_one.iter_mut().find(same) {
            Some((_, texts, first)) => {
                texts.push(short_hashes(text));
                *first = earlier(*first, seconds);
            }
            None => at_one.push((detail, vec![short_hashes(text)], seconds)),
        }
    }
    let mut joined: Vec<(Deviation, Option<f64>)> = Vec::new();
    for (detail, mut texts, seconds) in at_one {
        texts.sort();
        texts.dedup();
        let observed = texts.join("; ");
        let expected = short_hashes(&detail.expected);
        let same = |(known, _): &&mut (Deviation, Option<f64>)| {
            known.step == detail.step
                && known.expected == expected
                && known.observed == observed
                && !known.sidecars.is_empty()
                && detail.sidecar.is_some()
        };
        match joined.iter_mut().find(same) {
            Some((known, first)) => {
                known.sidecars.extend(detail.sidecar.clone());
                *first = earlier(*first, seconds);
            }
            None => joined.push((
                Deviation {
                    sidecars: detail.sidecar.iter().cloned().collect(),
                    step: detail.step,
                    expected,
                    observed,
                },
                seconds,
            )),
        }
    }
    joined
        .into_iter()
        .map(|(mut deviation, first)| {
            if let Some(first) = first {
                deviation
                    .observed
                    .push_str(&format!(", first {first:.3} s after the run began"));
            }
            deviation
        })
        .collect()
}

/// Deviations that differ in their sidecars and times alone are of one kind; in the order in which they first appear. What is
/// about no one sidecar is a kind by itself.
#[must_use]
pub fn kinds(deviations: &[Deviation]) -> Vec<Vec<&Deviation>> {
    let mut kinds: Vec<Vec<&Deviation>> = Vec::new();
    for deviation in deviations {
        match kinds.iter_mut().find(|kind| is_alike(kind[0], deviation)) {
            Some(kind) => kind.push(deviation),
            None => kinds.push(vec![deviation]),
        }
    }
    kinds
}

fn is_alike(one: &Deviation, other: &Deviation) -> bool {
    !one.sidecars.is_empty()
        && !other.sidecars.is_empty()
        && one.step == other.step
        && without_times(&one.expected).eq(without_times(&other.expected))
        && without_times(&one.observed).eq(without_times(&other.observed))
}

/// The words of a text but for its times, of which the unit stays.
fn without_times(text: &str) -> impl Iterator<Item = &str> {
    let next = text.split(' ').skip(1).chain([""]);
    let words = text.split(' ').zip(next);
    words
        .filter(|(word, next)| !(is_time(word) && next.starts_with('s')))
        .map(|(word, _)| word)
}

/// Seconds as findings tell them: `36.024 s`, `36.024 s,`.
fn is_time(word: &str) -> bool {
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    word.split_once('.').is_some_and(|(seconds, millis)| {
        millis.len() == 3 && is_number(seconds) && is_number(millis)
    })
}

fn earlier(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// `toggle x at 1.5 s` → `toggle x` and 1.5; the same of `toggle x, at 1.5 s`.
fn without_time(observed: &str) -> (&str, Option<f64>) {
    let time = observed
        .rsplit_once(" at ")
        .and_then(|(text, time)| Some((text, time.strip_suffix(" s")?.parse().ok()?)));
    match time {
        Some((text, seconds)) => (text.trim_end_matches(','), Some(seconds)),
        None => (observed, None),
    }
}

/// Cuts every long hexadecimal number to its first digits.
fn short_hashes(text: &str) -> String {
    const LONG: usize = 40;
    const KEPT: usize = 8;
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let run = rest[start..]
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(rest.len() - start);
        let kept = if run >= LONG { KEPT } else { run };
        short.push_str(&rest[..start + kept]);
        rest = &rest[start + run..];
    }
    short.push_str(rest);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(sidecar: Option<&str>, observed: &str) -> Detail {
        Detail {
            sidecar: sidecar.map(str::to_owned),
            step: Some(1),
            expected: "x".to_owned(),
            observed: observed.to_owned(),
            event: None,
        }
    }

    #[test]
    fn what_is_alike_is_told_once() {
        let all = [
            detail(Some("a"), "same"),
            detail(Some("b"), "other"),
            detail(Some("c"), "same"),
            detail(None, "same"),
        ];
        let joined = deviations(&all);
        let sidecars: Vec<usize> = joined.iter().map(|d| d.sidecars.len()).collect();
        assert_eq!(sidecars, [2, 1, 0]);
        assert_eq!(joined[0].place(Setting::default()), "a, c; step 1");
    }

    #[test]
    fn what_differs_in_sidecars_and_times_alone_is_of_one_kind() {
        let late = |sidecar, at: &str, until: &str| {
            let observed = format!("the same still at {at} s, to be replaced until {until} s");
            detail(sidecar, &observed)
        };
        let all = [
            late(Some("a"), "36.024", "35.000"),
            detail(Some("b"), "another one at 36.024 s, of version 1.3"),
            late(Some("c"), "41.500", "40.000"),
            late(None, "41.500", "40.000"),
            detail(Some("d"), "another one at 36.024 s, of version 1.2"),
            late(Some("e"), "41.500", "the end"),
            late(Some("f"), "9.750", "8.000"),
            Detail {
                step: Some(2),
                ..late(Some("g"), "9.750", "8.000")
            },
            Detail {
                expected: "y".to_owned(),
                ..late(Some("h"), "9.750", "8.000")
            },
        ];
        let deviations = deviations(&all);
        let names = |kind: Vec<&Deviation>| {
            let names: Vec<String> = kind.iter().flat_map(|it| it.sidecars.clone()).collect();
            names.join(" ")
        };
        let told: Vec<String> = kinds(&deviations).into_iter().map(names).collect();
        assert_eq!(told, ["a c f", "b", "", "d", "e", "g", "h"]);
    }

    #[test]
    fn a_comma_before_the_time_is_not_told_twice() {
        let joined = deviations(&[detail(Some("a"), "shown too late, at 2.500 s")]);
        assert_eq!(
            joined[0].observed,
            "shown too late, first 2.500 s after the run began"
        );
    }

    #[test]
    fn what_one_sidecar_shows_in_one_step_is_told_together_with_the_first_time() {
        let hash = "fb5c898866edadbfc691576f05964f28844100e4d7d1c90e1f82203903212621";
        let rule = format!("rule `r` ({hash}) at 2.500 s");
        let all = [
            detail(Some("a"), "toggle `t` at 2.250 s"),
            detail(Some("a"), &rule),
            detail(Some("b"), &rule),
            detail(Some("b"), "toggle `t` at 1.750 s"),
        ];
        let joined = deviations(&all);
        assert_eq!(joined.len(), 1);
        assert_eq!(joined[0].sidecars, ["a", "b"]);
        assert_eq!(
            joined[0].observed,
            "rule `r` (fb5c8988); toggle `t`, first 1.750 s after the run began"
        );
    }
}
