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
    /// One-way latency between data centers.
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

/// One-way latency between data centers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Latency {
    /// Between any two different data centers without an entry of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Span>,
    /// `from → to → latency`; where only one direction is given it holds for both.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub between: BTreeMap<String, BTreeMap<String, Span>>,
}

impl Latency {
    /// One way, from one data center to another: the entry of this direction, else of the other, else the default. None
    /// when packets are not late.
    #[must_use]
    pub fn one_way(&self, from: &str, to: &str) -> Option<Duration> {
        let entry = |a: &str, b: &str| self.between.get(a).and_then(|row| row.get(b));
        entry(from, to)
            .or_else(|| entry(to, from))
            .or(self.default.as_ref())
            .map(|span| span.0)
            .filter(|delay| !delay.is_zero())
    }
}

impl Topology {
    /// The data centers of all clusters, in order.
    pub fn data_centers(&self) -> impl Iterator<Item = &DataCenter> {
        self.clusters
            .iter()
            .flat_map(|cluster| &cluster.data_centers)
    }

    /// Whether packets between any two data centers are late.
    #[must_use]
    pub fn has_latency(&self) -> bool {
        let names = || {
            self.data_centers()
                .map(|data_center| data_center.name.as_str())
        };
        names().any(|from| names().any(|to| from != to && self.latency.one_way(from, to).is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency() -> Latency {
        let span = Span::millis;
        Latency {
            default: Some(span(9)),
            between: [
                ("a".to_owned(), [("b".to_owned(), span(1))].into()),
                (
                    "c".to_owned(),
                    [("a".to_owned(), span(2)), ("b".to_owned(), span(0))].into(),
                ),
            ]
            .into(),
        }
    }

    #[test]
    fn latency_prefers_the_direction_then_the_other_then_the_default() {
        let latency = latency();
        let millis = |from, to| latency.one_way(from, to).map(|delay| delay.as_millis());
        assert_eq!(millis("a", "b"), Some(1));
        assert_eq!(millis("b", "a"), Some(1));
        assert_eq!(millis("a", "c"), Some(2));
        assert_eq!(millis("c", "b"), None, "zero is no delay");
        assert_eq!(millis("a", "d"), Some(9));
    }

    #[test]
    fn a_topology_has_latency_when_two_of_its_data_centers_have() {
        let data_center = |name: &str| DataCenter {
            name: name.to_owned(),
            region: "r".to_owned(),
            nodes: 1,
        };
        let topology = |names: &[&str]| Topology {
            name: "t".to_owned(),
            clusters: vec![ClusterShape {
                name: "c".to_owned(),
                data_centers: names.iter().map(|name| data_center(name)).collect(),
            }],
            latency: latency(),
        };
        assert!(topology(&["a", "b"]).has_latency());
        assert!(!topology(&["b", "c"]).has_latency());
        assert!(!topology(&["a"]).has_latency());
    }
}
