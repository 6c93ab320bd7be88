//! What the histories of a run tell of its writes: how long from a change to the last sidecar that shows it, and from a marker to
//! the last sidecar that shows that.

use super::program::Run;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The times of each scenario that has passed, by its name: without a pass the last change that was seen need not be the last
/// that was due.
pub(super) fn of_passed(run: &Run) -> BTreeMap<&str, Times> {
    let finished = run.finished().into_iter();
    let passed: BTreeSet<String> = finished
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
    histories
        .into_iter()
        .map(|(name, history)| (name, history.end()))
        .collect()
}

/// Measured times, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// The writes that somebody shows, in order.
    pub(super) changes: Vec<Change>,
    /// From the first call of a marker's write to the last sidecar that shows it.
    pub(super) proofs: Vec<f64>,
}

/// A write that somebody shows; times in milliseconds.
#[derive(Debug)]
pub(super) struct Change {
    /// From its first call to the last sidecar that it changed.
    pub(super) issued: f64,
    /// From the API server's word to the last sidecar that it changed.
    pub(super) acknowledged: f64,
    /// How many sidecars it changed.
    pub(super) sidecars: usize,
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
    changed: BTreeSet<String>,
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
            // What a pod shows that comes or goes is no delivery, nor is what goes when all is done.
            "stepStarted" | "sidecarJoined" | "sidecarLeft" | "reconnected" | "finished" => {
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
                    changed: BTreeSet::new(),
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
            write.changed.insert(sidecar.to_owned());
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
            self.times.proofs.push(at - marker.issued);
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
        self.times.changes.push(Change {
            issued: last - write.issued,
            // The mesh may be faster than the API server's answer to us.
            acknowledged: (last - acknowledged).max(0.0),
            sidecars: write.changed.len(),
        });
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

    /// Of each change: issued, acknowledged, sidecars.
    fn shown(times: &Times) -> Vec<(f64, f64, usize)> {
        let changes = times.changes.iter();
        changes
            .map(|one| (one.issued, one.acknowledged, one.sidecars))
            .collect()
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
        assert_eq!(shown(&times), [(20.0, 15.0, 2)]);
        assert_eq!(times.proofs, [25.0]);
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
        assert!(times.changes.is_empty() && times.proofs.is_empty());
    }

    #[test]
    fn each_write_is_a_change_of_its_own_and_what_goes_at_the_end_is_none() {
        let mut history = History::default();
        for event in [
            observed(0, "a", "v0", "m0"),
            observed(0, "b", "v0", "m0"),
            plain(10, "writeStarted"),
            // Sooner than the API server's answer to the runner, and twice: its toggle and its rule came one after the other.
            observed(12, "a", "v1", "m0"),
            observed(13, "a", "v1 of both", "m0"),
            plain(15, "written"),
            plain(20, "stepStarted"),
            plain(20, "writeStarted"),
            plain(25, "written"),
            observed(50, "b", "v2", "m0"),
            observed(50, "a", "v2", "m0"),
            observed(61, "b", "v2", "m0"),
            plain(70, "finished"),
            observed(99, "a", "gone", "m0"),
        ] {
            history.on(&event);
        }
        assert_eq!(shown(&history.end()), [(3.0, 0.0, 1), (30.0, 25.0, 2)]);
    }
}
