//! `meshproof selftest`: proof that the scenarios can fail, compared with the checked-in matrix.

use crate::arguments::{Common, OutputForm, SelftestArguments};
use crate::artifacts::{self, Artifacts, Document};
use crate::commands::run::{Readers, drive};
use crate::commands::write_json;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Failures};
use crate::output::Out;
use crate::{logging, output, plan, tools};
use anstyle::{AnsiColor, Style};
use harness_mesh::MeshDefinition;
use harness_report::junit::{self, Comparison};
use harness_report::record::Context;
use harness_report::terminal::seconds;
use harness_runner::{
    Matrix, MatrixRow, MeshChoice, Position, SelftestCase, SelftestPlan, SelftestReport,
};
use std::collections::{BTreeMap, BTreeSet};
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
    let run = &arguments.execution;
    let mut failures = Failures::default();
    let stand = plan::Stand::of(run);
    let found = plan::Found::of(&run.environment, &run.upgrade_from, stand, &mut failures);
    if let Some(mesh) = found.mesh().filter(|_| arguments.without_faithful) {
        failures.keep(refuse_candidates(&run.environment.image, mesh));
    }
    let selected = failures.keep(plan::select(&run.selection, &found));
    if let Some(selected) = &selected {
        failures.keep(plan::check_upgrade(&run.upgrade_from, &selected.scenarios));
    }
    failures.keep(plan::check_images(&run.environment, &BTreeSet::new()));
    let (mut checked, selected) = failures.end(found.whole().zip(selected))?;
    selected.tell();
    if !run.environment.set.iter().any(|(name, _)| name == "xds") {
        // Some of the seeded bugs show only in one form of xDS. A mesh without a choice has no such variable.
        let _ = checked.mesh.set_variable("xds", "mixed");
    }
    let topology = checked.ground.topology();
    let clusters = topology.map_or(1, |topology| topology.clusters.len());
    let matrix = matrix(clusters, !arguments.without_extra)?;
    let sentences = super::list::mutants::sentences()?;
    let absent = if arguments.without_absent {
        None
    } else {
        Some(MeshChoice {
            name: "absent".to_owned(),
            definition: plan::mesh("absent")?,
        })
    };
    if checked.ground.needs_tools(&run.environment) {
        tools::ensure(run.environment.no_install)?;
    }
    let seed = run
        .seed
        .unwrap_or_else(|| artifacts::random() % 1_000_000_000);
    let artifacts = Artifacts::create(&run.artifacts, seed)?;
    logging::start(common, Some(&artifacts.folder))
        .map_err(|e| Failure::new(ExitCode::Environment, "write the log").because(&e))?;
    let mut run = plan::plan(run, checked, selected.scenarios, seed, &artifacts, started);
    run.images.seeded_bugs = true;
    let plan = SelftestPlan {
        run,
        matrix,
        faithful: !arguments.without_faithful,
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
    let teller = Teller {
        form: common.output,
        quiet: common.quiet,
        out: out.clone(),
        sentences,
        told: Mutex::new(String::new()),
    };
    drive(&mut readers, plan, |plan, events, interrupt| async move {
        let tell = |case: &SelftestCase, position| teller.tell(case, position);
        let report = harness_runner::selftest(plan, events, interrupt, &tell).await;
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
    let colour = output::colour_on_stderr(common.color);
    let exit = artifacts.write_each(documents(&report), exit_code(&report), colour);
    match common.output {
        OutputForm::Json => write_json(out, &report)?,
        // Each case was told when it was made.
        OutputForm::Jsonl => {}
        OutputForm::Text => text(&report, out).map_err(|e| crate::write_failed(&e))?,
    }
    if let Some(error) = report
        .environment_error
        .as_ref()
        .filter(|_| report.interrupted.is_none())
    {
        output::say(&format!("error: failed to {error}"));
    }
    artifacts.told(out, exit)
}

/// A candidate is judged by the faithful part: without it nothing would be said about it.
fn refuse_candidates(images: &[(String, String)], mesh: &MeshDefinition) -> Result<(), Failure> {
    let of_bugs = harness_runner::mutant_images(mesh);
    match images.iter().find(|(name, _)| !of_bugs.contains(name)) {
        None => Ok(()),
        Some((name, text)) => Err(Failure::new(ExitCode::Usage, "use --without-faithful")
            .reason(format!(
                "--image {name}={text}: a candidate is judged by the part without seeded bugs alone, which is left out"
            ))
            .hint("leave one of the two options out")),
    }
}

/// The checked-in matrix in the runner's words, without what shows only over more clusters than there are, and with what is
/// extra where that is asked for.
fn matrix(clusters: usize, extra: bool) -> Result<Matrix, Failure> {
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
                own_mesh: suites::matrix::needs_own_mesh(&mutant),
                mutant,
                killed_by: kills
                    .into_iter()
                    .filter(|kill| kill.clusters <= clusters && (extra || !kill.extra))
                    .collect(),
            })
            .collect(),
    })
}

fn exit_code(report: &SelftestReport) -> ExitCode {
    let left_behind = !report.left_behind.is_empty();
    let broken = report.environment_error.is_some();
    if let Some(end) = ExitCode::of_end(left_behind, report.interrupted, broken) {
        end
    } else if report.matches() {
        ExitCode::Success
    } else {
        ExitCode::ScenarioFailed
    }
}

