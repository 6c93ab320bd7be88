//! Many identities at once: what the authority issues with a core against `rcgen` alone, and what an identity costs a node
//! agent. The program `identity-bench` measures; this starts it beside an API server alone.

use super::beside::Beside;
use super::program::Program;
use super::report::{Report, Unit};
use serde_json::Value;

/// How many pods one node agent is asked to serve. A node has a hundred; the issue is what each costs.
const IDENTITIES: usize = 10_000;
/// The programs of the mesh that take part, and the bench itself.
const PROGRAMS: [&str; 4] = [
    "identity-bench",
    "key-service",
    "certificate-authority",
    "node-agent",
];

/// Measures as often as `samples` says.
///
/// # Errors
///
/// When a program cannot be built or does not do its part.
pub(super) fn measure(
    program: &Program,
    samples: usize,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let bench = Beside::build(&PROGRAMS)?;
    let mut seen: Vec<Value> = Vec::new();
    for number in 1..=samples {
        let folder = program.folder().join(format!("sample-{number}"));
        let figures = bench.figures(&folder, IDENTITIES)?;
        report.sample(figures.clone());
        seen.push(figures);
    }
    let middle = |name: &str| {
        let values: Vec<f64> = seen.iter().filter_map(|one| one[name].as_f64()).collect();
        super::statistics::median(&values).unwrap_or_default()
    };
    let rows = [
        ("identities", "identities", Unit::Count),
        (
            "rcgenPerCoreSecond",
            "`rcgen` alone, certificates a core and second",
            Unit::Count,
        ),
        (
            "issuedPerCoreSecond",
            "authority and key service, certificates a core and second",
            Unit::Count,
        ),
        (
            "issuedPerSecond",
            "certificates a second, everything on this machine",
            Unit::Count,
        ),
        (
            "agentServedPerSecond",
            "sidecars that a node agent serves anew in a second",
            Unit::Count,
        ),
    ];
    for (name, words, unit) in rows {
        report.figure(name, words, unit, middle(name));
    }
    report.figure(
        "rcgenToAuthority",
        "`rcgen` alone against authority and key service",
        Unit::Ratio,
        middle("rcgenPerCoreSecond") / middle("issuedPerCoreSecond").max(0.001),
    );
    report.figure(
        "agentKibibytesPerIdentity",
        "memory of a node agent for each",
        Unit::Kibibytes,
        middle("agentBytesPerIdentity") / 1024.0,
    );
    Ok(!seen.is_empty())
}
