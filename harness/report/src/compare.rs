//! Two runs of the same scenarios side by side, for example on the local cluster and on kind: do they say the same?
//!
//! Only how scenarios ended is compared, not how long they took. What may differ stands in an allow-list.
//!
//! Invariant: an entry of the allow-list excuses a skip and nothing else; a verdict is never excused.

mod allow_list;

pub use allow_list::{AllowList, AllowedSkip, ClusterKind};

use crate::json::{Document, Ending};
use serde::Serialize;
use std::collections::BTreeSet;

/// What came out of a comparison.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The first run.
    pub a: Side,
    /// The second run.
    pub b: Side,
    /// How many scenarios were judged alike in both; each repetition counts.
    pub same: usize,
    /// How many were skipped, or not finished, in both.
    pub undecided_in_both: usize,
    /// Everything that ended differently, in the order of the names.
    pub differences: Vec<Difference>,
    /// Entries of the allow-list that excuse nothing any more.
    pub stale: Vec<AllowedSkip>,
}

impl Comparison {
    /// Whether something is alike, nothing differs but what is allowed, and everything that is allowed is needed.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.same > 0
            && self.stale.is_empty()
            && self.differences.iter().all(|one| one.allowed.is_some())
    }
}

/// One of the two runs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// The run's name.
    pub run: String,
    /// The kind of its cluster.
    pub cluster: String,
}

/// A scenario that did not end alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Its name.
    pub scenario: String,
    /// 1 for the first repetition.
    pub repetition: u32,
    /// What differs.
    pub what: What,
    /// How it ended in the first run, where it was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<End>,
    /// How it ended in the second run, where it was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<End>,
    /// Why this may be, in the words of the allow-list; none: it may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
}

/// In what two runs differ about a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Only the first run has it.
    OnlyInA,
    /// Only the second run has it.
    OnlyInB,
    /// It was skipped in one of them.
    Skipped,
    /// It ended otherwise.
    Verdict,
}

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// The word.
    pub outcome: Ending,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Compares two runs.
#[must_use]
pub fn compare(a: &Document, b: &Document, allowed: &AllowList) -> Comparison {
    let mut comparison = Comparison {
        a: side(a),
        b: side(b),
        same: 0,
        undecided_in_both: 0,
        differences: Vec::new(),
        stale: stale([a, b], allowed),
    };
    let scenarios: BTreeSet<(&str, u32)> = [a, b]
        .into_iter()
        .flat_map(|document| &document.scenarios)
        .map(|scenario| (scenario.name.as_str(), scenario.repetition))
        .collect();
    for (name, repetition) in scenarios {
        let ends = [a, b].map(|document| end(document, name, repetition));
        let what = match ends
            .each_ref()
            .map(|end| end.as_ref().map(|end| end.outcome))
        {
            [Some(a), Some(b)] if a == b => {
                match a {
                    Ending::Skipped | Ending::NotRun | Ending::Unfinished => {
                        comparison.undecided_in_both += 1
                    }
                    Ending::Passed | Ending::Failed | Ending::Inconclusive => comparison.same += 1,
                }
                continue;
            }
            [Some(_), None] => What::OnlyInA,
            [None, _] => What::OnlyInB,
            [Some(Ending::Skipped), _] | [_, Some(Ending::Skipped)] => What::Skipped,
            _ => What::Verdict,
        };
        // Only where the other run passed: what is red there is not excused by a skip here.
        let passed = ends
            .iter()
            .flatten()
            .any(|end| end.outcome == Ending::Passed);
        let excuse = |(document, end): (&Document, &Option<End>)| {
            let skipped = end.as_ref()?.outcome == Ending::Skipped;
            let entry = allowed.entry(name, document.cluster_kind())?;
            (skipped && passed).then(|| entry.why.clone())
        };
        let excused = [a, b].into_iter().zip(&ends).find_map(excuse);
        let [a, b] = ends;
        comparison.differences.push(Difference {
            scenario: name.to_owned(),
            repetition,
            what,
            a,
            b,
            allowed: excused,
        });
    }
    comparison
}

fn side(document: &Document) -> Side {
    Side {
        run: document.run.clone(),
        cluster: document.cluster_kind().to_owned(),
    }
}

/// How a repetition ended. A skip is told once and is meant for all of them.
fn end(document: &Document, name: &str, repetition: u32) -> Option<End> {
    document
        .scenarios
        .iter()
        .filter(|scenario| scenario.name == name)
        .find(|scenario| scenario.repetition == repetition || scenario.outcome == Ending::Skipped)
        .map(|scenario| End {
            outcome: scenario.outcome,
            reason: scenario.reason.clone(),
        })
}

