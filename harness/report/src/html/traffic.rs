//! What became of the requests of a scenario, in words.

use crate::record::ScenarioRecord;

/// One line for each batch and load.
pub(super) fn lines(scenario: &ScenarioRecord) -> Vec<String> {
    scenario
        .timeline
        .traffic
        .iter()
        .map(|(name, sum)| {
            let places: Vec<String> = sum
                .answered_in
                .iter()
                .map(|(place, count)| format!("{count} answered in {place}"))
                .collect();
            let mut line = format!("{name}: {} requests", sum.sent);
            if sum.refused > 0 {
                line.push_str(&format!(", {} refused as wanted", sum.refused));
            }
            line.push_str(&format!(", {} lost", sum.lost));
            let percentiles = [("p50", 50), ("p99", 99), ("slowest", 100)];
            let latencies: Vec<String> = percentiles
                .into_iter()
                .filter_map(|(word, percent)| {
                    Some(format!("{word} {}", milliseconds(sum.latency_us(percent)?)))
                })
                .collect();
            if !latencies.is_empty() {
                line.push_str(&format!(", answered in {}", latencies.join(", ")));
            }
            if !places.is_empty() {
                line.push_str(", ");
                line.push_str(&places.join(", "));
            }
            line
        })
        .collect()
}

/// `2.1 ms` of 2,134 microseconds.
fn milliseconds(microseconds: u64) -> String {
    format!("{}.{} ms", microseconds / 1000, microseconds % 1000 / 100)
}