/// Tells each comparison as soon as it is made.
struct Teller {
    form: OutputForm,
    quiet: bool,
    out: Out,
    /// Mutant → what it does wrong.
    sentences: BTreeMap<String, String>,
    /// The mutant whose sentence was told last.
    told: Mutex<String>,
}

impl Teller {
    fn tell(&self, case: &SelftestCase, position: Position) {
        let mut out = self.out.clone();
        let told = match self.form {
            OutputForm::Text if self.quiet && case.agrees => Ok(()),
            OutputForm::Text => self
                .sentence(case, &mut out)
                .and_then(|()| line(case, Some(position), &mut out)),
            OutputForm::Jsonl => serde_json::to_string(case)
                .map_err(std::io::Error::from)
                .and_then(|text| writeln!(out, "{text}")),
            OutputForm::Json => Ok(()),
        };
        if let Err(error) = told.and_then(|()| out.flush()) {
            tracing::error!(%error, "a comparison was not told");
        }
    }
}

impl Teller {
    /// What the seeded bug is, before the first line about it.
    fn sentence(&self, case: &SelftestCase, out: &mut Out) -> std::io::Result<()> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match self.sentences.get(&case.control_plane) {
            Some(sentence) if *told != case.control_plane => {
                told.clone_from(&case.control_plane);
                writeln!(out, "seeded bug {}: {sentence}", case.control_plane)
            }
            _ => Ok(()),
        }
    }
}

/// One comparison; what differs with what was wanted and what came.
fn line(case: &SelftestCase, position: Option<Position>, out: &mut Out) -> std::io::Result<()> {
    let (style, word) = match (case.agrees, case.is_of_mutant()) {
        (true, true) => (AGREES, "CAUGHT"),
        (true, false) => (AGREES, "OK"),
        (false, true) => (DIFFERS, "NOT CAUGHT"),
        (false, false) => (DIFFERS, "DIFFERS"),
    };
    if let Some(Position { done, all }) = position {
        let width = all.to_string().len();
        write!(out, "{done:width$}/{all} ")?;
    }
    write!(
        out,
        "{style}{word}{style:#} {} × {}",
        case.control_plane, case.scenario
    )?;
    if !case.agrees {
        writeln!(out, " [{}]", seconds(case.millis))?;
        writeln!(out, "  expected  {}", case.expected)?;
        return writeln!(out, "  observed  {}", case.observed);
    }
    let short = match &case.judgement {
        Some(judgement) if !case.is_of_mutant() => {
            harness_report::json::Ending::from(judgement.verdict).word()
        }
        _ => case.expected.as_str(),
    };
    writeln!(out, ": {short} [{}]", seconds(case.millis))
}

/// `selftest.json`, and `junit.xml` for those who count. What cannot be written is told and does not keep the other one from
/// being written.
fn documents(report: &SelftestReport) -> [Document; 2] {
    let comparisons: Vec<Comparison<'_>> = report
        .cases
        .iter()
        .map(|case| Comparison {
            suite: &case.control_plane,
            name: &case.scenario,
            millis: case.millis,
            difference: (!case.agrees)
                .then(|| format!("expected {}, observed {}", case.expected, case.observed)),
        })
        .chain(report.never_killed.iter().map(|scenario| Comparison {
            suite: "matrix",
            name: scenario,
            millis: 0,
            difference: Some("no seeded bug is there that it must catch".to_owned()),
        }))
        .collect();
    let with_end = |text: String| text + "\n";
    [
        (
            "selftest.json",
            serde_json::to_string_pretty(report)
                .map(with_end)
                .map_err(Into::into),
        ),
        (
            "junit.xml",
            junit::render_selftest(&comparisons, &report.summary())
                .map(with_end)
                .map_err(Into::into),
        ),
    ]
}

/// What needs attention once more, and the sum.
fn text(report: &SelftestReport, out: &mut Out) -> std::io::Result<()> {
    writeln!(out)?;
    for case in report.cases.iter().filter(|case| !case.agrees) {
        line(case, None, out)?;
    }
    for scenario in &report.never_killed {
        writeln!(
            out,
            "{DIFFERS}NEVER KILLED{DIFFERS:#} {scenario}: no seeded bug is there that it must catch"
        )?;
    }
    if let Some(signal) = report.interrupted {
        writeln!(
            out,
            "{DIFFERS}INTERRUPTED{DIFFERS:#} by signal {signal}: what is not listed was not compared"
        )?;
    }
    for left in &report.left_behind {
        writeln!(out, "{DIFFERS}LEFT BEHIND{DIFFERS:#} {left}")?;
    }
    let count = |of: &dyn Fn(&&SelftestCase) -> bool| {
        let (mut all, mut right) = (0, 0);
        for case in report.cases.iter().filter(of) {
            all += 1;
            right += usize::from(case.agrees);
        }
        format!("{right} of {all}")
    };
    writeln!(
        out,
        "{} seeded bugs caught; {} other comparisons as they must be; {} scenarios never killed [{}]",
        count(&|case| case.is_of_mutant()),
        count(&|case| !case.is_of_mutant()),
        report.never_killed.len(),
        seconds(report.millis)
    )
}