/// Entries whose scenario was there on that kind of cluster, and never skipped.
fn stale(documents: [&Document; 2], allowed: &AllowList) -> Vec<AllowedSkip> {
    let is_stale = |entry: &&AllowedSkip| {
        let mut ends = documents
            .into_iter()
            .filter(|document| document.cluster_kind() == entry.cluster.word())
            .flat_map(|document| &document.scenarios)
            .filter(|scenario| scenario.name == entry.scenario)
            .map(|scenario| scenario.outcome)
            .peekable();
        ends.peek().is_some() && ends.all(|outcome| outcome != Ending::Skipped)
    };
    allowed.skips.iter().filter(is_stale).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn document(cluster: &str, change: impl FnOnce(&mut Document)) -> Document {
        let mut document = crate::json::document(&fixture::record(), 1);
        document
            .environment
            .insert("cluster".to_owned(), cluster.to_owned());
        change(&mut document);
        document
    }

    fn allow(cluster: ClusterKind, scenario: &str) -> AllowList {
        AllowList {
            skips: vec![AllowedSkip {
                scenario: scenario.to_owned(),
                cluster,
                why: "it has no such thing".to_owned(),
                line: 3,
            }],
        }
    }

    fn nothing() -> AllowList {
        AllowList { skips: Vec::new() }
    }

    fn skip(document: &mut Document, name: &str) {
        for scenario in &mut document.scenarios {
            if scenario.name == name {
                scenario.outcome = Ending::Skipped;
                scenario.reason = Some("it lacks something".to_owned());
            }
        }
    }

    const PASSING: &str = "routing/both-sidecars";

    #[test]
    fn a_run_agrees_with_itself() {
        let run = document("local", |_| ());
        let compared = compare(&run, &run, &nothing());
        assert!(compared.agrees());
        assert_eq!((compared.same, compared.undecided_in_both), (4, 1));
        assert!(compared.differences.is_empty());
    }

    #[test]
    fn nothing_that_is_alike_is_no_agreement() {
        let nobody = document("local", |run| run.scenarios.clear());
        assert!(!compare(&nobody, &nobody, &nothing()).agrees());
    }

    #[test]
    fn each_difference_is_named() {
        let a = document("local", |run| {
            run.scenarios
                .retain(|s| s.name != "delivery-scope/everybody");
        });
        let b = document("kind", |run| {
            skip(run, PASSING);
            for scenario in &mut run.scenarios {
                if scenario.name == fixture::FAILING {
                    scenario.outcome = Ending::Passed;
                }
            }
        });
        let compared = compare(&a, &b, &nothing());
        assert!(!compared.agrees());
        let named: Vec<(&str, What)> = compared
            .differences
            .iter()
            .map(|one| (one.scenario.as_str(), one.what))
            .collect();
        assert_eq!(
            named,
            [
                (fixture::FAILING, What::Verdict),
                ("delivery-scope/everybody", What::OnlyInB),
                (PASSING, What::Skipped),
            ]
        );
        let only = compare(&b, &a, &nothing()).differences.remove(1);
        assert_eq!((only.what, only.b), (What::OnlyInA, None));
    }

    #[test]
    fn a_skip_is_allowed_on_its_kind_of_cluster_only() {
        let a = document("local", |_| ());
        let b = document("kind", |run| skip(run, PASSING));
        let on_kind = allow(ClusterKind::Kind, PASSING);
        assert!(compare(&a, &b, &on_kind).agrees());
        assert!(compare(&b, &a, &on_kind).agrees());
        let compared = compare(&a, &b, &allow(ClusterKind::Local, PASSING));
        assert!(!compared.agrees());
        assert_eq!(compared.differences[0].allowed, None);
    }

    #[test]
    fn a_verdict_is_never_excused() {
        let a = document("local", |_| ());
        let b = document("kind", |run| {
            for scenario in &mut run.scenarios {
                if scenario.name == PASSING {
                    scenario.outcome = Ending::Failed;
                }
            }
        });
        let compared = compare(&a, &b, &allow(ClusterKind::Kind, PASSING));
        assert_eq!(compared.differences[0].allowed, None);
        let skipped = document("local", |run| skip(run, PASSING));
        let compared = compare(&skipped, &b, &allow(ClusterKind::Local, PASSING));
        assert_eq!(compared.differences[0].allowed, None, "the other failed");
        let gone = document("kind", |run| run.scenarios.retain(|s| s.name != PASSING));
        assert!(!compare(&a, &gone, &allow(ClusterKind::Kind, PASSING)).agrees());
    }

    #[test]
    fn an_entry_that_excuses_nothing_is_stale_where_its_scenario_was_run() {
        let a = document("local", |_| ());
        let b = document("kind", |_| ());
        let entry = allow(ClusterKind::Kind, PASSING);
        let compared = compare(&a, &b, &entry);
        assert_eq!(compared.stale, entry.skips);
        assert!(!compared.agrees());
        assert!(compare(&a, &a, &entry).agrees(), "no such cluster was used");
        let without = document("kind", |run| run.scenarios.retain(|s| s.name != PASSING));
        assert!(compare(&without, &without, &entry).agrees());
        let skipped = document("kind", |run| skip(run, PASSING));
        assert!(compare(&skipped, &skipped, &entry).agrees());
    }

    #[test]
    fn a_skip_stands_for_every_repetition() {
        let a = document("local", |run| {
            let mut again = run.scenarios[0].clone();
            again.repetition = 2;
            run.scenarios.push(again);
        });
        let name = a.scenarios[0].name.clone();
        let b = document("kind", |run| skip(run, &name));
        let compared = compare(&a, &b, &nothing());
        let repetitions: Vec<(u32, What)> = compared
            .differences
            .iter()
            .map(|one| (one.repetition, one.what))
            .collect();
        assert_eq!(repetitions, [(1, What::Skipped), (2, What::Skipped)]);
    }
}
