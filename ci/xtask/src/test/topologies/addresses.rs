//! Which addresses two clusters had in common while a scenario was about the addresses of one of them.

use crate::junit::Count;
use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Two tests of what the scenario saw. Whether sidecars of the other cluster had addresses of the block that it is about: otherwise
/// it shows nothing. And whether one of them had the very address of somebody in scope: nodes with one block give the pods of
/// one workload the same address.
pub(super) fn same(run: &Path, scenario: &str) -> anyhow::Result<Count> {
    let path = run.join("scenarios").join(scenario).join("history.jsonl");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    told(&text).with_context(|| format!("read addresses in {}", path.display()))
}

fn told(history: &str) -> anyhow::Result<Count> {
    let events = history.lines().map(serde_json::from_str::<Value>);
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let wanted = events.iter().find_map(|event| {
        let entry = &event["configuration"]["scope"]["match"][0];
        Some((entry["ip"].as_str()?, entry["cluster"].as_str()?))
    });
    let (block, cluster) = wanted.context("the history names no addresses in a cluster")?;
    let (address, length) = block.split_once('/').context("no block of addresses")?;
    ensure!(
        length == "24",
        "the block {block} is not one of 256 addresses"
    );
    let (begin, _) = address.rsplit_once('.').context("no address")?;
    let joined = events
        .iter()
        .filter(|event| event["event"] == "sidecarJoined");
    let sidecars: Vec<&Value> = joined.map(|event| &event["sidecar"]).collect();
    let in_scope = of_block(&sidecars, begin, |sidecar| sidecar["cluster"] == cluster);
    // Canaries are in scope by another entry.
    let elsewhere = of_block(&sidecars, begin, |sidecar| {
        sidecar["cluster"] != cluster && sidecar["application"] != "canary"
    });
    if elsewhere.is_empty() {
        return Ok(Count::one_failed(format!(
            "nobody outside {cluster} had an address of the block {block}"
        )));
    }
    let mut count = Count::ONE_PASSED;
    let both: Vec<&&str> = in_scope.intersection(&elsewhere).collect();
    count += if both.is_empty() {
        Count::one_failed(format!(
            "nobody outside {cluster} had the address of somebody in scope: {in_scope:?} there, {elsewhere:?} elsewhere"
        ))
    } else {
        eprintln!("in scope in {cluster} and out of scope elsewhere: {both:?}");
        Count::ONE_PASSED
    };
    Ok(count)
}

/// The addresses that begin so, of those of the sidecars that are wanted.
fn of_block<'a>(
    sidecars: &[&'a Value],
    begin: &str,
    is_wanted: impl Fn(&Value) -> bool,
) -> BTreeSet<&'a str> {
    let wanted = sidecars.iter().filter(|sidecar| is_wanted(sidecar));
    wanted
        .filter_map(|sidecar| sidecar["ip"].as_str())
        .filter(|ip| ip.rsplit_once('.').is_some_and(|(of, _)| of == begin))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::told;
    use crate::junit::Count;
    use serde_json::json;

    /// What is told of one sidecar in scope, at 10.101.1.4, and one of the other cluster.
    fn beside(application: &str, ip: &str) -> Count {
        let entry = json!({"ip": "10.101.1.7/24", "cluster": "east"});
        let joined = |application: &str, cluster: &str, ip: &str| {
            let sidecar = json!({"application": application, "cluster": cluster, "ip": ip});
            json!({"event": "sidecarJoined", "sidecar": sidecar})
        };
        let events = [
            joined("checkout", "east", "10.101.1.4"),
            joined("checkout", "east", "10.102.1.5"),
            joined(application, "west", ip),
            json!({"event": "writeStarted", "configuration": {"scope": {"match": [entry]}}}),
        ];
        let history = events.map(|event| event.to_string()).join("\n");
        told(&history).expect("it is a history")
    }

    #[test]
    fn one_address_in_both_clusters_is_told_from_one_block() {
        let both = beside("inventory", "10.101.1.4");
        assert_eq!((both.passed, both.skipped, both.failed.len()), (2, 0, 0));
        let block = beside("inventory", "10.101.1.5");
        assert_eq!((block.passed, block.skipped), (1, 0));
        assert_eq!(
            block.failed,
            [
                r#"nobody outside east had the address of somebody in scope: {"10.101.1.4"} there, {"10.101.1.5"} elsewhere"#
            ]
        );
        // In scope is whoever is in the block alone.
        for (application, ip) in [("inventory", "10.102.1.5"), ("canary", "10.101.1.4")] {
            let nothing = beside(application, ip);
            assert_eq!(
                nothing.failed,
                ["nobody outside east had an address of the block 10.101.1.7/24"]
            );
            assert_eq!(nothing.passed, 0);
        }
    }

    #[test]
    fn a_history_about_no_block_is_none() {
        assert!(told(r#"{"event": "sidecarJoined", "sidecar": {}}"#).is_err());
    }
}
