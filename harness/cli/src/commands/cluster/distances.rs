//! How far the data centers of a running cluster are from each other, as `cluster list` tells it.

use harness_cluster::{ClusterError, RoundTrip, kind, local};
use harness_model::topology::Topology;
use serde::Serialize;
use std::future::Future;
use std::time::Duration;

/// One round trip, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoundTripForm {
    from: String,
    from_region: String,
    to: String,
    to_region: String,
    /// Milliseconds; none when no answer came.
    measured_ms: Option<f64>,
    /// Milliseconds, as the topology says.
    configured_ms: f64,
}

impl RoundTripForm {
    fn new(topology: &Topology, trip: RoundTrip) -> Self {
        let region = |name: &str| {
            let mut all = topology.data_centers();
            let found = all.find(|data_center| data_center.name == name);
            found.map_or(String::new(), |found| found.region.clone())
        };
        Self {
            from_region: region(&trip.from),
            to_region: region(&trip.to),
            measured_ms: trip.measured.map(millis),
            configured_ms: millis(trip.configured),
            from: trip.from,
            to: trip.to,
        }
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Measures a local cluster that is up and has data centers that are far from each other.
pub(super) fn of_local(listed: &local::Listed) -> Vec<RoundTripForm> {
    let topology = listed.topology.as_ref().filter(|_| listed.running);
    measured(&listed.name, topology, local::round_trips(&listed.name))
}

/// The same of a kind cluster that is kept.
pub(super) fn of_kind(listed: &kind::Listed) -> Vec<RoundTripForm> {
    let topology = listed.topology.as_ref();
    measured(&listed.name, topology, kind::round_trips(listed))
}

/// Nothing where nobody is far, or that cannot be asked: it is a list, and not a check.
fn measured(
    cluster: &str,
    topology: Option<&Topology>,
    ask: impl Future<Output = Result<Vec<RoundTrip>, ClusterError>>,
) -> Vec<RoundTripForm> {
    let Some(topology) = topology.filter(|topology| topology.has_latency()) else {
        return Vec::new();
    };
    let Ok(runtime) = super::runtime() else {
        return Vec::new();
    };
    let trips = runtime.block_on(ask).unwrap_or_else(|error| {
        tracing::warn!(%error, cluster, "its round trips are not measured");
        Vec::new()
    });
    trips
        .into_iter()
        .map(|trip| RoundTripForm::new(topology, trip))
        .collect()
}

/// As a table: a line for each data center but the last, a column for each but the first. Both with their region, where there
/// are several.
pub(super) fn table(trips: &[RoundTripForm]) -> Vec<String> {
    let mut columns: Vec<(&str, &str)> = Vec::new();
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for trip in trips {
        let from = (trip.from.as_str(), trip.from_region.as_str());
        let to = (trip.to.as_str(), trip.to_region.as_str());
        if !rows.contains(&from) {
            rows.push(from);
        }
        if !columns.contains(&to) {
            columns.push(to);
        }
    }
    let has_regions = trips.iter().any(|trip| trip.from_region != trip.to_region);
    let cell = |from: &str, to: &str| {
        let trip = trips.iter().find(|trip| trip.from == from && trip.to == to);
        trip.map_or(String::new(), |trip| match trip.measured_ms {
            Some(measured) => format!("{measured} ({})", trip.configured_ms),
            None => format!("no answer ({})", trip.configured_ms),
        })
    };
    let line = |first: &str, second: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("  {cell:>14}")).collect();
        let second = match has_regions {
            true => format!("{second:12}"),
            false => String::new(),
        };
        format!("  {second}{first:12}{cells}").trim_end().to_owned()
    };
    let head = |of: fn(&(&str, &str)) -> String| columns.iter().map(of).collect();
    let mut lines = vec!["  round trips in ms, measured (and as the topology says):".to_owned()];
    if has_regions {
        lines.push(line("", "", head(|(_, region)| (*region).to_owned())));
    }
    lines.push(line("", "", head(|(name, _)| (*name).to_owned())));
    lines.extend(rows.iter().map(|(from, region)| {
        let cells = columns.iter().map(|(to, _)| cell(from, to)).collect();
        line(from, region, cells)
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip(from: &str, to: &str, measured_ms: Option<f64>) -> RoundTripForm {
        RoundTripForm {
            from: from.to_owned(),
            from_region: "one".to_owned(),
            to: to.to_owned(),
            to_region: "one".to_owned(),
            measured_ms,
            configured_ms: 2.0,
        }
    }

    #[test]
    fn every_pair_has_a_cell() {
        let trips = [
            trip("a", "b", Some(2.1)),
            trip("a", "c", None),
            trip("b", "c", Some(2.0)),
        ];
        assert_eq!(
            table(&trips)[1..],
            [
                "                             b               c",
                "  a                    2.1 (2)   no answer (2)",
                "  b                                      2 (2)",
            ]
        );
    }

    #[test]
    fn five_data_centers_in_three_regions_have_their_matrix() {
        let topology = harness_cluster::topology::load("three-regions-five-data-centers");
        let topology = topology.expect("it is shipped");
        let names: Vec<&str> = topology
            .data_centers()
            .map(|data_center| data_center.name.as_str())
            .collect();
        let one_way = |from: &str, to: &str| topology.one_way(from, to).unwrap_or_default();
        let mut trips = Vec::new();
        for (number, from) in names.iter().enumerate() {
            for to in &names[number + 1..] {
                let configured = one_way(from, to) + one_way(to, from);
                let trip = RoundTrip {
                    from: (*from).to_owned(),
                    to: (*to).to_owned(),
                    measured: Some(configured + Duration::from_micros(310)),
                    configured,
                };
                trips.push(RoundTripForm::new(&topology, trip));
            }
        }
        assert_eq!(
            table(&trips),
            [
                "  round trips in ms, measured (and as the topology says):",
                "                                  region-1        region-2        region-2        region-3",
                "                                    zone-b          zone-c          zone-d          zone-e",
                "  region-1    zone-a               2.3 (2)       30.3 (30)       30.3 (30)       60.3 (60)",
                "  region-1    zone-b                             30.3 (30)       30.3 (30)       60.3 (60)",
                "  region-2    zone-c                                               2.3 (2)       50.3 (50)",
                "  region-2    zone-d                                                             50.3 (50)",
            ]
        );
    }
}
