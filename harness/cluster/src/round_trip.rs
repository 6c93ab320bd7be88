//! How long a packet and its answer take between two data centers.

use harness_model::topology::Topology;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The way from one data center to another and back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoundTrip {
    /// A data center.
    pub from: String,
    /// Another one.
    pub to: String,
    /// What was measured; none when no answer came.
    pub measured: Option<Duration>,
    /// What the topology says, both directions together.
    pub configured: Duration,
}

impl RoundTrip {
    /// What was measured, beside what the topology says.
    pub(crate) fn new(
        topology: &Topology,
        from: String,
        to: String,
        measured: Option<Duration>,
    ) -> Self {
        let one_way = |from: &str, to: &str| topology.one_way(from, to).unwrap_or_default();
        Self {
            configured: one_way(&from, &to) + one_way(&to, &from),
            from,
            to,
            measured,
        }
    }
}
