//! What had to come out against what came out.

use super::SelftestCase;
use crate::one::RUNNER;
use harness_cluster::exposure::Search;
use harness_model::kill::Kill;
use harness_model::verdict::{Finding, Judgement, Verdict};

/// The faithful mesh: the scenario must pass.
pub(super) fn faithful(scenario: &str, judgement: &Judgement) -> SelftestCase {
    SelftestCase {
        control_plane: super::FAITHFUL.to_owned(),
        scenario: scenario.to_owned(),
        expected: "passed".to_owned(),
        observed: describe(judgement),
        agrees: judgement.verdict == Verdict::Passed,
        millis: 0,
        judgement: Some(judgement.clone()),
    }
}

/// A mutant: the expected checker must fail and name the expected sidecar. Anything else is no kill, not even a
/// failure for another reason.
pub(super) fn mutant(
    mutant: &str,
    kill: &Kill,
    data_centers: &[String],
    judgement: &Judgement,
) -> SelftestCase {
    let sidecar = kill
        .sidecar
        .as_ref()
        .map(|name| resolve(name, data_centers));
    let names = |finding: &Finding| match &sidecar {
        None => true,
        Some(name) => finding.details.iter().any(|detail| {
            detail
                .sidecar
                .as_ref()
                .is_some_and(|sidecar| is_match(name, sidecar))
        }),
    };
    let agrees = judgement.verdict == Verdict::Failed
        && judgement.findings.iter().any(|finding| {
            finding.checker == kill.checker && finding.verdict == Verdict::Failed && names(finding)
        });
    SelftestCase {
        control_plane: mutant.to_owned(),
        scenario: kill.scenario.clone(),
        expected: match &sidecar {
            Some(name) => format!("failed by {} at {name}", kill.checker),
            None => format!("failed by {}", kill.checker),
        },
        observed: describe(judgement),
        agrees,
        millis: 0,
        judgement: Some(judgement.clone()),
    }
}

/// Leaves out what was found of earlier mutants, which proves nothing of this one, and adds the rest to it. What is said of a
/// log begins alike once its pod is gone.
pub(super) fn leave_out_known(search: &mut Search, known: &mut Vec<String>) {
    let is_new = |place: &String| !known.iter().any(|known| place.starts_with(known.as_str()));
    search.found.retain(is_new);
    known.extend(search.found.iter().cloned());
}

/// A mutant that gives keys away: the search for private keys must find one.
pub(super) fn searched(mutant: &str, kill: &Kill, search: &Search) -> SelftestCase {
    let told = |what: &str, places: &[String]| format!("{what} {}", places.join("; "));
    let observed = match (&search.found[..], &search.not_searched[..]) {
        ([], []) => "no private key found".to_owned(),
        ([], unknown) => told("no private key found; not searched:", unknown),
        (found, _) => told("a private key found in", found),
    };
    SelftestCase {
        control_plane: mutant.to_owned(),
        scenario: kill.scenario.clone(),
        expected: "a private key found by the search".to_owned(),
        observed,
        agrees: !search.found.is_empty(),
        millis: 0,
        judgement: None,
    }
}

/// The mutant could not be put in place: that is no kill.
pub(super) fn no_mutant(mutant: &str, kill: &Kill, reason: &str) -> SelftestCase {
    SelftestCase {
        control_plane: mutant.to_owned(),
        scenario: kill.scenario.clone(),
        expected: format!("failed by {}", kill.checker),
        observed: format!("not run: {reason}"),
        agrees: false,
        millis: 0,
        judgement: None,
    }
}

/// Without a mesh nothing passes: what must be there is missing, and what must be absent cannot be proven absent.
pub(super) fn absent(scenario: &str, judgement: &Judgement) -> SelftestCase {
    let is_right = |finding: &Finding| match finding.checker.as_str() {
        // A scope that covers nobody here leaves nothing to be delivered.
        "delivered"
            if finding
                .details
                .iter()
                .all(|detail| detail.sidecar.is_none()) =>
        {
            finding.verdict == Verdict::Inconclusive
        }
        "delivered" => finding.verdict == Verdict::Failed,
        "confined" => finding.verdict == Verdict::Inconclusive,
        // It was not carried out to its end.
        RUNNER => false,
        _ => true,
    };
    SelftestCase {
        control_plane: super::ABSENT.to_owned(),
        scenario: scenario.to_owned(),
        expected: "not passed; delivered failed, confined inconclusive".to_owned(),
        observed: describe(judgement),
        agrees: judgement.verdict != Verdict::Passed && judgement.findings.iter().all(is_right),
        millis: 0,
        judgement: Some(judgement.clone()),
    }
}

/// Whether a failure of this checker is final: nothing that is seen later can undo it, so that it may be taken from a
/// history that still grows. A leak was there, a bound was missed, a request was lost or went astray (of an outage only
/// when it is over). The others compare whole steps, shares or states.
pub(super) fn is_final(checker: &str) -> bool {
    matches!(
        checker,
        "confined" | "delivered" | "answered" | "answered_by" | "fails_over"
    )
}

/// Something has failed that cannot pass any more.
pub(super) fn has_failed_for_good(judgement: &Judgement) -> bool {
    judgement
        .findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Failed && is_final(&finding.checker))
}

fn resolve(name: &str, data_centers: &[String]) -> String {
    // The highest number first, so that `$zone1` does not eat the beginning of `$zone10`.
    data_centers
        .iter()
        .enumerate()
        .rev()
        .fold(name.to_owned(), |name, (index, data_center)| {
            name.replace(&format!("$zone{}", index + 1), data_center)
        })
}

