//! Regions, data centers (zones), clusters and nodes, and the latency between data centers.

use crate::duration::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The shape of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Topology {
    /// Name, as in `--topology NAME`.
    pub name: String,
    /// Clusters, at least one, each with an API server of its own. Several are made side by side.
    pub clusters: Vec<ClusterShape>,
    /// One-way latency between data centers, for each pair of them or of their regions.
    #[serde(default)]
    pub latency: Latency,
}

/// The JSON Schema of the YAML form, derived from the types.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Topology).to_value()
}

/// One Kubernetes cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterShape {
    /// Name.
    pub name: String,
    /// Its data centers, at least one.
    pub data_centers: Vec<DataCenter>,
}

/// One data center, a zone in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataCenter {
    /// Name: the value of `topology.kubernetes.io/zone`.
    pub name: String,
    /// The value of `topology.kubernetes.io/region`.
    pub region: String,
    /// How many nodes, at least one.
    #[serde(default = "one")]
    pub nodes: u32,
}

fn one() -> u32 {
    1
}

/// One-way latency between data centers: what `between` says of the two, else what `regions` says of theirs, else `default`.
/// Where only one direction is given it holds for both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Latency {
    /// Between any two different data centers without an entry of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Span>,
    /// `from → to → latency` between the data centers of one region and those of another; of a region and itself, between any
    /// two different data centers in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub regions: Matrix,
    /// `from → to → latency` between two data centers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub between: Matrix,
}

/// `from → to → latency`, one way.
pub type Matrix = BTreeMap<String, BTreeMap<String, Span>>;

/// The entry of this direction, else of the other.
fn entry<'a>(matrix: &'a Matrix, from: &str, to: &str) -> Option<&'a Span> {
    let entry = |a: &str, b: &str| matrix.get(a).and_then(|row| row.get(b));
    entry(from, to).or_else(|| entry(to, from))
}

impl Topology {
    /// The data centers of all clusters, in order.
    pub fn data_centers(&self) -> impl Iterator<Item = &DataCenter> {
        self.clusters
            .iter()
            .flat_map(|cluster| &cluster.data_centers)
    }

    /// One way, from one data center to another. None when packets are not late.
    #[must_use]
    pub fn one_way(&self, from: &str, to: &str) -> Option<Duration> {
        let latency = &self.latency;
        let region = |name: &str| {
            let found = self.data_centers().find(|found| found.name == name);
            found.map(|found| found.region.as_str())
        };
        let of_regions = || entry(&latency.regions, region(from)?, region(to)?);
        entry(&latency.between, from, to)
            .or_else(of_regions)
            .or(latency.default.as_ref())
            .map(|span| span.0)
            .filter(|delay| !delay.is_zero())
    }

    /// Whether packets between any two data centers are late.
    #[must_use]
    pub fn has_latency(&self) -> bool {
        let names = || {
            self.data_centers()
                .map(|data_center| data_center.name.as_str())
        };
        names().any(|from| names().any(|to| from != to && self.one_way(from, to).is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(from: &str, to: &[(&str, u64)]) -> (String, BTreeMap<String, Span>) {
        let to = to.iter();
        let to = to.map(|(name, millis)| ((*name).to_owned(), Span::millis(*millis)));
        (from.to_owned(), to.collect())
    }

    /// Data centers, each in the region that its name begins with.
    fn topology(names: &[&str], latency: Latency) -> Topology {
        let data_center = |name: &&str| DataCenter {
            name: (*name).to_owned(),
            region: name[..1].to_owned(),
            nodes: 1,
        };
        Topology {
            name: "t".to_owned(),
            clusters: vec![ClusterShape {
                name: "c".to_owned(),
                data_centers: names.iter().map(data_center).collect(),
            }],
            latency,
        }
    }

    fn latency() -> Latency {
        Latency {
            default: Some(Span::millis(9)),
            regions: [row("p", &[("p", 3), ("q", 4)]), row("q", &[("p", 5)])].into(),
            between: [row("p1", &[("p2", 1)]), row("r1", &[("p1", 2), ("q1", 0)])].into(),
        }
    }

    #[test]
    fn latency_prefers_data_centers_then_regions_then_the_default_and_the_direction_in_each() {
        let topology = topology(&["p1", "p2", "p3", "q1", "q2", "r1"], latency());
        let millis = |from, to| topology.one_way(from, to).map(|delay| delay.as_millis());
        assert_eq!(millis("p1", "p2"), Some(1));
        assert_eq!(millis("p2", "p1"), Some(1), "the other direction");
        assert_eq!(millis("p1", "r1"), Some(2));
        assert_eq!(millis("r1", "q1"), None, "zero is no delay");
        assert_eq!(millis("p2", "p3"), Some(3), "within a region");
        assert_eq!(millis("p1", "q1"), Some(4));
        assert_eq!(millis("q1", "p1"), Some(5), "the regions' own direction");
        assert_eq!(
            millis("q1", "q2"),
            Some(9),
            "nothing is said of region q alone"
        );
        assert_eq!(millis("p2", "r1"), Some(9));
    }

    #[test]
    fn a_topology_has_latency_when_two_of_its_data_centers_have() {
        assert!(topology(&["p1", "p2"], latency()).has_latency());
        assert!(!topology(&["q1", "r1"], latency()).has_latency());
        assert!(!topology(&["p1"], latency()).has_latency());
    }
}
