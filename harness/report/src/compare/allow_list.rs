//! Which scenario may be skipped on which kind of cluster, and why.

use harness_model::document::{self, Part, Problems, suggestion};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What may differ between two runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowList {
    /// Each skip that may be; no two of one scenario on one kind of cluster.
    pub skips: Vec<AllowedSkip>,
}

/// A scenario that may be skipped on a kind of cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedSkip {
    /// Its name.
    pub scenario: String,
    /// Where.
    pub cluster: ClusterKind,
    /// What this kind of cluster is known not to have; never empty.
    pub why: String,
    /// Its line in the file, from 1.
    #[serde(skip_deserializing)]
    pub line: u64,
}

/// A kind of cluster, in the words of `--cluster`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterKind {
    /// Embedded in namespaces of this machine.
    Local,
    /// Made by kind.
    Kind,
    /// One that somebody else runs.
    Kubeconfig,
}

impl ClusterKind {
    /// As in files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Kind => "kind",
            Self::Kubeconfig => "kubeconfig",
        }
    }
}

impl AllowList {
    /// Reads a list; `known` are the names of the scenarios there are.
    ///
    /// # Errors
    ///
    /// All mistakes of the file: of its form, names that do not exist, missing reasons, entries that are there twice.
    pub fn parse(file: &str, text: &str, known: &BTreeSet<&str>) -> Result<Self, Problems> {
        let document = document::parse::<Self>(file, text)?;
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, entry) in document.value.skips.iter().enumerate() {
            let mut mistake = |key, message, hint| {
                let path = [Part::Key("skips"), Part::Index(index), Part::Key(key)];
                problems.push(document.problem(&path, message, hint));
            };
            let name = entry.scenario.as_str();
            if !known.contains(name) {
                let meant = suggestion(name, known.iter().copied());
                mistake(
                    "scenario",
                    format!("there is no scenario `{name}`"),
                    meant.map(|meant| format!("did you mean `{meant}`?")),
                );
            } else if !seen.insert((name, entry.cluster)) {
                let kind = entry.cluster.word();
                mistake(
                    "scenario",
                    format!("`{name}` on {kind} is there twice"),
                    None,
                );
            }
            if entry.why.trim().is_empty() {
                let hint = "say what this kind of cluster does not have";
                mistake(
                    "why",
                    "there is no reason".to_owned(),
                    Some(hint.to_owned()),
                );
            }
        }
        if !problems.is_empty() {
            problems.sort();
            return Err(Problems {
                file: file.to_owned(),
                problems,
            });
        }
        let Self { mut skips } = document.value;
        for (index, entry) in skips.iter_mut().enumerate() {
            let path = [Part::Key("skips"), Part::Index(index)];
            entry.line = document.tree.nearest(&path).line;
        }
        Ok(Self { skips })
    }

    /// The entry for a scenario on a kind of cluster.
    pub(super) fn entry(&self, scenario: &str, cluster: &str) -> Option<&AllowedSkip> {
        self.skips
            .iter()
            .find(|entry| entry.scenario == scenario && entry.cluster.word() == cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AllowList, Vec<(u64, String)>> {
        let known = BTreeSet::from(["routing/own-zone", "routing/path-rule"]);
        AllowList::parse("parity.yaml", text, &known).map_err(|all| {
            all.problems
                .into_iter()
                .map(|problem| (problem.line, problem.message))
                .collect()
        })
    }

    #[test]
    fn entries_know_their_lines() {
        let list = parse(
            "# why\nskips:\n- {scenario: routing/own-zone, cluster: kind, why: no zones}\n- scenario: routing/own-zone\n  cluster: kubeconfig\n  why: none either\n",
        )
        .expect("the list is right");
        let lines: Vec<u64> = list.skips.iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [3, 4]);
        assert!(list.entry("routing/own-zone", "kind").is_some());
        assert!(list.entry("routing/own-zone", "local").is_none());
        assert_eq!(parse("skips: []\n"), Ok(AllowList { skips: Vec::new() }));
    }

    #[test]
    fn every_mistake_has_its_line() {
        let of_form = parse("skips:\n- {scenario: routing/own-zone, cluster: kin, why: a}\n- {scenario: routing/own-zone, cluster: kind}\n")
            .expect_err("the list is wrong");
        assert_eq!(
            of_form.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            [2, 3],
            "{of_form:?}"
        );
        let of_meaning = parse("skips:\n- {scenario: routing/own-zone, cluster: kind, why: ' '}\n- {scenario: routing/own-zone, cluster: kind, why: a}\n- {scenario: routing/own, cluster: kind, why: a}\n")
            .expect_err("the list is wrong");
        assert_eq!(
            of_meaning,
            [
                (2, "there is no reason".to_owned()),
                (3, "`routing/own-zone` on kind is there twice".to_owned()),
                (4, "there is no scenario `routing/own`".to_owned()),
            ]
        );
    }
}
