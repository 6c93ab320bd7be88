//! `meshproof selftest`: proof that the scenarios can fail, compared with the checked-in matrix.

use crate::arguments::{Common, OutputForm, SelftestArguments};
use crate::artifacts::{self, Artifacts};
use crate::commands::run::{Readers, drive};
use crate::commands::{write_json, write_json_line};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use crate::{logging, output, plan, selection, tools};
use anstyle::{AnsiColor, Style};
use harness_report::record::Context;
use harness_report::terminal::seconds;
use harness_runner::selftest::{SelftestPlan, SelftestReport};
use harness_runner::{ExpectedKill, Matrix, MatrixRow, MeshChoice};
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

const AGREES: Style = AnsiColor::Green.on_default().bold();
const DIFFERS: Style = AnsiColor::Red.on_default().bold();

/// Runs the self-test.
pub(crate) fn selftest(
    arguments: &SelftestArguments,
    common: &Common,
    out: &mut Out,
    started: Instant,
) -> Result<ExitCode, Failure> {
    let run = &arguments.run;
    let selected = selection::select(suites::all(), &run.selection)?;
    let checked = plan::check(&run.environment)?;
    let matrix = matrix()?;
    let absent = if arguments.without_absent {
        None
    } else {
        Some(MeshChoice {
            name: "absent".to_owned(),
            definition: plan::mesh("absent")?,
        })
    };
    if run.environment.reuse.is_none() {
        tools::ensure(run.environment.no_install)?;
    }
    let seed = run
        .seed
        .unwrap_or_else(|| artifacts::random() % 1_000_000_000);
    let artifacts = Artifacts::create(&run.artifacts, seed)?;
    logging::start(common, Some(&artifacts.folder))
        .map_err(|e| Failure::new(ExitCode::Environment, "write the log").because(&e))?;
    let plan = SelftestPlan {
        run: plan::plan(run, checked, selected.scenarios, seed, &artifacts, started),
        matrix,
        absent,
    };
    let context = Context {
        artifacts: Some(artifacts.folder.clone()),
        ..Context::default()
    };
    // The verdicts of mutants are no findings about the mesh: only the comparison is shown.
    let mut readers = Readers::silent(common, context, &artifacts.folder);
    let outcome = Arc::new(Mutex::new(None));
    let store = Arc::clone(&outcome);
    drive(&mut readers, plan, |plan, events, interrupt| async move {
        let report = harness_runner::selftest(plan, events, interrupt).await;
        *store.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    })?;
    readers.finish();
    let report = outcome
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
        .unwrap_or_else(|| SelftestReport {
            // Left at once: nothing was compared to the end.
            interrupted: readers.record.sum().interrupted,
            ..SelftestReport::default()
        });
    let stored = serde_json::to_string_pretty(&report)
        .map_err(std::io::Error::from)
        .and_then(|text| std::fs::write(artifacts.folder.join("selftest.json"), text + "\n"));
    if let Err(error) = stored {
        let failure = Failure::new(ExitCode::Internal, "write selftest.json").because(&error);
        output::say(&failure.render(output::colour_on_stderr(common.color)));
    }
    match common.output {
        OutputForm::Json => write_json(out, &report)?,
        OutputForm::Jsonl => {
            for case in &report.cases {
                write_json_line(out, case)?;
            }
        }
        OutputForm::Text => {
            text(&report, common.quiet, out).map_err(|e| crate::write_failed(&e))?
        }
    }
    if let Some(error) = report
        .environment_error
        .as_ref()
        .filter(|_| report.interrupted.is_none())
    {
        output::say(&format!("error: failed to {error}"));
    }
    Ok(exit_code(&report))
}

/// The checked-in matrix in the runner's words.
fn matrix() -> Result<Matrix, Failure> {
    let checked_in = suites::matrix::checked_in().map_err(|problems| {
        Failure::new(
            ExitCode::Internal,
            "read the built-in matrix of seeded bugs",
        )
        .because(&problems)
    })?;
    Ok(Matrix {
        mutants: checked_in
            .into_iter()
            .map(|(mutant, kills)| MatrixRow {
                mutant,
                killed_by: kills
                    .into_iter()
                    .map(|kill| ExpectedKill {
                        scenario: kill.scenario,
                        checker: kill.checker,
                        sidecar: kill.sidecar,
                    })
                    .collect(),
            })
            .collect(),
    })
}

fn exit_code(report: &SelftestReport) -> ExitCode {
    if !report.left_behind.is_empty() {
        ExitCode::LeftBehind
    } else if let Some(signal) = report.interrupted {
        ExitCode::of_signal(signal)
    } else if report.environment_error.is_some() {
        ExitCode::Environment
    } else if report.matches() {
        ExitCode::Success
    } else {
        ExitCode::ScenarioFailed
    }
}

fn text(report: &SelftestReport, quiet: bool, out: &mut Out) -> std::io::Result<()> {
    for case in &report.cases {
        if case.agrees {
            if !quiet {
                writeln!(
                    out,
                    "{AGREES}OK{AGREES:#} {} × {}: {}",
                    case.control_plane, case.scenario, case.observed
                )?;
            }
            continue;
        }
        writeln!(
            out,
            "{DIFFERS}DIFFERS{DIFFERS:#} {} × {}",
            case.control_plane, case.scenario
        )?;
        writeln!(out, "  expected  {}", case.expected)?;
        writeln!(out, "  observed  {}", case.observed)?;
    }
    for scenario in &report.never_killed {
        writeln!(out, "{DIFFERS}NEVER KILLED{DIFFERS:#} {scenario}")?;
    }
    for left in &report.left_behind {
        writeln!(out, "{DIFFERS}LEFT BEHIND{DIFFERS:#} {left}")?;
    }
    let agree = report.cases.iter().filter(|case| case.agrees).count();
    writeln!(
        out,
        "\n{agree} of {} as in the matrix, {} scenarios never killed [{}]",
        report.cases.len(),
        report.never_killed.len(),
        seconds(report.millis)
    )
}
