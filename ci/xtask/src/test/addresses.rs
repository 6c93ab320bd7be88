//! Which addresses two clusters had in common while a scenario was about the addresses of one of them.

use crate::junit::Count;
use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;

/// The scenario that is about addresses which two clusters have.
pub(super) const OF_AN_ADDRESS: &str = "delivery-scope/address-in-cluster";

/// Two tests of what the scenario saw in a run. Whether sidecars of both clusters had addresses of the block that it is about:
/// otherwise it shows nothing. And whether those of one cluster got what was for them, and those of the other did not.
pub(super) fn of_both(run: &Path) -> anyhow::Result<Count> {
    Ok(read(run)?.of_both())
}

/// [`of_both`], and whether somebody out of scope had the very address of somebody in scope: nodes of the local cluster with one
/// block give the pods of one workload the same address, and those of kind give them in the order in which they come.
pub(super) fn same(run: &Path) -> anyhow::Result<Count> {
    Ok(read(run)?.same())
}

fn read(run: &Path) -> anyhow::Result<Told> {
    let path = run
        .join("scenarios")
        .join(OF_AN_ADDRESS)
        .join("history.jsonl");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Told::by(&text).with_context(|| format!("read addresses in {}", path.display()))
}

/// What a history tells of the sidecars with addresses of the block.
struct Told {
    block: String,
    cluster: String,
    /// The addresses of those in the cluster.
    in_scope: BTreeSet<String>,
    /// The addresses of those of other clusters.
    elsewhere: BTreeSet<String>,
    /// The names of those in scope that never showed what was for them.
    missed: BTreeSet<String>,
    /// The names of those of other clusters that showed it.
    leaked: BTreeSet<String>,
}

impl Told {
    fn by(history: &str) -> anyhow::Result<Self> {
        let events = history.lines().map(serde_json::from_str::<Value>);
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let wanted = events.iter().find_map(|event| {
            let configuration = &event["configuration"];
            let entry = &configuration["scope"]["match"][0];
            let (ip, cluster) = (entry["ip"].as_str()?, entry["cluster"].as_str()?);
            Some((configuration, ip, cluster))
        });
        let (configuration, block, cluster) =
            wanted.context("the history names no addresses in a cluster")?;
        let toggles = configuration["toggles"].as_object();
        let toggles = toggles.context("what is for them has no toggles")?;
        ensure!(!toggles.is_empty(), "what is for them has no toggles");
        // Pods by their UIDs.
        let got: BTreeSet<&str> = events
            .iter()
            .filter(|event| event["event"] == "observed")
            .filter(|event| {
                let mut toggles = toggles.iter();
                toggles.all(|(key, value)| event["toggles"][key] == *value)
            })
            .filter_map(|event| event["podUid"].as_str())
            .collect();
        let has_got = |sidecar: &Value| {
            let uid = sidecar["podUid"].as_str();
            uid.is_some_and(|uid| got.contains(uid))
        };
        let addresses = Block::parse(block)?;
        let of_block: Vec<&Value> = events
            .iter()
            .filter(|event| event["event"] == "sidecarJoined")
            .map(|event| &event["sidecar"])
            .filter(|sidecar| addresses.has(&sidecar["ip"]))
            .collect();
        let is_in_scope = |sidecar: &Value| sidecar["cluster"] == cluster;
        // Canaries are in scope by another entry.
        let is_elsewhere =
            |sidecar: &Value| !is_in_scope(sidecar) && sidecar["application"] != "canary";
        Ok(Self {
            in_scope: each(&of_block, "ip", is_in_scope),
            elsewhere: each(&of_block, "ip", is_elsewhere),
            missed: each(&of_block, "name", |sidecar| {
                is_in_scope(sidecar) && !has_got(sidecar)
            }),
            leaked: each(&of_block, "name", |sidecar| {
                is_elsewhere(sidecar) && has_got(sidecar)
            }),
            block: block.to_owned(),
            cluster: cluster.to_owned(),
        })
    }

    fn of_both(&self) -> Count {
        let (block, cluster) = (&self.block, &self.cluster);
        if self.in_scope.is_empty() || self.elsewhere.is_empty() {
            return Count::one_failed(format!(
                "of the block {block} {cluster} had {:?} and others {:?}: nobody is to be told apart",
                self.in_scope, self.elsewhere
            ));
        }
        let mut count = Count::ONE_PASSED;
        count += if self.missed.is_empty() && self.leaked.is_empty() {
            Count::ONE_PASSED
        } else {
            Count::one_failed(format!(
                "what was for the block {block} in {cluster} was not shown by {:?} there, and shown by {:?} elsewhere",
                self.missed, self.leaked
            ))
        };
        count
    }

