//! TLS, from the histories of the scenarios that turn it on: how long from the toggle to each sidecar that is on TLS (holds a
//! certificate of its own and takes or offers TLS), to the last of them and to the first request over TLS, and what was lost
//! meanwhile.

use super::program::Program;
use super::report::{Report, Unit};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Both turn TLS on for many; the second does so under load.
const SCENARIOS: [&str; 2] = ["tls/scope", "tls/step-by-step"];

/// The load over HTTP/1.1, which shows when requests first come over TLS.
const STEADY: &str = "steady";
/// The load of bytes: each exchange has a connection of its own.
const ON_NEW_CONNECTIONS: &str = "bytes";
/// All of its loads.
const LOADS: [&str; 4] = [STEADY, "http2", "calls", ON_NEW_CONNECTIONS];

/// Measures runs of the scenarios. False when one did not pass or a request was lost.
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
    let mut all = Seen::default();
    for number in 1..=samples {
        let run = program.run(&format!("run-{number}"), &SCENARIOS)?;
        works &= run.has_passed();
        let mut histories: BTreeMap<&str, History> = BTreeMap::new();
        for seen in run.of_type("scenarioEvent") {
            let name = seen.event["scenario"].as_str().unwrap_or_default();
            histories.entry(name).or_default().on(&seen.event["event"]);
        }
        for (name, history) in histories {
            let seen = history.end();
            eprintln!(
                "run {number} of {samples}, {name}: {} sidecars on TLS, {} of {} requests lost",
                seen.each.len(),
                seen.lost,
                seen.requests
            );
            report.sample(json!({
                "run": number,
                "scenario": name,
                "toggleToEachMillis": seen.each,
                "toggleToLastMillis": seen.last,
                "toggleToFirstRequestMillis": seen.first_request,
                "requests": seen.requests,
                "newConnections": seen.new_connections,
                "lost": seen.lost,
            }));
            all.add(seen);
        }
    }
    let rows = [
        (
            "toggleToEach",
            "TLS toggle to a sidecar that is on TLS",
            &all.each,
        ),
        (
            "toggleToLast",
            "TLS toggle to the last sidecar that is",
            &all.last,
        ),
        (
            "toggleToFirstRequest",
            "caller's toggle to the first request of a load over TLS",
            &all.first_request,
        ),
    ];
    for (name, words, values) in rows {
        report.distribution(name, words, Unit::Millis, values);
    }
    report.figure(
        "sidecars",
        "times that a sidecar came on TLS",
        Unit::Count,
        all.each.len() as f64,
    );
    report.figure(
        "requests",
        "requests of loads",
        Unit::Count,
        f64::from(all.requests),
    );
    report.figure(
        "newConnections",
        "of them on a new connection",
        Unit::Count,
        f64::from(all.new_connections),
    );
    report.figure("lost", "requests lost", Unit::Count, f64::from(all.lost));
    report.aim("lost", Unit::Count, f64::from(all.lost), 0.0);
    Ok(works && all.lost == 0 && rows.iter().all(|(_, _, values)| !values.is_empty()))
}

/// What was measured; times in milliseconds.
#[derive(Debug, Default)]
struct Seen {
    each: Vec<f64>,
    last: Vec<f64>,
    first_request: Vec<f64>,
    requests: u32,
    new_connections: u32,
    lost: u32,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.each.extend(other.each);
        self.last.extend(other.last);
        self.first_request.extend(other.first_request);
        self.requests += other.requests;
        self.new_connections += other.new_connections;
        self.lost += other.lost;
    }
}

/// A scenario's events as they come.
#[derive(Debug, Default)]
struct History {
    /// Sidecars that are on TLS.
    on_tls: BTreeSet<String>,
    /// When TLS was turned on for somebody, and when the last sidecar came on it since.
    toggle: Option<(f64, Option<f64>)>,
    /// When callers were told to speak TLS, and when a request of a load that was due since first came over it. The
    /// recorder hands the requests of a load over in bundles, so they come late but in order.
    callers_told: Vec<(f64, Option<f64>)>,
    seen: Seen,
}

impl History {
    fn on(&mut self, event: &Value) {
        let at = event["atNs"].as_f64().unwrap_or_default() / 1e6;
        match event["event"].as_str().unwrap_or_default() {
            "stepStarted" => self.end_toggle(),
            "writeStarted" => {
                self.end_toggle();
                let tls = &event["configuration"]["tls"];
                let asks =
                    |direction: &str| !matches!(tls[direction].as_str(), None | Some("plaintext"));
                if asks("inbound") || asks("outbound") {
                    self.toggle = Some((at, None));
                }
                if asks("outbound") {
                    self.callers_told.push((at, None));
                }
            }
            "observed" => self.observed(at, event),
            "request" => self.request(event),
            _ => {}
        }
    }

    fn observed(&mut self, at: f64, event: &Value) {
        let sidecar = event["sidecar"].as_str().unwrap_or_default();
        let certificate = &event["certificate"];
        // One that is only asked for serves nobody yet, and one that is held serves nobody without a mode that uses it.
        let is_held = !certificate.is_null() && certificate["warming"] != true;
        if !is_held || !speaks_tls(&event["tls"]) {
            self.on_tls.remove(sidecar);
            return;
        }
        if self.on_tls.insert(sidecar.to_owned())
            && let Some((issued, last)) = &mut self.toggle
        {
            self.seen.each.push(at - *issued);
            *last = Some(at);
        }
    }

