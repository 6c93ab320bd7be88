//! A service is taken away before it is brought back.

use super::*;

/// The sample with these acts before it reconnects.
fn with_acts(acts: &str) -> String {
    sample_with("- reconnect", &format!("{acts}\n- reconnect"))
}

#[test]
fn a_service_is_taken_away_and_brought_back() {
    let text = with_acts("- withdraw: checkout\n- offer: checkout\n- withdraw: checkout");
    let read = read_both_ways(&text);
    assert_eq!(
        read.withdraws().collect::<Vec<_>>(),
        ["checkout", "checkout"]
    );
    assert!(read.when.contains(&Act::Offer("checkout".to_owned())));
    assert_eq!(parse_for("my.yaml", &text, &known()), Ok(read));
}

#[rstest::rstest]
#[case::twice(
    "- withdraw: checkout\n- withdraw: checkout",
    "the service `checkout` is taken away already (hint: bring it back with `offer` first)"
)]
#[case::that_is_there(
    "- offer: checkout",
    "the service `checkout` was not taken away before"
)]
#[case::another(
    "- withdraw: checkout\n- offer: chekout",
    "the service `chekout` was not taken away before (hint: did you mean `checkout`?)"
)]
fn acts_that_do_not_fit_each_other_are_told(#[case] acts: &str, #[case] told: &str) {
    let said = mistakes(&with_acts(acts));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with(told), "{said:?}");
}

#[test]
fn what_is_taken_away_is_there() {
    let text = with_acts("- withdraw: chekout");
    let problems = parse_for("my.yaml", &text, &known()).expect_err("there is no such service");
    let said = problems.to_string();
    assert!(said.starts_with("my.yaml:29:"), "{said}");
    let told = "there is no service `chekout` (hint: did you mean `checkout`?)";
    assert!(said.ends_with(told), "{said}");
}

#[test]
fn others_would_see_it() {
    let beside_others = |text: &str| {
        let told = "it disturbs other scenarios";
        let said = mistakes(&text.replacen("disturbs: everything\n", "", 1));
        said.iter().filter(|line| line.contains(told)).count()
    };
    let text = with_acts("- withdraw: checkout\n- offer: checkout");
    assert_eq!(beside_others(&text), beside_others(SAMPLE) + 2);
}
