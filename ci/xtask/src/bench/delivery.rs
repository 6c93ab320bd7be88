//! Delivery and proof of absence, from the histories of the delivery suite: how long from a change to the last
//! sidecar that shows it, and from a marker to the last sidecar that shows that.

use super::history;
use super::program::Program;
use super::report::{Report, Unit};
use super::statistics::median;
use serde_json::json;

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
    let mut all = All::default();
    for number in 1..=samples {
        let run = program.run(&format!("run-{number}"), &[SUITE])?;
        works &= run.has_passed();
        for (name, times) in history::of_passed(&run) {
            let issued: Vec<f64> = times.changes.iter().map(|one| one.issued).collect();
            let acknowledged: Vec<f64> = times.changes.iter().map(|one| one.acknowledged).collect();
            report.sample(json!({
                "run": number,
                "scenario": name,
                "issuedToLastMillis": issued,
                "acknowledgedToLastMillis": acknowledged,
                "proofMillis": times.proofs,
            }));
            all.issued.extend(issued);
            all.acknowledged.extend(acknowledged);
            all.proof.extend(times.proofs);
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

/// The times of all runs together, in milliseconds.
#[derive(Debug, Default)]
struct All {
    issued: Vec<f64>,
    acknowledged: Vec<f64>,
    proof: Vec<f64>,
}
