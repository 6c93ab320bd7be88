//! Delivery and proof of absence, from the histories of the delivery suite: how long from a change to the last
//! sidecar that shows it, and from a marker to the last sidecar that shows that.

use super::program::Program;
use super::report::{Report, Unit};
use super::statistics::median;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The suite whose every scenario is about delivery.
const SUITE: &str = "delivery-scope";

/// Measures runs of the suite.
///
/// # Errors
///
/// When a run cannot be started or does not end.
pub(super) fn measure(
    program: &Program,
    samples: usize,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let mut works = true;
    let mut all = Times::default();
    for number in 1..=samples {
        let run = program.run(&format!("run-{number}"), &[SUITE])?;
        works &= run.has_passed();
        // Without a pass the last change that was seen need not be the last that was due.
        let passed: BTreeSet<String> = run
            .finished()
            .into_iter()
            .filter(|one| one.verdict == "passed")
            .map(|one| one.name)
            .collect();
        let mut histories: BTreeMap<&str, History> = BTreeMap::new();
        for seen in run.of_type("scenarioEvent") {
            let name = seen.event["scenario"].as_str().unwrap_or_default();
            if passed.contains(name) {
                histories.entry(name).or_default().on(&seen.event["event"]);
            }
        }
        for (name, history) in histories {
            let times = history.end();
            report.sample(json!({
                "run": number,
                "scenario": name,
                "issuedToLastMillis": times.issued,
                "acknowledgedToLastMillis": times.acknowledged,
                "proofMillis": times.proof,
            }));
            all.issued.extend(times.issued);
            all.acknowledged.extend(times.acknowledged);
            all.proof.extend(times.proof);
        }
    }
    report.row("changes measured", all.issued.len().to_string());
    report.row("proofs measured", all.proof.len().to_string());
    report.distribution(
        "issuedToLast",
        "change issued to last sidecar",
        Unit::Millis,
        &all.issued,
    );
    report.distribution(
        "acknowledgedToLast",
        "change acknowledged to last sidecar",
        Unit::Millis,
        &all.acknowledged,
    );
    report.distribution(
        "proof",
        "marker issued to last sidecar",
        Unit::Millis,
        &all.proof,
    );
    if let (Some(proof), Some(issued)) = (median(&all.proof), median(&all.issued)) {
        report.figure(
            "proofToDelivery",
            "proof of absence against delivery",
            Unit::Ratio,
            proof / issued,
        );
    }
    Ok(works && !all.issued.is_empty() && !all.proof.is_empty())
}

/// Measured times, in milliseconds.
#[derive(Debug, Default)]
struct Times {
    /// From the first call of a write to the last sidecar that it changed.
    issued: Vec<f64>,
    /// From the API server's word to the last sidecar that it changed.
    acknowledged: Vec<f64>,
    /// From the first call of a marker's write to the last sidecar that shows it.
    proof: Vec<f64>,
}

/// A scenario's events as they come.
///
/// A sidecar in scope shows a change when its reading is another one than before. In a scenario that passed the
/// last such reading after a write is that of the last sidecar in scope, since the runner waits until everybody
/// holds what it must; so nobody needs to know here who is in scope.
#[derive(Debug, Default)]
struct History {
    readings: BTreeMap<String, Value>,
    write: Option<Write>,
    marker: Option<Marker>,
    times: Times,
}

#[derive(Debug)]
struct Write {
    issued: f64,
    acknowledged: Option<f64>,
    last_change: Option<f64>,
}

#[derive(Debug)]
struct Marker {
    value: String,
    issued: f64,
    missing: BTreeSet<String>,
}

