//! Many identities at once: what the authority issues with a core against `rcgen` alone, and what an identity costs a node
//! agent. The program `identity-bench` measures; this starts it beside an API server alone.

use super::alone;
use super::program::Program;
use super::report::{Report, Unit};
use crate::workspace;
use anyhow::{Context as _, bail};
use harness_assets::{AssetOptions, Progress};
use serde_json::Value;
use std::ffi::OsString;

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
    let built = PROGRAMS.map(workspace::build_program).into_iter();
    let built: Vec<_> = built.collect::<anyhow::Result<_>>()?;
    let [bench, ..] = built.as_slice() else {
        bail!("there is nothing to build");
    };
    let folder_of_programs = bench.parent().context("a program is in a folder")?;
    let assets = harness_assets::obtain(&AssetOptions::from_environment(None)?, &|progress| {
        if !matches!(progress, Progress::Activity { .. }) {
            eprintln!("{progress}");
        }
    })?;
    let mut seen: Vec<Value> = Vec::new();
    for number in 1..=samples {
        let folder = program.folder().join(format!("sample-{number}"));
        let then: Vec<OsString> = vec![
            bench.clone().into_os_string(),
            folder_of_programs.into(),
            // In memory, since there are keys in it.
            folder.join("state/bench").into(),
            folder.clone().into(),
            IDENTITIES.to_string().into(),
        ];
        let text = alone::with(&assets, &folder, &then)?;
        let figures: Value = serde_json::from_str(&text).context("read its figures")?;
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
        "agentKilobytesPerIdentity",
        "memory of a node agent for each, in kB",
        Unit::Count,
        middle("agentBytesPerIdentity") / 1000.0,
    );
    Ok(!seen.is_empty())
}
