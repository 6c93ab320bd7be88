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

#[rstest::rstest]
#[case::ghost(
    "ghost",
    "write the name of one that is: checkout, frontend, inventory, impostor"
)]
#[case::misspelt("inventori", "did you mean `inventory`?")]
#[case::one_that_is_there("inventory", "did you mean `inventory`?")]
fn what_nobody_has_is_not_taken_away(#[case] name: &str, #[case] hint: &str) {
    let text = with_acts(&format!("- withdraw: $unknown:{name}"));
    let told = format!("`$unknown:{name}` says that no service is called so, and one");
    let problems = parse_for("my.yaml", &text, &known()).expect_err("nobody has it");
    let said = problems.to_string();
    assert!(
        said.starts_with(&format!("my.yaml:29:13: {told}")),
        "{said}"
    );
    assert!(said.ends_with(&format!("(hint: {hint})")), "{said}");
    let said = mistakes(&text);
    assert_eq!(said.len(), 1, "{said:?}");
    let hint = "(hint: write the name of a service that is there)";
    assert!(
        said[0].contains(&told) && said[0].ends_with(hint),
        "{said:?}"
    );
}

const DETOUR: &str = r#"- apply:
    name: detour
    scope: {match: [{}]}
    rules: {route: {service: checkout, headers: {x-a: "1"}, to: {inventory: 100}}}"#;
const TO_CANARY: &str = r#"- apply:
    name: detour
    scope: {match: [{}]}
    rules: {route: {service: checkout, headers: {x-a: "1"}, to: {canary: 100}}}"#;
const BATCH: &str =
    r#"- request: {name: led, from: frontend@$zone1, to: checkout, headers: {x-a: "1"}, count: 3}"#;
const LOAD: &str =
    r#"- load: {name: led, from: frontend@$zone1, to: checkout, headers: {x-a: "1"}, rate: 5}"#;
const STOP: &str = "- stop: led";
const AWAY: &str = "- withdraw: inventory";
const BACK: &str = "- offer: inventory";
const FAULT: &str = "- inject: {podKill: {selector: controlPlaneReplica}}\n- recover";
const JOIN: &str = "- join: {application: frontend, dataCenter: $zone1}";

/// A scenario of these acts that expects `led` to be refused since its service is not known.
fn refused(acts: &[&str]) -> String {
    format!(
        "name: routing/mine
claim: nobody knows a service that is gone
tags: [qa]
disturbs: everything
when:
{}
then:
- refused: {{traffic: led, because: unknownService}}
",
        acts.join("\n")
    )
}

#[rstest::rstest]
#[case::nobody_is_away(&[BATCH])]
#[case::away_too_late(&[BATCH, AWAY])]
#[case::led_elsewhere_too_late(&[BATCH, DETOUR])]
#[case::a_load_that_ends_before(&[LOAD, STOP, AWAY, BACK])]
#[case::a_fault_afterwards(&[BATCH, FAULT])]
fn a_service_that_is_there_all_the_time_is_known(#[case] acts: &[&str]) {
    let text = refused(acts);
    let said = mistakes(&text);
    assert_eq!(said.len(), 1, "{said:?}");
    // It stands in the last one.
    let place = format!("my.yaml:{}:", text.lines().count());
    assert!(said[0].starts_with(&place), "{said:?}");
    let told = "it cannot pass: every service is there until `led` ends, and known (hint: take one away before it with `withdraw`";
    assert!(said[0].contains(told), "{said:?}");
}

#[rstest::rstest]
#[case::away(&[AWAY, BATCH])]
#[case::back_already(&[AWAY, BACK, BATCH])]
#[case::away_during_a_load(&[LOAD, AWAY, STOP])]
#[case::led_to_a_service(&[DETOUR, BATCH])]
#[case::led_to_one_without_a_service(&[TO_CANARY, BATCH])]
#[case::something_was_broken(&[FAULT, BATCH])]
#[case::somebody_came(&[JOIN, BATCH])]
fn what_is_not_certain_to_fail_is_taken(#[case] acts: &[&str]) {
    assert_eq!(mistakes(&refused(acts)), Vec::<String>::new());
}

#[test]
fn a_rule_that_is_given_may_lead_to_nobody() {
    let given = format!("given:\n  configurations:\n  {}\nwhen:\n", {
        let rules = "rules: {route: {service: checkout, headers: {x-a: \"1\"}, to: {canary: 1}}}";
        format!("- {{name: detour, scope: {{match: [{{}}]}}, {rules}}}")
    });
    let text = refused(&[BATCH]).replacen("when:\n", &given, 1);
    assert_eq!(mistakes(&text), Vec::<String>::new());
}
