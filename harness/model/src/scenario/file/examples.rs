//! Lines that show how a field is written that is missing in a scenario file.

use crate::document::{Problem, to_add};

/// A line for each field that means the same wherever it stands; the others are told by their names alone.
const LINES: &[&str] = &[
    "application: checkout",
    "at: authority",
    "atMost: 1h",
    "claim: requests pass both sidecars",
    "component: node-agent",
    "count: 3",
    "dataCenter: $zone1",
    "duration: 4s",
    "how: unlinked",
    "match: [{dataCenter: $zone1}]",
    "percent: 90",
    "percents: {checkout: 80, inventory: 20}",
    "rate: 10",
    "reference: 0",
    "scope: {match: [{dataCenter: $zone1}]}",
    "selector: {workload: checkout@$zone1}",
    "service: checkout",
    "since: 0",
    "step: 0",
    "tags: [qa]",
    "then: [delivered, confined]",
    "times: 3",
    "when: [reconnect]",
    "with: unknown_ca",
    "within: 2s",
];

/// Gives a mistake that is about a missing field a line to add, where there is an example.
pub(super) fn show(problem: &mut Problem) {
    let line = problem.missing().and_then(|field| {
        let is_of = |line: &&&str| line.split_once(": ").is_some_and(|(key, _)| key == field);
        LINES.iter().find(is_of)
    });
    if let Some(line) = line {
        problem.hint = Some(to_add(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::file::{parse, schema};

    #[test]
    fn every_example_is_of_a_field_that_there_is() {
        let schema = schema().to_string();
        for line in LINES {
            let (key, _) = line.split_once(": ").expect("a key and its value");
            assert!(schema.contains(&format!("\"{key}\"")), "{line}");
            let read: Result<serde_json::Value, _> = serde_saphyr::from_str(line);
            assert!(read.is_ok(), "{line}: {read:?}");
        }
    }

    #[test]
    fn a_missing_field_is_shown_and_one_without_an_example_named() {
        let text = "name: mine/first
tags: [qa]
when:
- request: {name: batch, from: frontend@$zone1, count: 1}
then: [delivered]
";
        let problems = parse("my.yaml", text).expect_err("two fields are missing");
        let hints: Vec<Option<&str>> = problems
            .problems
            .iter()
            .map(|problem| problem.hint.as_deref())
            .collect();
        assert_eq!(
            hints,
            [
                Some("add `claim: requests pass both sidecars` to the map that begins here"),
                Some("add `to: …` to the map that begins here"),
            ]
        );
    }
}
