//! What a scenario costs that waits for nothing: one request within the cluster, repeated in one run.

use super::program::{Program, millis, number};
use super::report::{Report, Unit};
use super::statistics::median;
use anyhow::{Context as _, ensure};
use serde_json::json;
use std::time::Duration;

/// Milliseconds that one repetition may take.
const AIM: f64 = 50.0;

/// The cheapest legal scenario. It writes nothing, so nothing has to be delivered, proven absent or removed.
const SCENARIO: &str = "\
name: bench/one-request
claim: a request is answered
tags:
- qa
given: {}
when:
- request:
    name: once
    from: frontend@$zone1
    to: checkout
    count: 1
then:
- answered:
    traffic: once
    lost: 0
";

/// Measures repetitions, one after the other.
///
/// # Errors
///
/// When the run cannot be started, does not end or repeats nothing.
pub(super) fn measure(
    program: &Program,
    samples: usize,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let file = program.folder().join("one-request.yaml");
    std::fs::write(&file, SCENARIO).with_context(|| format!("write {}", file.display()))?;
    let repeat = samples.to_string();
    let file = file.display().to_string();
    let run = program.run("run", &[&file, "--parallel", "1", "--repeat", &repeat])?;
    let works = run.has_passed();
    let starts: Vec<Duration> = run.of_type("scenarioStarted").map(|seen| seen.at).collect();
    let ends: Vec<Duration> = run
        .of_type("scenarioFinished")
        .map(|seen| seen.at)
        .collect();
    ensure!(
        !starts.is_empty() && starts.len() == ends.len(),
        "nothing was repeated to its end"
    );
    let requests: Vec<f64> = run
        .of_type("scenarioEvent")
        .filter(|seen| seen.event["event"]["event"] == "request")
        .map(|seen| number(&seen.event["event"]["latencyUs"]) / 1000.0)
        .collect();
    let took: Vec<f64> = starts
        .iter()
        .zip(&ends)
        .map(|(start, end)| millis(end.saturating_sub(*start)))
        .collect();
    for (took, request) in took.iter().zip(&requests) {
        report.sample(json!({"millis": took, "requestMillis": request}));
    }
    // With what is between two repetitions.
    let first_to_last = millis(ends[ends.len() - 1].saturating_sub(starts[0]));
    let middle = median(&took).unwrap_or_default();
    report.row("repetitions", took.len().to_string());
    report.distribution("repetitionMillis", "one repetition", Unit::Millis, &took);
    report.figure(
        "requestMillis",
        "  the request itself",
        Unit::Millis,
        median(&requests).unwrap_or_default(),
    );
    report.figure(
        "meanMillis",
        "first start to last end, each",
        Unit::Millis,
        first_to_last / took.len() as f64,
    );
    report.aim(
        "meanMillis",
        Unit::Millis,
        first_to_last / took.len() as f64,
        AIM,
    );
    report.figure(
        "repetitionToRequest",
        "repetition against its request",
        Unit::Ratio,
        middle / median(&requests).unwrap_or_default().max(0.001),
    );
    Ok(works)
}
