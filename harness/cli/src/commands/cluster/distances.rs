//! How far the data centers of a running cluster are from each other, as `cluster list` tells it.

use harness_cluster::local::{self, Listed, RoundTrip};
use serde::Serialize;
use std::time::Duration;

/// One round trip, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoundTripForm {
    from: String,
    to: String,
    /// Milliseconds; none when no answer came.
    measured_ms: Option<f64>,
    /// Milliseconds, as the topology says.
    configured_ms: f64,
}

impl From<RoundTrip> for RoundTripForm {
    fn from(trip: RoundTrip) -> Self {
        Self {
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

/// Measures a cluster that is up and has data centers that are far from each other. Nothing where that cannot be asked:
/// it is a list, and not a check.
pub(super) fn measured(listed: &Listed) -> Vec<RoundTripForm> {
    let is_wide = |listed: &Listed| {
        let topology = listed.topology.as_ref();
        listed.running && topology.is_some_and(|topology| topology.has_latency())
    };
    if !is_wide(listed) {
        return Vec::new();
    }
    let Ok(runtime) = super::runtime() else {
        return Vec::new();
    };
    let measured = runtime.block_on(local::round_trips(&listed.name));
    let measured = measured.unwrap_or_else(|error| {
        tracing::warn!(%error, cluster = listed.name, "its round trips are not measured");
        Vec::new()
    });
    measured.into_iter().map(RoundTripForm::from).collect()
}

/// As a table: a line for each data center but the last, a column for each but the first.
pub(super) fn table(trips: &[RoundTripForm]) -> Vec<String> {
    let mut columns: Vec<&str> = Vec::new();
    let mut rows: Vec<&str> = Vec::new();
    for trip in trips {
        if !rows.contains(&trip.from.as_str()) {
            rows.push(&trip.from);
        }
        if !columns.contains(&trip.to.as_str()) {
            columns.push(&trip.to);
        }
    }
    let cell = |from: &str, to: &str| {
        let trip = trips.iter().find(|trip| trip.from == from && trip.to == to);
        trip.map_or(String::new(), |trip| match trip.measured_ms {
            Some(measured) => format!("{measured} ({})", trip.configured_ms),
            None => format!("no answer ({})", trip.configured_ms),
        })
    };
    let line = |first: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("  {cell:>14}")).collect();
        format!("  {first:12}{cells}").trim_end().to_owned()
    };
    let head = columns.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        "  round trips in ms, measured (and as the topology says):".to_owned(),
        line("", head),
    ];
    lines.extend(rows.iter().map(|from| {
        let cells = columns.iter().map(|to| cell(from, to)).collect();
        line(from, cells)
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_a_cell() {
        let trip = |from: &str, to: &str, measured_ms| RoundTripForm {
            from: from.to_owned(),
            to: to.to_owned(),
            measured_ms,
            configured_ms: 2.0,
        };
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
}