    fn same(&self) -> Count {
        let mut count = self.of_both();
        if self.in_scope.is_empty() || self.elsewhere.is_empty() {
            return count;
        }
        let both: Vec<&String> = self.in_scope.intersection(&self.elsewhere).collect();
        let (cluster, in_scope, elsewhere) = (&self.cluster, &self.in_scope, &self.elsewhere);
        count += if both.is_empty() {
            Count::one_failed(format!(
                "nobody outside {cluster} had the address of somebody in scope: {in_scope:?} there, {elsewhere:?} elsewhere"
            ))
        } else {
            eprintln!("in scope in {cluster} and out of scope elsewhere: {both:?}");
            Count::ONE_PASSED
        };
        count
    }
}

/// What those of the sidecars that are wanted have of this.
fn each(sidecars: &[&Value], key: &str, is_wanted: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let wanted = sidecars.iter().filter(|sidecar| is_wanted(sidecar));
    let texts = wanted.filter_map(|sidecar| sidecar[key].as_str());
    texts.map(str::to_owned).collect()
}

/// A block of addresses.
struct Block {
    network: u32,
    mask: u32,
}

impl Block {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let (address, length) = text.split_once('/').context("no block of addresses")?;
        let address: Ipv4Addr = address.parse().context("no address")?;
        let length: u32 = length.parse().context("no length of a block")?;
        let rest = 32_u32.checked_sub(length).context("too long a prefix")?;
        let mask = u32::MAX.checked_shl(rest).unwrap_or(0);
        Ok(Self {
            network: u32::from(address) & mask,
            mask,
        })
    }

    fn has(&self, ip: &Value) -> bool {
        let address = ip.as_str().and_then(|ip| ip.parse::<Ipv4Addr>().ok());
        address.is_some_and(|address| u32::from(address) & self.mask == self.network)
    }
}

#[cfg(test)]
mod tests {
    use super::Told;
    use serde_json::json;

    /// What is told of one sidecar in scope, at 10.101.1.4, one out of the block, and one of the other cluster. Those with these
    /// UIDs show what is for whom.
    fn beside(application: &str, ip: &str, shown_by: &[&str]) -> Told {
        let entry = json!({"ip": "10.101.0.0/16", "cluster": "east"});
        let toggles = json!({"feature": "v1"});
        let joined = |application: &str, cluster: &str, ip: &str, uid: &str| {
            let name = format!("{application}@{uid}");
            let sidecar = json!({"name": name, "application": application, "cluster": cluster, "ip": ip, "podUid": uid});
            json!({"event": "sidecarJoined", "sidecar": sidecar})
        };
        let observed = |uid: &str, version: &str| json!({"event": "observed", "podUid": uid, "toggles": {"feature": version}});
        let configuration = json!({"scope": {"match": [entry]}, "toggles": toggles});
        let mut events = vec![
            joined("checkout", "east", "10.101.1.4", "in"),
            joined("checkout", "east", "10.102.1.5", "beyond"),
            joined(application, "west", ip, "west"),
            json!({"event": "writeStarted", "configuration": configuration}),
            // Something else was for everybody.
            observed("in", "v0"),
            observed("west", "v0"),
        ];
        events.extend(shown_by.iter().map(|uid| observed(uid, "v1")));
        let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
        Told::by(&lines.join("\n")).expect("it is a history")
    }

    #[test]
    fn one_address_in_both_clusters_is_told_from_one_block() {
        let both = beside("inventory", "10.101.1.4", &["in"]).same();
        assert_eq!((both.passed, both.skipped, both.failed.len()), (3, 0, 0));
        let told = beside("inventory", "10.101.2.5", &["in"]);
        let block = told.of_both();
        assert_eq!((block.passed, block.skipped, block.failed.len()), (2, 0, 0));
        let block = told.same();
        assert_eq!((block.passed, block.skipped), (2, 0));
        assert_eq!(
            block.failed,
            [
                r#"nobody outside east had the address of somebody in scope: {"10.101.1.4"} there, {"10.101.2.5"} elsewhere"#
            ]
        );
        // In scope is whoever is in the block alone.
        for (application, ip) in [("inventory", "10.102.1.5"), ("canary", "10.101.1.4")] {
            let nothing = beside(application, ip, &["in"]).same();
            assert_eq!(
                nothing.failed,
                [
                    r#"of the block 10.101.0.0/16 east had {"10.101.1.4"} and others {}: nobody is to be told apart"#
                ]
            );
            assert_eq!(nothing.passed, 0);
        }
    }

    #[test]
    fn who_got_what_was_for_one_cluster_is_told() {
        for (shown_by, missed, leaked) in [
            (vec!["in", "west"], "{}", r#"{"inventory@west"}"#),
            (vec![], r#"{"checkout@in"}"#, "{}"),
        ] {
            let count = beside("inventory", "10.101.2.5", &shown_by).of_both();
            assert_eq!(count.passed, 1);
            assert_eq!(
                count.failed,
                [format!(
                    "what was for the block 10.101.0.0/16 in east was not shown by {missed} there, and shown by {leaked} elsewhere"
                )]
            );
        }
    }

    #[test]
    fn a_history_about_no_block_is_none() {
        assert!(Told::by(r#"{"event": "sidecarJoined", "sidecar": {}}"#).is_err());
    }
}
