//! Whether `meshproof cluster list` tells how far the data centers of a cluster are from each other: measured, and as far as
//! its topology says.

use super::side_by_side;
use crate::junit::Count;
use crate::workspace;
use anyhow::{Context as _, bail};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const TOPOLOGY: &str = "three-regions-five-data-centers";
/// The cluster, which stays up for the lists.
const NAME: &str = "test-distances";

/// Round trips in milliseconds, as the topology has them. Another one than these would be another topology.
const ASKED_FOR: [(&str, &str, f64); 10] = [
    ("zone-a", "zone-b", 2.0),
    ("zone-a", "zone-c", 30.0),
    ("zone-a", "zone-d", 30.0),
    ("zone-a", "zone-e", 60.0),
    ("zone-b", "zone-c", 30.0),
    ("zone-b", "zone-d", 30.0),
    ("zone-b", "zone-e", 60.0),
    ("zone-c", "zone-d", 2.0),
    ("zone-c", "zone-e", 50.0),
    ("zone-d", "zone-e", 50.0),
];

/// How much longer than asked for a round trip may be, in milliseconds: less than any two of those above differ.
const MOST_ABOVE: f64 = 8.0;

/// How often it is measured. A busy machine only adds to a round trip, so the least of all counts, and one that is as asked for
/// ends it.
const ATTEMPTS: usize = 30;

/// Brings a cluster up, has its list measure it, and takes it down.
pub(super) fn run(program: &Path) -> anyhow::Result<Count> {
    // One that a killed test left would be taken for ours.
    let left = Command::new(program)
        .args(["cluster", "down", NAME])
        .output();
    left.context("start meshproof")?;
    let up = ["cluster", "up", NAME, "--topology", TOPOLOGY, "--no-images"];
    let mut up_now = Command::new(program);
    up_now.current_dir(workspace::root()).args(up);
    let status = side_by_side::status(&mut up_now, NAME)?;
    let told = match status.success() {
        true => as_asked_for(program),
        false => Err(anyhow::anyhow!(
            "meshproof {} ended with {status}",
            up.join(" ")
        )),
    };
    let down = Command::new(program)
        .args(["cluster", "down", NAME])
        .output()?;
    let mut count = match told {
        Ok(()) => Count::ONE_PASSED,
        Err(error) => Count::one_failed(format!("cluster list: {error:#}")),
    };
    if !down.status.success() && status.success() {
        let said = String::from_utf8_lossy(&down.stderr).trim().to_owned();
        count += Count::one_failed(format!("cluster down {NAME}: {said}"));
    }
    Ok(count)
}

/// Least measured round trip, and the one that the list says is configured, by data centers.
type Matrix = BTreeMap<(String, String), (Option<f64>, f64)>;

fn as_asked_for(program: &Path) -> anyhow::Result<()> {
    let mut all = Matrix::new();
    for _ in 0..ATTEMPTS {
        let output = Command::new(program)
            .args(["cluster", "list", "--output", "json"])
            .output()?;
        if !output.status.success() {
            bail!("it ended with {}", output.status);
        }
        add(&mut all, &serde_json::from_slice(&output.stdout)?)?;
        if wrong(&all).is_empty() {
            return Ok(());
        }
    }
    bail!(wrong(&all).join("; "))
}

/// Adds what a list says of the cluster: the least counts.
fn add(all: &mut Matrix, list: &serde_json::Value) -> anyhow::Result<()> {
    let clusters = list.as_array().context("it is no list")?;
    let ours = clusters.iter().find(|one| one["name"] == NAME);
    let ours = ours.with_context(|| format!("`{NAME}` is not in it"))?;
    let trips = ours["roundTrips"].as_array();
    for trip in trips.context("it has no round trips")? {
        let text = |field: &str| trip[field].as_str().map(str::to_owned);
        let number = |field: &str| trip[field].as_f64();
        let pair = text("from").zip(text("to"));
        let pair = pair.context("a round trip has no ends")?;
        let configured = number("configuredMs").context("nothing is configured")?;
        let (least, said) = all.entry(pair).or_insert((None, configured));
        *said = configured;
        if let Some(measured) = number("measuredMs") {
            *least = Some(least.map_or(measured, |least| least.min(measured)));
        }
    }
    Ok(())
}

/// What is not as asked for. Nothing arrives before its time, on no machine.
fn wrong(all: &Matrix) -> Vec<String> {
    let mut wrong = Vec::new();
    if all.len() != ASKED_FOR.len() {
        wrong.push(format!(
            "{} pairs instead of {}",
            all.len(),
            ASKED_FOR.len()
        ));
    }
    for (from, to, asked_for) in ASKED_FOR {
        let pair = (from.to_owned(), to.to_owned());
        let is_good = |(measured, configured): &(Option<f64>, f64)| {
            let within = asked_for..=asked_for + MOST_ABOVE;
            *configured == asked_for && measured.is_some_and(|it| within.contains(&it))
        };
        if !all.get(&pair).is_some_and(is_good) {
            let told = all.get(&pair);
            wrong.push(format!(
                "{from} to {to}: {told:?} instead of {asked_for} ms"
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(more: f64) -> serde_json::Value {
        let trip = |(from, to, asked_for): (&str, &str, f64)| json!({"from": from, "to": to, "measuredMs": asked_for + more, "configuredMs": asked_for});
        let trips: Vec<_> = ASKED_FOR.into_iter().map(trip).collect();
        json!([{"name": "dev"}, {"name": NAME, "roundTrips": trips}])
    }

    #[test]
    fn the_least_counts_and_must_be_neither_early_nor_late() {
        let mut all = Matrix::new();
        add(&mut all, &list(40.0)).expect("it can be read");
        assert_eq!(wrong(&all).len(), ASKED_FOR.len(), "a busy machine");
        add(&mut all, &list(0.4)).expect("it can be read");
        assert_eq!(wrong(&all), Vec::<String>::new());
        add(&mut all, &list(9.0)).expect("it can be read");
        assert_eq!(wrong(&all), Vec::<String>::new());
        add(&mut all, &list(-0.2)).expect("it can be read");
        assert_eq!(wrong(&all).len(), ASKED_FOR.len(), "not delayed");
    }

    #[test]
    fn a_list_without_figures_is_not_good() {
        let mut all = Matrix::new();
        assert!(add(&mut all, &json!([{"name": NAME}])).is_err());
        assert!(add(&mut all, &json!([])).is_err());
        let unanswered = json!([{"name": NAME, "roundTrips": [
            {"from": "zone-a", "to": "zone-b", "measuredMs": null, "configuredMs": 2.0}]}]);
        add(&mut all, &unanswered).expect("it can be read");
        assert_eq!(wrong(&all).len(), ASKED_FOR.len() + 1);
    }

    #[test]
    fn a_round_trip_of_another_pair_is_not_taken_for_it() {
        for (_, _, one) in ASKED_FOR {
            for (_, _, other) in ASKED_FOR {
                assert!(one == other || (one - other).abs() > MOST_ABOVE);
            }
        }
    }
}