    fn request(&mut self, event: &Value) {
        // Batches start when everybody is ready, so they say nothing of how long that takes.
        let Some(load) = LOADS.iter().find(|load| event["traffic"] == **load) else {
            return;
        };
        self.seen.requests += 1;
        self.seen.new_connections += u32::from(*load == ON_NEW_CONNECTIONS);
        self.seen.lost += u32::from(event["status"] != 200);
        if *load != STEADY {
            return;
        }
        let due = event["dueNs"].as_f64().unwrap_or_default() / 1e6;
        if event["arrived"]["tls"].is_null() {
            return;
        }
        let done = due + event["latencyUs"].as_f64().unwrap_or_default() / 1e3;
        let last_told = self.callers_told.iter_mut().rfind(|(told, _)| *told <= due);
        if let Some((_, first)) = last_told {
            first.get_or_insert(done);
        }
    }

    fn end(mut self) -> Seen {
        self.end_toggle();
        let first = self.callers_told.iter();
        self.seen.first_request = first
            .filter_map(|(told, first)| first.map(|first| first - told))
            .collect();
        self.seen
    }

    fn end_toggle(&mut self) {
        if let Some((issued, Some(last))) = self.toggle.take() {
            self.seen.last.push(last - issued);
        }
    }
}

/// Whether a sidecar with these modes takes or offers anything but plaintext.
fn speaks_tls(modes: &Value) -> bool {
    let listed = |direction: &str| modes[direction].as_array().cloned().unwrap_or_default();
    let takes = listed("inbound")
        .iter()
        .any(|one| one["takes"] != "plaintext");
    let offers = listed("outbound").iter().any(|one| one != "plaintext");
    takes || offers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(at_ms: u64, sidecar: &str, certificate: &Value) -> Value {
        read(at_ms, sidecar, certificate, "strict")
    }

    fn read(at_ms: u64, sidecar: &str, certificate: &Value, offers: &str) -> Value {
        json!({"atNs": at_ms * 1_000_000, "event": "observed", "sidecar": sidecar, "certificate": certificate,
               "tls": {"inbound": [{"takes": "plaintext"}], "outbound": [offers]}})
    }

    fn toggled(at_ms: u64, direction: &str) -> Value {
        json!({"atNs": at_ms * 1_000_000, "event": "writeStarted", "configuration": {"tls": {direction: "strict"}}})
    }

    fn request(due_ms: u64, status: u64, arrived: &Value) -> Value {
        of_load(STEADY, due_ms, status, arrived)
    }

    fn of_load(load: &str, due_ms: u64, status: u64, arrived: &Value) -> Value {
        json!({"event": "request", "traffic": load, "dueNs": due_ms * 1_000_000, "latencyUs": 2000,
               "status": status, "arrived": arrived})
    }

    fn after(events: &[Value]) -> Seen {
        let mut history = History::default();
        events.iter().for_each(|event| history.on(event));
        history.end()
    }

    #[test]
    fn a_sidecar_is_on_tls_once_it_holds_a_certificate_and_uses_it() {
        let ready = json!({"serial": "1"});
        let seen = after(&[
            observed(5, "a", &Value::Null),
            toggled(10, "inbound"),
            observed(20, "a", &json!({"warming": true, "serial": ""})),
            read(25, "a", &ready, "plaintext"),
            observed(30, "a", &ready),
            observed(40, "a", &json!({"serial": "2"})),
            observed(50, "b", &ready),
        ]);
        assert_eq!(seen.each, [20.0, 40.0]);
        assert_eq!(seen.last, [40.0]);
    }

    #[test]
    fn what_was_there_before_is_not_measured() {
        let ready = json!({"serial": "1"});
        let seen = after(&[
            observed(5, "a", &ready),
            toggled(10, "inbound"),
            observed(20, "a", &ready),
        ]);
        assert!(seen.each.is_empty() && seen.last.is_empty());
    }

    #[test]
    fn the_first_request_over_tls_counts_from_the_callers_toggle() {
        let tls = json!({"tls": {"version": "TLSv1.3"}});
        let seen = after(&[
            toggled(10, "outbound"),
            request(12, 200, &json!("plaintext")),
            request(14, 503, &Value::Null),
            request(20, 200, &tls),
            request(22, 200, &tls),
        ]);
        assert_eq!(seen.first_request, [12.0]);
        assert_eq!((seen.requests, seen.lost), (4, 1));
    }

    #[test]
    fn requests_of_every_load_are_counted_and_those_of_batches_are_not() {
        let tls = json!({"tls": {"version": "TLSv1.3"}});
        let seen = after(&[
            toggled(10, "outbound"),
            of_load("bytes", 12, 200, &tls),
            of_load("bytes", 14, 503, &Value::Null),
            of_load("calls", 15, 200, &tls),
            of_load("batch", 16, 503, &Value::Null),
        ]);
        assert_eq!((seen.requests, seen.new_connections, seen.lost), (3, 2, 1));
        assert!(seen.first_request.is_empty(), "that is of the steady load");
    }
}
