//! `meshproof report`: in which scenarios and verdicts two runs differ; and several runs put together.

mod merge;

use crate::arguments::{Common, CompareArguments, OutputForm, ReportCommand};
use crate::commands::{write_json, write_json_line};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use anstyle::{AnsiColor, Style};
use harness_report::compare::{AllowList, Comparison, Difference, End, What, compare};
use harness_report::json::{self, Document, Ending};
use harness_report::record::title;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

const DIFFERS: Style = AnsiColor::Red.on_default().bold();
const ALLOWED: Style = AnsiColor::Cyan.on_default();

/// Does what is wanted with reports.
pub(crate) fn report(
    command: &ReportCommand,
    common: &Common,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    match command {
        ReportCommand::Compare(arguments) => compare_two(arguments, common, out),
        ReportCommand::Merge(arguments) => merge::merge(arguments, common, out),
    }
}

fn compare_two(
    arguments: &CompareArguments,
    common: &Common,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let (a, b) = read_both(&arguments.a, &arguments.b)?;
    let (list, allowed) = allow_list(arguments.allow.as_deref(), [&a, &b])?;
    let comparison = compare(&a, &b, &allowed);
    match common.output {
        OutputForm::Text => text(&comparison, &list, common.quiet, out)
            .map_err(|error| crate::write_failed(&error))?,
        OutputForm::Json => write_json(out, &comparison)?,
        OutputForm::Jsonl => write_json_line(out, &comparison)?,
    }
    Ok(if comparison.agrees() {
        ExitCode::Success
    } else {
        ExitCode::ScenarioFailed
    })
}

/// Reads both reports; what is wrong with either is told at once.
fn read_both(a: &Path, b: &Path) -> Result<(Document, Document), Failure> {
    let failed = || Failure::new(ExitCode::Usage, "compare two reports");
    match (read(a), read(b)) {
        (Ok(a), Ok(b)) if !came_to_a_verdict(&a) && !came_to_a_verdict(&b) => Err(failed()
            .reason("neither run came to a verdict, so there is nothing to compare")
            .hint("`environmentError` in a report says why its run had no environment")),
        (Ok(a), Ok(b)) => Ok((a, b)),
        (a, b) => {
            let items = [a.err(), b.err()].into_iter().flatten();
            Err(items
                .fold(failed(), Failure::item)
                .hint("name the artefact folders of two runs, or their report.json"))
        }
    }
}

fn came_to_a_verdict(document: &Document) -> bool {
    document.scenarios.iter().any(|scenario| {
        matches!(
            scenario.outcome,
            Ending::Passed | Ending::Failed | Ending::Inconclusive
        )
    })
}

/// Reads a report; a folder stands for the `report.json` in it.
pub(crate) fn read(path: &Path) -> Result<Document, String> {
    let path: PathBuf = if path.is_dir() {
        path.join("report.json")
    } else {
        path.to_owned()
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let why = match error.kind() {
            ErrorKind::NotFound => " (a run that was killed before its end writes none)",
            _ => "",
        };
        format!("{}: it cannot be read: {error}{why}", path.display())
    })?;
    json::read(&text).map_err(|error| {
        let cause = std::error::Error::source(&error)
            .map_or_else(String::new, |cause| format!(": {cause}"));
        format!("{}: {error}{cause}", path.display())
    })
}

/// The allow-list and the name of its file. Scenarios of the user's own are known from the reports.
fn allow_list(
    file: Option<&Path>,
    documents: [&Document; 2],
) -> Result<(String, AllowList), Failure> {
    let (name, text) = match file {
        None => (suites::PARITY.0.to_owned(), suites::PARITY.1.to_owned()),
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                Failure::new(ExitCode::Usage, format!("read {}", file.display())).because(&error)
            })?;
            (file.display().to_string(), text)
        }
    };
    let built_in = suites::all();
    let known: BTreeSet<&str> = built_in
        .iter()
        .map(|scenario| scenario.name.as_str())
        .chain(
            documents
                .into_iter()
                .flat_map(|document| &document.scenarios)
                .map(|scenario| scenario.name.as_str()),
        )
        .collect();
    match AllowList::parse(&name, &text, &known) {
        Ok(list) => Ok((name, list)),
        Err(problems) => Err(Failure::new(
            ExitCode::Usage,
            "read which scenarios may be skipped where",
        )
        .in_file(&text, problems)),
    }
}

fn text(comparison: &Comparison, list: &str, quiet: bool, out: &mut Out) -> std::io::Result<()> {
    for (name, side) in [("a", &comparison.a), ("b", &comparison.b)] {
        if !quiet {
            writeln!(out, "{name}  {} on {}", side.run, side.cluster)?;
        }
    }
    for difference in &comparison.differences {
        if !(quiet && difference.allowed.is_some()) {
            line(difference, out)?;
        }
    }
    for entry in &comparison.stale {
        writeln!(
            out,
            "{DIFFERS}STALE{DIFFERS:#} {list}:{}: {} may be skipped on {}, and was not",
            entry.line,
            entry.scenario,
            entry.cluster.word()
        )?;
    }
    let allowed = comparison
        .differences
        .iter()
        .filter(|difference| difference.allowed.is_some())
        .count();
    writeln!(
        out,
        "{} alike, {} undecided in both, {allowed} allowed to differ, {} different, {} stale",
        comparison.same,
        comparison.undecided_in_both,
        comparison.differences.len() - allowed,
        comparison.stale.len()
    )
}

fn line(difference: &Difference, out: &mut Out) -> std::io::Result<()> {
    let (style, word) = match (difference.what, &difference.allowed) {
        (_, Some(_)) => (ALLOWED, "ALLOWED"),
        (What::OnlyInA, _) => (DIFFERS, "ONLY IN A"),
        (What::OnlyInB, _) => (DIFFERS, "ONLY IN B"),
        (What::Skipped, _) => (DIFFERS, "SKIPPED"),
        (What::Verdict, _) => (DIFFERS, "DIFFERENT"),
    };
    let ends: Vec<String> = [("a", &difference.a), ("b", &difference.b)]
        .into_iter()
        .filter_map(|(side, end)| Some(format!("{} in {side}", ending(end.as_ref()?))))
        .collect();
    let name = title(&difference.scenario, difference.repetition);
    write!(out, "{style}{word}{style:#} {name}: {}", ends.join(", "))?;
    match &difference.allowed {
        Some(why) => writeln!(out, "; allowed: {why}"),
        None => writeln!(out),
    }
}

fn ending(end: &End) -> String {
    match &end.reason {
        Some(reason) => format!("{} ({reason})", end.outcome.word()),
        None => end.outcome.word().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_is_right() {
        let built_in = suites::all();
        let known = built_in.iter().map(|s| s.name.as_str()).collect();
        let (file, text) = suites::PARITY;
        if let Err(problems) = AllowList::parse(file, text, &known) {
            panic!("{problems}");
        }
    }
}