/// `*` stands for any run of characters.
fn is_match(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|tail| {
            tail.char_indices()
                .map(|(index, _)| &tail[index..])
                .chain([""])
                .any(|tail| is_match(rest, tail))
        }),
    }
}

fn describe(judgement: &Judgement) -> String {
    let word = |verdict| match verdict {
        Verdict::Passed => "passed",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Failed => "failed",
    };
    let reasons: Vec<String> = judgement
        .findings
        .iter()
        .filter(|finding| finding.verdict != Verdict::Passed)
        .map(|finding| {
            let detail = finding.details.first().map_or_else(String::new, |detail| {
                let at = detail
                    .sidecar
                    .as_ref()
                    .map_or_else(String::new, |name| format!(" at {name}"));
                format!(
                    "{at}: expected {}, observed {}",
                    detail.expected, detail.observed
                )
            });
            format!("{} {}{detail}", finding.checker, word(finding.verdict))
        })
        .collect();
    if reasons.is_empty() {
        word(judgement.verdict).to_owned()
    } else {
        format!("{} ({})", word(judgement.verdict), reasons.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_model::verdict::Detail;

    fn judgement(checker: &str, verdict: Verdict, sidecar: Option<&str>) -> Judgement {
        Judgement {
            verdict,
            findings: vec![Finding {
                checker: checker.to_owned(),
                expectation: None,
                verdict,
                observations: 1,
                details: vec![Detail {
                    sidecar: sidecar.map(str::to_owned),
                    step: None,
                    expected: String::new(),
                    observed: String::new(),
                    event: None,
                }],
            }],
            waited_in_vain: Vec::new(),
        }
    }

    fn kill(sidecar: Option<&str>) -> Kill {
        Kill {
            scenario: "s".to_owned(),
            checker: "confined".to_owned(),
            sidecar: sidecar.map(str::to_owned),
            clusters: 1,
            extra: false,
        }
    }

    #[test]
    fn a_pattern_names_sidecars() {
        let zones = ["a".to_owned(), "b".to_owned()];
        let names = |pattern: &str, sidecar| is_match(&resolve(pattern, &zones), sidecar);
        assert!(names("*", "x@a"));
        assert!(names("*@$zone2", "x@b"));
        assert!(!names("*@$zone2", "x@a"));
        assert!(names("x@*", "x@b#2"));
        assert!(names("x@$zone1*", "x@a"));
    }

    #[test]
    fn a_kill_is_the_right_failure_and_nothing_else() {
        let zones = ["alpha".to_owned(), "beta".to_owned()];
        let agrees = |expected: &Kill, judged| mutant("m", expected, &zones, &judged).agrees;
        let at = Some("checkout@alpha");
        let expected = kill(Some("checkout@$zone1"));
        assert!(agrees(
            &expected,
            judgement("confined", Verdict::Failed, at)
        ));
        assert!(!agrees(
            &expected,
            judgement("confined", Verdict::Failed, Some("checkout@beta"))
        ));
        assert!(!agrees(
            &expected,
            judgement("delivered", Verdict::Failed, at)
        ));
        assert!(!agrees(
            &expected,
            judgement("confined", Verdict::Inconclusive, at)
        ));
        assert!(agrees(
            &kill(Some("*@$zone1")),
            judgement("confined", Verdict::Failed, at)
        ));
        assert!(agrees(
            &kill(None),
            judgement("confined", Verdict::Failed, None)
        ));
    }

    #[test]
    fn a_key_must_be_found_where_the_search_must_find_one() {
        let mut search = Search::default();
        let case = |search: &Search| searched("m", &kill(None), search);
        assert!(!case(&search).agrees);
        search.not_searched.push("the log of a/b/c".to_owned());
        let unknown = case(&search);
        assert!(!unknown.agrees && unknown.observed.contains("the log of a/b/c"));
        search.found.push("the log of a/d/e".to_owned());
        let found = case(&search);
        assert!(found.agrees && found.observed.ends_with("in the log of a/d/e"));
    }

    #[test]
    fn a_key_of_an_earlier_mutant_proves_nothing_of_a_later_one() {
        let found = |places: &[&str]| Search {
            found: places.iter().map(|place| (*place).to_owned()).collect(),
            ..Search::default()
        };
        let (mut first, mut known) = (found(&["the log of a/b/c"]), Vec::new());
        leave_out_known(&mut first, &mut known);
        assert_eq!(first.found, ["the log of a/b/c"]);
        let mut second = found(&["the log of a/b/c, which is gone"]);
        leave_out_known(&mut second, &mut known);
        assert!(second.found.is_empty());
        let mut third = found(&["east-1:/run/key", "the log of a/b/c, which is gone"]);
        leave_out_known(&mut third, &mut known);
        assert_eq!(third.found, ["east-1:/run/key"]);
    }

    #[test]
    fn without_a_mesh_a_negative_that_failed_or_passed_is_wrong() {
        assert!(absent("s", &judgement("confined", Verdict::Inconclusive, None)).agrees);
        assert!(!absent("s", &judgement("confined", Verdict::Failed, None)).agrees);
        let missing = judgement("delivered", Verdict::Failed, Some("checkout@alpha"));
        assert!(absent("s", &missing).agrees);
        let owed = judgement("delivered", Verdict::Inconclusive, Some("checkout@alpha"));
        assert!(!absent("s", &owed).agrees);
        assert!(absent("s", &judgement("delivered", Verdict::Inconclusive, None)).agrees);
        assert!(!absent("s", &judgement(RUNNER, Verdict::Inconclusive, None)).agrees);
        assert!(!absent("s", &judgement("answered", Verdict::Passed, None)).agrees);
    }
}