impl History {
    fn on(&mut self, event: &Value) {
        let at = event["atNs"].as_f64().unwrap_or_default() / 1e6;
        let sidecar = event["sidecar"].as_str().unwrap_or_default();
        match event["event"].as_str().unwrap_or_default() {
            // What a pod shows that comes or goes is no delivery.
            "stepStarted" | "sidecarJoined" | "sidecarLeft" | "reconnected" => {
                self.end_write();
                if event["event"] == "sidecarLeft" {
                    self.readings.remove(sidecar);
                }
            }
            "writeStarted" => {
                self.end_write();
                self.write = Some(Write {
                    issued: at,
                    acknowledged: None,
                    last_change: None,
                });
            }
            "written" => {
                if let Some(write) = &mut self.write {
                    write.acknowledged = Some(at);
                }
            }
            "writeFailed" => self.write = None,
            "markerWritten" => {
                self.end_write();
                self.marker = Some(Marker {
                    value: event["marker"].as_str().unwrap_or_default().to_owned(),
                    issued: at,
                    missing: self.readings.keys().cloned().collect(),
                });
            }
            "observed" => self.observed(at, sidecar, event),
            _ => {}
        }
    }

    fn observed(&mut self, at: f64, sidecar: &str, event: &Value) {
        let reading = json!([event["toggles"], event["rules"]]);
        let before = self.readings.insert(sidecar.to_owned(), reading.clone());
        if let (Some(write), Some(before)) = (&mut self.write, before)
            && before != reading
        {
            write.last_change = Some(at);
        }
        let Some(marker) = &mut self.marker else {
            return;
        };
        let shows = |name: &str| event[name].as_str() == Some(&marker.value);
        if !(shows("markerToggle") && shows("markerRule")) {
            return;
        }
        marker.missing.remove(sidecar);
        if marker.missing.is_empty() {
            self.times.proof.push(at - marker.issued);
            self.marker = None;
        }
    }

    fn end_write(&mut self) {
        let Some(write) = self.write.take() else {
            return;
        };
        let (Some(acknowledged), Some(last)) = (write.acknowledged, write.last_change) else {
            // A change that nobody has to show is proven, not delivered.
            return;
        };
        self.times.issued.push(last - write.issued);
        // The mesh may be faster than the API server's answer to us.
        self.times.acknowledged.push((last - acknowledged).max(0.0));
    }

    fn end(mut self) -> Times {
        self.end_write();
        self.times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(millis: u64, sidecar: &str, toggle: &str, marker: &str) -> Value {
        json!({
            "atNs": millis * 1_000_000, "event": "observed", "sidecar": sidecar,
            "toggles": {"feature": toggle}, "rules": {},
            "markerToggle": marker, "markerRule": marker,
        })
    }

    fn plain(millis: u64, event: &str) -> Value {
        json!({"atNs": millis * 1_000_000, "event": event, "marker": "m1"})
    }

    #[test]
    fn the_last_sidecar_counts() {
        let mut history = History::default();
        for event in [
            observed(0, "a", "v0", "m0"),
            observed(0, "b", "v0", "m0"),
            observed(0, "out-of-scope", "v0", "m0"),
            plain(10, "stepStarted"),
            plain(10, "writeStarted"),
            plain(15, "written"),
            observed(20, "a", "v1", "m0"),
            observed(30, "b", "v1", "m0"),
            observed(35, "out-of-scope", "v0", "m0"),
            plain(40, "markerWritten"),
            observed(45, "a", "v1", "m1"),
            observed(50, "out-of-scope", "v0", "m1"),
            observed(65, "b", "v1", "m1"),
        ] {
            history.on(&event);
        }
        let times = history.end();
        assert_eq!(times.issued, [20.0]);
        assert_eq!(times.acknowledged, [15.0]);
        assert_eq!(times.proof, [25.0]);
    }

    #[test]
    fn what_nobody_shows_is_not_delivered_and_what_somebody_lacks_is_not_proven() {
        let mut history = History::default();
        for event in [
            observed(0, "a", "v0", "m0"),
            observed(0, "b", "v0", "m0"),
            plain(10, "writeStarted"),
            plain(15, "written"),
            plain(40, "markerWritten"),
            observed(45, "a", "v0", "m1"),
        ] {
            history.on(&event);
        }
        let times = history.end();
        assert!(times.issued.is_empty() && times.proof.is_empty());
    }
}
