//! A service is taken away before it is brought back.

use super::*;

/// The sample with these acts before it reconnects.
fn with_acts(acts: &str) -> String {
    sample_with("- reconnect", &format!("{acts}\n- reconnect"))
}

#[test]
fn a_service_is_taken_away_and_brought_back() {
    let text = with_acts("- withdraw: inventory\n- offer: inventory\n- withdraw: inventory");
    let read = read_both_ways(&text);
    assert_eq!(
        read.withdraws().collect::<Vec<_>>(),
        ["inventory", "inventory"]
    );
    assert!(read.when.contains(&Act::Offer("inventory".to_owned())));
    assert_eq!(parse_for("my.yaml", &text, &known()), Ok(read));
}

#[rstest::rstest]
#[case::twice(
    "- withdraw: inventory\n- withdraw: inventory",
    "the service `inventory` is taken away already (hint: bring it back with `offer` first)"
)]
#[case::that_is_there(
    "- offer: inventory",
    "the service `inventory` was not taken away before"
)]
#[case::another(
    "- withdraw: inventory\n- offer: inventori",
    "the service `inventori` was not taken away before (hint: did you mean `inventory`?)"
)]
fn acts_that_do_not_fit_each_other_are_told(#[case] acts: &str, #[case] told: &str) {
    let said = mistakes(&with_acts(acts));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with(told), "{said:?}");
}

#[rstest::rstest]
#[case("request: {name: gone, from: frontend@$zone1, to: inventory, count: 3}")]
#[case("load: {name: gone, from: frontend@$zone1, to: inventory, rate: 5}")]
fn who_is_away_cannot_be_called(#[case] sends: &str) {
    let told = "`inventory` is taken away here (hint: its name leads nowhere";
    let tells = |acts: String| {
        let said = mistakes(&with_acts(&acts));
        said.iter().filter(|line| line.contains(told)).count()
    };
    assert_eq!(tells(format!("- withdraw: inventory\n- {sends}")), 1);
    let back = format!("- withdraw: inventory\n- offer: inventory\n- {sends}");
    assert_eq!(tells(back), 0);
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
    let text = with_acts("- withdraw: inventory\n- offer: inventory");
    assert_eq!(beside_others(&text), beside_others(SAMPLE) + 2);
}
