//! Which scenarios are meant: names, suites, files, filters and tags.

mod clashes;

use crate::arguments::SelectionArguments;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Failures};
use clap::ValueEnum as _;
use harness_model::document::{Problems, suggestion};
use harness_model::names::Names;
use harness_model::scenario::{Scenario, file};
use harness_report::record::Shard;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The selected scenarios.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// In the order of the suites, then of the files.
    pub(crate) scenarios: Vec<Scenario>,
    /// Scenarios that were read from files, and from which.
    pub(crate) files: BTreeMap<String, PathBuf>,
    /// Those of them that have the name of a shipped one, which is not run.
    pub(crate) replaced: Vec<String>,
    /// The text of those files, by scenario.
    texts: BTreeMap<String, String>,
}

impl Selection {
    /// One of several parts. They are dealt out like cards, so that each has some of every suite.
    fn part(mut self, shard: Shard) -> Result<Self, Failure> {
        let selected = self.scenarios.len();
        let mut position = 0..;
        self.scenarios
            .retain(|_| position.next().map(|at: u32| at % shard.of) == Some(shard.number - 1));
        if self.scenarios.is_empty() {
            let attempt = format!("select anything for shard {shard}");
            return Err(Failure::new(ExitCode::NothingSelected, attempt)
                .reason(format!(
                    "{selected} scenario{} selected, and dealt out to {} parts",
                    if selected == 1 { " is" } else { "s are" },
                    shard.of
                ))
                .hint(format!("make at most {selected} parts")));
        }
        Ok(self)
    }

    /// Says what is worth knowing before the selected scenarios are run.
    pub(crate) fn tell(&self) {
        self.tell_replaced();
        self.tell_clashes();
    }

    /// Says of each file that it is run under the name of a shipped scenario: its outcome says nothing about that one.
    fn tell_replaced(&self) {
        for name in &self.replaced {
            let file = self.files.get(name).map(|file| file.display().to_string());
            crate::output::say(&format!(
                "note: {} is run in place of the shipped scenario {name}, whose name it has; give it a name of its own",
                file.unwrap_or_default(),
            ));
        }
    }

    /// Says which scenarios may disturb each other: what they come to then says nothing about the mesh.
    fn tell_clashes(&self) {
        for clash in clashes::clashes(&self.scenarios) {
            crate::output::say(&format!(
                "note: {clash}; give the rule a header or a path of its own, or write `disturbs: traffic`"
            ));
        }
    }

    /// Refuses names that nobody has, all at once; `names` are those that the environment will have for a scenario.
    pub(crate) fn check_names(&self, names: impl Fn(&Scenario) -> Names) -> Result<(), Failure> {
        let attempt = "run the scenarios here: they name what is not there";
        let mut failure = Failure::new(ExitCode::Usage, attempt);
        let mut is_wrong = false;
        for scenario in &self.scenarios {
            let known = &names(scenario);
            match (
                self.files.get(&scenario.name),
                self.texts.get(&scenario.name),
            ) {
                (Some(file), Some(text)) => {
                    let file = file.display().to_string();
                    if let Err(problems) = file::parse_for(&file, text, known) {
                        is_wrong = true;
                        failure = failure.in_file(text, problems);
                    }
                }
                _ => {
                    for mistake in file::check_for(scenario, known) {
                        is_wrong = true;
                        failure = failure.item(format!("{}: {mistake}", scenario.name));
                    }
                }
            }
        }
        if is_wrong {
            let hint = "a name that nobody is meant to have is written `$unknown:NAME`";
            return Err(failure.hint(hint));
        }
        Ok(())
    }
}

/// Selects from the built-in scenarios and the files that are named.
///
/// A name selects a scenario or a whole suite; without names all built-in scenarios are meant. Filters and tags
/// narrow that down: a scenario must match one of the filters without `!`, none of those with it, and carry one
/// of the tags.
pub(crate) fn select(
    built_in: Vec<Scenario>,
    arguments: &SelectionArguments,
) -> Result<Selection, Failure> {
    select_among(built_in, arguments, &|_| None)
}

