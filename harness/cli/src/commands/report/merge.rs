//! `meshproof report merge`: the reports of several runs as that of one.

use super::read;
use crate::arguments::{Common, MergeArguments, OutputForm};
use crate::artifacts::Artifacts;
use crate::ci;
use crate::commands::run::without_excused;
use crate::commands::{write_json, write_json_line};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::{self, Out};
use harness_model::history::file;
use harness_model::scenario::{Scenario, Tag};
use harness_report::json::{Document, Ending};
use harness_report::merge::Part;
use harness_report::record::{Context, RunRecord, history_path, title};
use harness_report::terminal::sum_line;
use harness_report::timeline::Timeline;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Reads the runs, puts them together and writes the documents of the whole.
pub(super) fn merge(
    arguments: &MergeArguments,
    common: &Common,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    if arguments.out.join("report.json").exists() {
        let attempt = format!("write {}", arguments.out.display());
        return Err(Failure::new(ExitCode::Usage, attempt)
            .reason("there is a report already")
            .hint("name a folder that is not there yet"));
    }
    let parts = parts(&arguments.runs)?;
    let folders: Vec<PathBuf> = arguments.runs.iter().map(|run| folder(run)).collect();
    let context = Context {
        artifacts: Some(arguments.out.clone()),
        collects: true,
        program: "meshproof".to_owned(),
        shipped: suites::all()
            .into_iter()
            .map(|scenario| (scenario.name.clone(), scenario))
            .collect(),
        ..Context::default()
    };
    let is_partial = parts.iter().any(|part| is_partial(&part.document));
    let mut record = harness_report::merge::merge(parts, context).map_err(|problems| {
        problems
            .into_iter()
            .fold(
                Failure::new(ExitCode::Usage, "put the runs together"),
                Failure::item,
            )
            .hint("name each shard of one selection once")
    })?;
    record.context.selection = record.context.scenarios.keys().cloned().collect();
    let exit = ExitCode::of_run(&without_excused(&record), is_partial);
    for from in &folders {
        copy(from, &arguments.out).map_err(|error| {
            let attempt = format!(
                "copy what {} has into {}",
                from.display(),
                arguments.out.display()
            );
            Failure::new(ExitCode::Environment, attempt).because(&error)
        })?;
    }
    let artifacts = Artifacts {
        run: record.run.clone(),
        id: String::new(),
        folder: arguments.out.clone(),
    };
    let colour = output::colour_on_stderr(common.color);
    let exit = artifacts.write_documents(&record, exit, colour);
    ci::tell(&record);
    tell(&record, exit, common, out)?;
    Ok(exit)
}

fn tell(record: &RunRecord, exit: ExitCode, common: &Common, out: &mut Out) -> Result<(), Failure> {
    let document = harness_report::json::document(record, exit.number());
    match common.output {
        OutputForm::Json => write_json(out, &document),
        OutputForm::Jsonl => write_json_line(out, &document),
        OutputForm::Text => {
            let report = record.context.artifacts.as_ref();
            let report = report.map(|folder| folder.join("report.html"));
            writeln!(
                out,
                "report    {}\n{}",
                report.unwrap_or_default().display(),
                sum_line(&record.sum())
            )
            .map_err(|error| crate::write_failed(&error))
        }
    }
}

/// A scenario of the gate was skipped.
fn is_partial(document: &Document) -> bool {
    let mut scenarios = document.scenarios.iter();
    scenarios.any(|form| form.outcome == Ending::Skipped && form.tags.contains(&Tag::Gate))
}

/// Every report with its histories; everything that cannot be read is told at once.
fn parts(runs: &[PathBuf]) -> Result<Vec<Part>, Failure> {
    let mut parts = Vec::new();
    let mut unreadable = Vec::new();
    for run in runs {
        match read(run) {
            Ok(document) => {
                let (timelines, scenarios, missing) = histories(&folder(run), &document);
                unreadable.extend(missing);
                parts.push(Part {
                    name: run.display().to_string(),
                    document,
                    timelines,
                    scenarios,
                });
            }
            Err(reason) => unreadable.push(reason),
        }
    }
    if unreadable.is_empty() {
        return Ok(parts);
    }
    let failed = Failure::new(ExitCode::Usage, "read what is to be put together");
    Err(unreadable
        .into_iter()
        .fold(failed, Failure::item)
        .hint("name whole artefact folders, as they were written"))
}

/// The artefact folder of a run that is named by it or by its report.
fn folder(run: &Path) -> PathBuf {
    if run.is_dir() {
        run.to_owned()
    } else {
        run.parent().map(Path::to_owned).unwrap_or_default()
    }
}

type Histories = (
    BTreeMap<String, Timeline>,
    BTreeMap<String, Scenario>,
    Vec<String>,
);

/// What the histories of a run show and say, and which of them cannot be read.
fn histories(folder: &Path, document: &Document) -> Histories {
    let mut timelines = BTreeMap::new();
    let mut scenarios = BTreeMap::new();
    let mut unreadable = Vec::new();
    for form in document
        .scenarios
        .iter()
        .filter(|form| form.millis.is_some())
    {
        let path = folder.join(history_path(&form.name, form.repetition));
        let parsed = std::fs::read_to_string(&path)
            .map_err(|error| error.to_string())
            .and_then(|text| file::parse(&text).map_err(|_| "it is damaged".to_owned()));
        match parsed {
            Ok(recorded) => {
                for recorded in recorded {
                    let mut timeline = Timeline::of(&recorded.header.scenario);
                    for event in &recorded.events {
                        timeline.on(event);
                    }
                    timeline.finish();
                    timelines.insert(title(&form.name, form.repetition), timeline);
                    scenarios.insert(form.name.clone(), recorded.header.scenario);
                }
            }
            Err(reason) => unreadable.push(format!("{}: {reason}", path.display())),
        }
    }
    (timelines, scenarios, unreadable)
}

/// Copies histories and diagnostics, and adds the file of all histories.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    let scenarios = from.join("scenarios");
    if scenarios.is_dir() {
        copy_tree(&scenarios, &to.join("scenarios"))?;
    }
    let all = from.join("history.jsonl");
    if all.is_file() {
        let mut target = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(to.join("history.jsonl"))?;
        std::io::copy(&mut std::fs::File::open(all)?, &mut target)?;
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
