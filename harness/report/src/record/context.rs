//! What the events of a run do not tell, and where the runner stores what it keeps.

use harness_model::history::file;
use harness_model::scenario::Scenario;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What stands before the seed at the end of a rerun line.
const SEED: &str = " --seed ";

/// What the events of a run do not tell: who the scenarios are and how they were asked for.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The selected scenarios, by name.
    pub scenarios: BTreeMap<String, Scenario>,
    /// What the user selected, as on the command line; empty for everything. A rerun line of the whole run repeats it.
    pub selection: Vec<String>,
    /// Options of this run that decide what was tested, to be repeated in a rerun line.
    pub options: Vec<String>,
    /// Scenarios that came from files: their rerun line names the file.
    pub files: BTreeMap<String, PathBuf>,
    /// The folder in which the run was started: rerun lines tell scenario files from the root on, so that they work in any.
    pub folder: Option<PathBuf>,
    /// The artefact folder.
    pub artifacts: Option<PathBuf>,
    /// Diagnostics of scenarios that did not pass are collected.
    pub collects: bool,
    /// The program as the user can call it.
    pub program: String,
    /// Which part of the selection this run is.
    pub shard: Option<Shard>,
    /// Scenarios whose failure is known and excused for now, by name.
    pub quarantine: BTreeMap<String, Quarantined>,
    /// The shipped scenarios, whether they were selected or not: what conformance is measured against.
    pub shipped: BTreeMap<String, Scenario>,
    /// Rerun lines that are known already, as in a report that is put together from others; by name.
    pub reruns: BTreeMap<String, String>,
}

/// One of several parts of a selection, each run by another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shard {
    /// Which one, from 1.
    pub number: u32,
    /// Of how many.
    pub of: u32,
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// Why a scenario's failure is excused, by whom and until when. It is run and shown all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quarantined {
    /// Who sees to it.
    pub owner: String,
    /// What is wrong.
    pub reason: String,
    /// The last day, `2026-12-31`.
    pub until: String,
}

impl std::fmt::Display for Quarantined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} until {}", self.reason, self.owner, self.until)
    }
}

impl Context {
    /// The exact command that runs one scenario again as it was run.
    #[must_use]
    pub fn rerun(&self, scenario: &str, seed: u64) -> String {
        if let Some(known) = self.reruns.get(scenario) {
            return known.clone();
        }
        let name = match self.files.get(scenario) {
            Some(file) => self.absolute(file),
            None => scenario.to_owned(),
        };
        let mut line = format!("{} run {}", self.program, quote(&name));
        for option in &self.options {
            line.push(' ');
            line.push_str(&quote(option));
        }
        line.push_str(&format!("{SEED}{seed}"));
        line
    }

    /// A word of the selection as a rerun line has it: one that is a scenario file is found in any folder.
    pub(crate) fn selected(&self, word: &str) -> String {
        match self.files.values().find(|file| file.as_os_str() == word) {
            Some(file) => self.absolute(file),
            None => word.to_owned(),
        }
    }

    /// As it is where nobody knows in which folder the run was started.
    fn absolute(&self, file: &Path) -> String {
        let folder = self.folder.as_deref().unwrap_or(Path::new(""));
        folder.join(file).display().to_string()
    }

    /// Where the history of one scenario is stored.
    #[must_use]
    pub fn history(&self, scenario: &str, repetition: u32) -> Option<PathBuf> {
        let folder = self.artifacts.as_ref()?;
        Some(folder.join(history_path(scenario, repetition)))
    }
}

/// Where the runner stores the history of one scenario below the artefact folder.
#[must_use]
pub fn history_path(scenario: &str, repetition: u32) -> PathBuf {
    file::folder(scenario, repetition).join(file::NAME)
}

/// Where the runner collects the diagnostics of one scenario below the artefact folder.
#[must_use]
pub fn diagnostics_path(scenario: &str, repetition: u32) -> PathBuf {
    file::folder(scenario, repetition).join("diagnostics")
}

/// The seed in a rerun line of one scenario: in a report that is put together from others, that of the run it was in.
#[must_use]
pub fn seed_of(rerun: &str) -> Option<u64> {
    let (_, seed) = rerun.rsplit_once(SEED)?;
    seed.parse().ok()
}

/// Quotes a word for a POSIX shell where it needs it.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Name of a scenario, with the repetition from the second on.
#[must_use]
pub fn title(name: &str, repetition: u32) -> String {
    if repetition > 1 {
        format!("{name}#{repetition}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rerun_line_can_be_pasted_into_a_shell() {
        let context = Context {
            program: "meshproof".to_owned(),
            options: vec!["--mesh".to_owned(), "my mesh.yaml".to_owned()],
            ..Context::default()
        };
        let line = context.rerun("delivery-scope/ip", 7);
        assert_eq!(
            line,
            "meshproof run delivery-scope/ip --mesh 'my mesh.yaml' --seed 7"
        );
        assert_eq!(seed_of(&line), Some(7));
        assert_eq!(seed_of("meshproof run"), None);
    }

    #[test]
    fn a_rerun_line_of_a_file_works_in_any_folder() {
        let file = |file: &str| BTreeMap::from([("mine/first".to_owned(), PathBuf::from(file))]);
        let mut context = Context {
            program: "meshproof".to_owned(),
            files: file("own/first.yaml"),
            ..Context::default()
        };
        let unknown = "meshproof run own/first.yaml --seed 7";
        assert_eq!(context.rerun("mine/first", 7), unknown);
        context.folder = Some("/home/me".into());
        let line = "meshproof run /home/me/own/first.yaml --seed 7";
        assert_eq!(context.rerun("mine/first", 7), line);
        let selected = context.selected("own/first.yaml");
        assert_eq!(selected, "/home/me/own/first.yaml");
        assert_eq!(context.selected("routing"), "routing");
        context.files = file("/elsewhere/first.yaml");
        let line = "meshproof run /elsewhere/first.yaml --seed 7";
        assert_eq!(context.rerun("mine/first", 7), line);
    }

    #[test]
    fn history_files_of_repetitions_do_not_collide() {
        assert_eq!(
            history_path("a/b-c", 1),
            PathBuf::from("scenarios/a/b-c/history.jsonl")
        );
        assert_eq!(
            history_path("a/b", 2),
            PathBuf::from("scenarios/a/b/repetition-2/history.jsonl")
        );
    }
}