/// As [`select`]; `known` are the names that the environment will have for a scenario, so that every mistake of a file is told at once.
pub(crate) fn select_among(
    built_in: Vec<Scenario>,
    arguments: &SelectionArguments,
    known: &dyn Fn(&Scenario) -> Option<Names>,
) -> Result<Selection, Failure> {
    let (files, names): (Vec<&str>, Vec<&str>) = arguments
        .names
        .iter()
        .map(String::as_str)
        .partition(|name| is_file(name));
    let names: Vec<&str> = names
        .iter()
        .map(|name| name.trim_end_matches('/'))
        .collect();
    let mut failures = Failures::default();
    let from_files = failures.keep(read_all(&files, known));
    failures.keep(check_names(&names, &built_in));
    let filters = failures.keep(Filters::parse(&arguments.filter));
    let shipped: BTreeSet<String> = built_in.iter().map(|s| s.name.clone()).collect();
    let all_built_in = arguments.names.is_empty();
    let mut selection = Selection {
        scenarios: built_in
            .into_iter()
            .filter(|s| all_built_in || names.iter().any(|name| is_named(s, name)))
            .collect(),
        ..Selection::default()
    };
    for (file, text, scenario) in from_files.into_iter().flatten() {
        // Reports and artefacts go by the name.
        if selection.scenarios.iter().any(|s| s.name == scenario.name) {
            failures.keep::<()>(Err(named_twice(file, &scenario.name)));
            continue;
        }
        if shipped.contains(&scenario.name) {
            selection.replaced.push(scenario.name.clone());
        }
        selection
            .files
            .insert(scenario.name.clone(), PathBuf::from(file));
        selection.texts.insert(scenario.name.clone(), text);
        selection.scenarios.push(scenario);
    }

    let filters = failures.end(filters)?;
    selection.scenarios.retain(|scenario| {
        filters.accept(&scenario.name)
            && (arguments.tag.is_empty()
                || scenario
                    .tags
                    .iter()
                    .any(|tag| arguments.tag.iter().any(|t| t.0 == *tag)))
    });
    if selection.scenarios.is_empty() {
        return Err(Failure::new(ExitCode::NothingSelected, "select anything")
            .reason("no scenario matches the names, filters and tags together")
            .hint("`meshproof list` shows what there is"));
    }
    match arguments.shard {
        Some(shard) => selection.part(shard),
        None => Ok(selection),
    }
}

fn named_twice(file: &str, name: &str) -> Failure {
    Failure::new(ExitCode::Usage, format!("select `{file}`"))
        .reason(format!(
            "another scenario of this selection has the name {name}"
        ))
        .hint("give the scenario in the file a name of its own")
}

fn is_file(name: &str) -> bool {
    matches!(
        Path::new(name).extension().and_then(|e| e.to_str()),
        Some("yaml" | "yml")
    )
}

fn is_named(scenario: &Scenario, name: &str) -> bool {
    scenario.name == name || suite(&scenario.name) == name
}

/// The suite of a scenario: what stands before the slash.
pub(crate) fn suite(name: &str) -> &str {
    name.split_once('/').map_or(name, |(suite, _)| suite)
}

fn check_names(names: &[&str], built_in: &[Scenario]) -> Result<(), Failure> {
    let unknown: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| !built_in.iter().any(|s| is_named(s, name)))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::new(
        ExitCode::Usage,
        match unknown.len() {
            1 => format!("find the scenario `{}`", unknown[0]),
            n => format!("find {n} scenarios"),
        },
    );
    for name in unknown {
        let meant = nearest(name, built_in);
        failure = failure.item(match meant {
            Some(meant) => {
                format!("there is no scenario or suite `{name}`; did you mean `{meant}`?")
            }
            None => format!("there is no scenario or suite `{name}`"),
        });
    }
    Err(failure.hint("`meshproof list` shows what there is; a file must end in .yaml or .yml"))
}

/// What was selected, as it is said on the command line.
pub(crate) fn words(arguments: &SelectionArguments) -> Vec<String> {
    let filters = arguments
        .filter
        .iter()
        .map(|filter| format!("--filter={filter}"));
    let tags = arguments.tag.iter().filter_map(|tag| {
        let value = tag.to_possible_value()?;
        Some(format!("--tag={}", value.get_name()))
    });
    let shard = arguments.shard.map(|shard| format!("--shard={shard}"));
    arguments
        .names
        .iter()
        .cloned()
        .chain(filters)
        .chain(tags)
        .chain(shard)
        .collect()
}

