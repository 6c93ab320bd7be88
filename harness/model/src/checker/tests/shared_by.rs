//! How far shares may be from weights: bounds that are known exactly.

use super::requests::{TRAFFIC, batch, expecting, finding, recorder};
use crate::expectation::Expectation;
use crate::verdict::{Finding, Verdict};
use rstest::rstest;

/// Judges how many answers each application gave of which so many percent are its.
fn judged(shares: &[(&str, u8, u64)]) -> Finding {
    let mut recorder = recorder();
    let mut sequence = 0;
    for (application, _, count) in shares {
        for _ in 0..*count {
            recorder.request(sequence, |request| {
                if let Some(answerer) = &mut request.answered_by {
                    answerer.application = (*application).to_owned();
                }
            });
            sequence += 1;
        }
    }
    let percents = shares
        .iter()
        .map(|(application, percent, _)| ((*application).to_owned(), *percent))
        .collect();
    let expectation = Expectation::SharedBy {
        traffic: TRAFFIC.to_owned(),
        percents,
    };
    finding(&expecting(vec![batch(1)], expectation), &recorder)
}

#[rstest]
// Half of 2 to the power of 20 is more than half a million, of 21 it is less: none of 20 may come by chance, none of 21 not.
#[case::none_of_too_few(50, 0, 20, Verdict::Inconclusive)]
#[case::none_of_enough(50, 0, 21, Verdict::Failed)]
#[case::one_of_enough(50, 1, 21, Verdict::Passed)]
#[case::all_of_enough(50, 21, 21, Verdict::Failed)]
// A fair draw gives 5 or more of 20 in 14 of ten million cases, 6 or more in 0.3. It gives 3 or more in one of a thousand, which
// five standard deviations forbid.
#[case::of_a_rare_one(1, 3, 20, Verdict::Inconclusive)]
#[case::as_many_of_a_rare_one_as_may_be(1, 5, 20, Verdict::Inconclusive)]
#[case::too_many_of_a_rare_one(1, 6, 20, Verdict::Failed)]
#[case::one_in_a_hundred_of_too_few(1, 14, 1443, Verdict::Inconclusive)]
#[case::one_in_a_hundred_of_enough(1, 14, 1444, Verdict::Passed)]
// That none of 4,000 comes has a chance that is no number any more.
#[case::as_few_of_many_as_may_be(20, 679, 4000, Verdict::Passed)]
#[case::too_few_of_many(20, 678, 4000, Verdict::Failed)]
#[case::as_many_of_many_as_may_be(20, 926, 4000, Verdict::Passed)]
#[case::too_many_of_many(20, 927, 4000, Verdict::Failed)]
fn a_draw_is_unfair_where_chance_gives_it_less_than_once_in_a_million(
    #[case] percent: u8,
    #[case] count: u64,
    #[case] total: u64,
    #[case] verdict: Verdict,
) {
    let found = judged(&[
        ("checkout", percent, count),
        ("inventory", 100 - percent, total - count),
    ]);
    assert_eq!(found.verdict, verdict, "{found:?}");
}

/// One in a million is that of all three together: with a third of it, none of 22 may come by chance, none of 23 not.
#[rstest]
#[case(22, Verdict::Inconclusive)]
#[case(23, Verdict::Failed)]
fn of_three_each_has_a_third_of_the_chance(#[case] total: u64, #[case] verdict: Verdict) {
    let found = judged(&[
        ("checkout", 50, 0),
        ("frontend", 25, 11),
        ("inventory", 25, total - 11),
    ]);
    assert_eq!(found.verdict, verdict, "{found:?}");
    if verdict == Verdict::Failed {
        assert_eq!(
            found.details[0].expected,
            "50 % of `traffic` to be answered by checkout: 1 to 22 of 23 (a fair draw, all but one in a million)"
        );
    }
}

#[test]
fn a_failure_tells_what_a_fair_draw_gives() {
    let found = judged(&[("checkout", 80, 120), ("inventory", 20, 80)]);
    let expected: Vec<&str> = found.details.iter().map(|it| &*it.expected).collect();
    assert_eq!(
        expected,
        [
            "80 % of `traffic` to be answered by checkout: 130 to 185 of 200 (a fair draw, all but one in a million)",
            "20 % of `traffic` to be answered by inventory: 15 to 70 of 200 (a fair draw, all but one in a million)",
        ]
    );
}
