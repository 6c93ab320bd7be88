//! `meshproof judge`: the verdict of a recorded history, computed again from the file alone.

use crate::arguments::{Common, JudgeArguments, OutputForm};
use crate::commands::{write_json, write_json_line};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use harness_model::history::EventKind;
use harness_model::history::file::{self, Recorded};
use harness_model::run_event::Summary;
use harness_model::verdict::{Judgement, Verdict};
use harness_report::deviation::Setting;
use harness_report::record::title;
use harness_report::terminal;
use serde::Serialize;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

/// One judgement, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Judged {
    name: String,
    repetition: u32,
    run: String,
    events: usize,
    judgement: Judgement,
}

/// Judges.
pub(crate) fn judge(
    arguments: &JudgeArguments,
    common: &Common,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let mut histories = Vec::new();
    for path in &arguments.histories {
        histories.extend(read(path)?);
    }
    let judged: Vec<(Recorded, Judgement)> = histories
        .into_iter()
        .map(|recorded| {
            let header = &recorded.header;
            let judgement =
                harness_model::checker::judge(&header.scenario, &recorded.events, &header.patience);
            (recorded, judgement)
        })
        .collect();
    let worst = judged
        .iter()
        .map(|(_, judgement)| judgement.verdict)
        .max()
        .unwrap_or(Verdict::Inconclusive);
    match common.output {
        OutputForm::Text => {
            text(&judged, common.quiet, out).map_err(|e| crate::write_failed(&e))?
        }
        OutputForm::Json => {
            let all: Vec<Judged> = judged.into_iter().map(form).collect();
            write_json(out, &all)?;
        }
        OutputForm::Jsonl => {
            for one in judged.into_iter().map(form) {
                write_json_line(out, &one)?;
            }
        }
    }
    Ok(ExitCode::of_verdict(worst))
}

fn form((recorded, judgement): (Recorded, Judgement)) -> Judged {
    Judged {
        name: recorded.header.scenario.name,
        repetition: recorded.header.repetition,
        run: recorded.header.run,
        events: recorded.events.len(),
        judgement,
    }
}

/// Reads a history file; a folder stands for the `history.jsonl` in it, `-` for stdin.
fn read(path: &Path) -> Result<Vec<Recorded>, Failure> {
    let path: PathBuf = if path.is_dir() {
        path.join("history.jsonl")
    } else {
        path.to_owned()
    };
    let failed = || {
        Failure::new(
            ExitCode::Usage,
            format!("read the history {}", path.display()),
        )
    };
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(&path)
    };
    let text = text.map_err(|error| {
        failed()
            .because(&error)
            .hint("a run writes its histories to history.jsonl in its artefact folder")
    })?;
    file::parse(&text).map_err(|problems| {
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        if problems.len() >= lines {
            return failed()
                .reason(format!(
                    "no line of it is one of a history; line {}: {}",
                    problems[0].line, problems[0].message
                ))
                .hint("a run writes its histories to history.jsonl in its artefact folder");
        }
        let shown = 10;
        let more = problems.len().saturating_sub(shown);
        let mut failure = failed();
        for problem in problems.iter().take(shown) {
            failure = failure.item(format!(
                "{}:{}: {}",
                path.display(),
                problem.line,
                problem.message
            ));
        }
        if more > 0 {
            failure = failure.item(format!("and {more} more"));
        }
        failure
    })
}

/// Everybody who was ever there.
fn sidecars(recorded: &Recorded) -> Vec<String> {
    recorded
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::SidecarJoined { sidecar } => Some(sidecar.name.clone()),
            _ => None,
        })
        .collect()
}

fn text(judged: &[(Recorded, Judgement)], quiet: bool, out: &mut Out) -> std::io::Result<()> {
    let mut summary = Summary::default();
    for (recorded, judgement) in judged {
        summary.count(judgement.verdict);
        if quiet && judgement.verdict == Verdict::Passed {
            continue;
        }
        let (style, word) = terminal::verdict_word(judgement.verdict);
        let header = &recorded.header;
        writeln!(
            out,
            "{style}{word}{style:#} {} ({} events)",
            title(&header.scenario.name, header.repetition),
            recorded.events.len()
        )?;
        for finding in &judgement.findings {
            if finding.verdict == Verdict::Passed {
                writeln!(
                    out,
                    "  {} passed, {}",
                    terminal::about(finding),
                    terminal::observations(finding)
                )?;
            }
        }
        let sidecars = sidecars(recorded);
        let setting = Setting {
            scenario: Some(&header.scenario),
            sidecars: &sidecars,
        };
        terminal::findings(out, judgement, setting)?;
    }
    writeln!(out, "{}", terminal::sum_line(&summary))
}