/// The scenario or suite that was probably meant: compared as a whole, and without the suite for those who leave
/// it out.
fn nearest<'a>(name: &str, built_in: &'a [Scenario]) -> Option<&'a str> {
    let full = built_in.iter().map(|s| s.name.as_str());
    let suites = built_in.iter().map(|s| suite(&s.name));
    if !name.contains('/')
        && let Some(scenario) = built_in
            .iter()
            .find(|s| s.name.rsplit('/').next() == Some(name))
    {
        return Some(&scenario.name);
    }
    if let Some(meant) = suggestion(name, full.chain(suites)) {
        return Some(meant);
    }
    let short = |scenario: &'a Scenario| scenario.name.rsplit('/').next().unwrap_or_default();
    let meant = suggestion(name, built_in.iter().map(short))?;
    let scenario = built_in.iter().find(|scenario| short(scenario) == meant)?;
    Some(&scenario.name)
}

/// Reads scenario files, or says what is wrong with any of them.
fn read_all<'a>(
    files: &[&'a str],
    names: &dyn Fn(&Scenario) -> Option<Names>,
) -> Result<Vec<(&'a str, String, Scenario)>, Failure> {
    let mut scenarios = Vec::new();
    let mut broken = Vec::new();
    for file in files {
        match read(file, names) {
            Ok((text, scenario)) => scenarios.push((*file, text, scenario)),
            Err(mistake) => broken.push((*file, mistake)),
        }
    }
    let attempt = match broken.as_slice() {
        [] => return Ok(scenarios),
        [(file, _)] => format!("read the scenario {file}"),
        several => format!("read {} scenarios", several.len()),
    };
    let is_one = broken.len() == 1;
    let failure =
        broken
            .into_iter()
            .fold(
                Failure::new(ExitCode::Usage, attempt),
                |failure, broken| match broken {
                    (_, Mistake::Content(text, problems)) => failure.in_file(&text, problems),
                    (_, Mistake::File(error)) if is_one => failure.reason(why_unread(&error)).hint(
                        "`meshproof explain --yaml NAME > FILE` writes a scenario to start from",
                    ),
                    (file, Mistake::File(error)) => {
                        failure.item(format!("{file}: {}", why_unread(&error)))
                    }
                },
            );
    Err(failure)
}

/// Why a file gives no scenario.
enum Mistake {
    File(std::io::Error),
    Content(String, Problems),
}

/// Why a file could not be read, without the number that the kernel gives it.
fn why_unread(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

fn read(
    file: &str,
    names: &dyn Fn(&Scenario) -> Option<Names>,
) -> Result<(String, Scenario), Mistake> {
    let text = std::fs::read_to_string(file).map_err(Mistake::File)?;
    match file::read(file, &text, names) {
        Ok(scenario) => Ok((text, scenario)),
        Err(problems) => Err(Mistake::Content(text, problems)),
    }
}

#[derive(Debug, Default)]
struct Filters {
    wanted: Vec<Regex>,
    unwanted: Vec<Regex>,
}

impl Filters {
    fn parse(texts: &[String]) -> Result<Self, Failure> {
        let mut filters = Self::default();
        let mut failures = Failures::default();
        for text in texts {
            let (list, pattern) = match text.strip_prefix('!') {
                Some(pattern) => (&mut filters.unwanted, pattern),
                None => (&mut filters.wanted, text.as_str()),
            };
            let regex = Regex::new(pattern).map_err(|error| {
                Failure::new(ExitCode::Usage, format!("read the filter `{text}`")).because(&error)
            });
            list.extend(failures.keep(regex));
        }
        failures.end(Some(filters))
    }

    fn accept(&self, name: &str) -> bool {
        (self.wanted.is_empty() || self.wanted.iter().any(|r| r.is_match(name)))
            && !self.unwanted.iter().any(|r| r.is_match(name))
    }
}

#[cfg(test)]
mod tests;
