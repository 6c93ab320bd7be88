//! Names, files, filters, tags and shards.

use super::*;
use crate::arguments::TagArgument;
use harness_model::scenario::Tag;

fn selected(arguments: SelectionArguments) -> Result<Vec<String>, Failure> {
    select(harness_report::fixture::scenarios(), &arguments)
        .map(|s| s.scenarios.into_iter().map(|s| s.name).collect())
}

fn named(names: &[&str]) -> SelectionArguments {
    SelectionArguments {
        names: names.iter().map(|n| (*n).to_owned()).collect(),
        ..SelectionArguments::default()
    }
}

#[test]
fn nothing_named_means_everything() {
    assert_eq!(selected(named(&[])).expect("there are scenarios").len(), 5);
}

#[test]
fn a_suite_or_a_scenario_can_be_named() {
    assert_eq!(selected(named(&["routing"])).expect("a suite").len(), 2);
    assert_eq!(
        selected(named(&["routing/own-zone"])).expect("a scenario"),
        ["routing/own-zone"]
    );
}

#[test]
fn filters_and_tags_narrow_down() {
    let narrowed = |filter: &[&str]| {
        selected(SelectionArguments {
            filter: filter.iter().map(|f| (*f).to_owned()).collect(),
            ..SelectionArguments::default()
        })
    };
    assert_eq!(narrowed(&["^routing/", "!own"]).expect("one").len(), 1);
    assert_eq!(
        narrowed(&["!."]).expect_err("none").exit,
        ExitCode::NothingSelected
    );
    assert_eq!(
        narrowed(&["("]).expect_err("no regex").exit,
        ExitCode::Usage
    );
    let chaos = SelectionArguments {
        tag: vec![TagArgument(Tag::Chaos)],
        ..SelectionArguments::default()
    };
    assert_eq!(selected(chaos).expect("one"), ["resilience/zone-outage"]);
}

#[test]
fn shards_have_everything_once_and_an_empty_one_is_no_success() {
    let part = |number, of| {
        selected(SelectionArguments {
            shard: Some(Shard { number, of }),
            ..SelectionArguments::default()
        })
    };
    let all = selected(named(&[])).expect("there are scenarios");
    let (one, two) = (part(1, 2).expect("three"), part(2, 2).expect("two"));
    assert_eq!((one.len(), two.len()), (3, 2));
    let mut together = [one, two].concat();
    together.sort();
    let mut sorted = all;
    sorted.sort();
    assert_eq!(together, sorted);
    let empty = part(6, 6).expect_err("there are five");
    assert_eq!(empty.exit, ExitCode::NothingSelected);
    assert!(empty.render(false).contains("make at most 5 parts"));
}

#[test]
fn an_unknown_name_is_a_mistake_with_a_suggestion() {
    let failure = selected(named(&["routing/own-zon", "both-sidecars"])).expect_err("unknown");
    assert_eq!(failure.exit, ExitCode::Usage);
    let text = failure.render(false);
    assert!(text.contains("did you mean `routing/own-zone`?"), "{text}");
    assert!(
        text.contains("did you mean `routing/both-sidecars`?"),
        "{text}"
    );
    let short = selected(named(&["both-sidecar"])).expect_err("unknown");
    let text = short.render(false);
    assert!(
        text.contains("did you mean `routing/both-sidecars`?"),
        "{text}"
    );
}
