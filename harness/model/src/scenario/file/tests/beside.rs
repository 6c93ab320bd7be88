//! Two expectations that cannot stand beside each other are told with both their places.

use super::*;
use crate::asking::DenialCause;
use crate::expectation::Expectation;

/// What is told of these expectations in place of `unchanged`, which stands in line 58.
fn told_of(expectations: &str) -> Vec<String> {
    mistakes(&sample_with("- unchanged\n", expectations))
}

#[rstest::rstest]
#[case::the_same("- answered: {traffic: batch}\n", 58, "the same expectation twice", 50)]
#[case::opposites(
    "- overTls: {traffic: batch}\n- inPlaintext: {traffic: batch}\n",
    59,
    "`overTls` and `inPlaintext` for the same traffic `batch`",
    58
)]
#[case::two_causes(
    "- refused: {traffic: batch, because: plaintext}\n- refused:\n    traffic: batch\n    because: expired\n",
    61,
    "two causes why the same traffic `batch` is refused",
    58
)]
#[case::a_cause_that_stands_by_itself(
    "- refused:\n    traffic: batch\n    because: plaintext\n- refused: {traffic: batch, because: expired}\n",
    61,
    "two causes why the same traffic `batch` is refused",
    60
)]
fn the_place_of_the_other_one_is_told(
    #[case] expectations: &str,
    #[case] line: u64,
    #[case] message: &str,
    #[case] other: u64,
) {
    let place = format!("my.yaml:{line}:");
    let both = format!(": {message}; the other one is in line {other}");
    let told = told_of(expectations);
    let is_it = |told: &String| told.starts_with(&place) && told.contains(&both);
    assert!(told.iter().any(is_it), "{both} at {line} not in {told:#?}");
}

/// A scenario with one attempt, which is denied for `causes`.
fn denied(causes: &[&str]) -> String {
    let denied = causes
        .iter()
        .map(|cause| format!("- denied: {{ask: mine, because: {cause}}}\n"));
    format!(
        "name: identity/mine
claim: tokens are looked at
tags: [qa]
requires: [identities]
when:
- ask: {{name: mine, from: frontend@$zone1, at: nodeAgent, token: gone}}
then:
{}",
        denied.collect::<String>()
    )
}

#[test]
fn an_attempt_is_denied_for_one_cause() {
    assert_eq!(mistakes(&denied(&["podGone"])), Vec::<String>::new());
    let told = mistakes(&denied(&["podGone", "expired"]));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("my.yaml:9:"), "{told:?}");
    let words = "two causes why the same ask `mine` is denied; the other one is in line 8 (hint: both cannot hold";
    assert!(told[0].contains(words), "{told:?}");
    let told = mistakes(&denied(&["podGone", "podGone"]));
    assert_eq!(told.len(), 1, "{told:?}");
    let words = "the same expectation twice; the other one is in line 8";
    assert!(told[0].ends_with(words), "{told:?}");
}

#[test]
fn an_attempt_is_not_granted_and_denied() {
    let both = format!(
        "{}- granted: {{ask: mine, atMost: 20s}}\n",
        denied(&["podGone"])
    );
    let told = mistakes(&both);
    assert_eq!(told.len(), 1, "{told:?}");
    let words = "`granted` and `denied` for the same ask `mine`; the other one is in line 8";
    assert!(told[0].contains(words), "{told:?}");
}

#[test]
fn what_was_not_read_from_a_file_is_told_with_both_fields() {
    let mut twice = parse("my.yaml", &denied(&["podGone"])).expect("it is right");
    twice.then.push(Expectation::Denied {
        ask: "mine".to_owned(),
        because: DenialCause::Expired,
    });
    let words =
        "two causes why the same ask `mine` is denied; the other one is `then[0].denied.because`";
    assert_eq!(check(&twice), [words]);
    let told = check_for(&twice, &known());
    assert_eq!(told.len(), 1, "{told:?}");
    let both = format!("then[1].denied.because: {words} (both cannot hold");
    assert!(told[0].starts_with(&both), "{told:?}");
}
