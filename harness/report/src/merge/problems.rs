//! What keeps runs from being parts of one: something is there twice or not at all, or they were of different things.

use super::Part;
use crate::record::{Shard, title};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that keeps runs from being parts of one.
pub(super) fn of(parts: &[Part]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for part in parts {
        for form in &part.document.scenarios {
            let title = title(&form.name, form.repetition);
            if let Some(other) = seen.insert(title.clone(), &part.name) {
                problems.push(format!("{other} and {} both have {title}", part.name));
            }
        }
    }
    problems.extend(shards(parts));
    if parts.iter().any(|part| part.document.shard.is_some()) {
        problems.extend(of_one_run(parts));
    }
    problems
}

/// Shards are parts of one selection, run against one mesh.
fn of_one_run(parts: &[Part]) -> Vec<String> {
    let [first, others @ ..] = parts else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    for other in others {
        for ((what, one), (_, another)) in subject(first).into_iter().zip(subject(other)) {
            if one != another {
                let (first, other) = (&first.name, &other.name);
                problems.push(format!("{first} has {what} {one}, and {other} {another}"));
            }
        }
    }
    problems
}

/// What was run against what, in words. Files may be elsewhere on another machine.
fn subject(part: &Part) -> [(&'static str, String); 3] {
    let quoted = |words: Vec<String>| format!("`{}`", words.join(" "));
    let file_name = |word: &String| match word.split_once('=') {
        Some((name, file)) => format!("{name}={}", last_of(file)),
        None => last_of(word).to_owned(),
    };
    let decides = |fact: &str| {
        let whole = ["mesh", "meshproof", "mutant", "topology"];
        let named = ["mesh.", "candidate.", "before."];
        whole.contains(&fact) || named.iter().any(|begin| fact.starts_with(begin))
    };
    let document = &part.document;
    let facts = document.environment.iter();
    let facts = facts.filter(|(fact, _)| decides(fact));
    [
        ("the selection", quoted(document.selection.clone())),
        (
            "replaced",
            quoted(document.replaced.iter().map(file_name).collect()),
        ),
        (
            "the environment",
            quoted(
                facts
                    .map(|(fact, value)| format!("{fact}={value}"))
                    .collect(),
            ),
        ),
    ]
}

fn last_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Each shard must be there once.
fn shards(parts: &[Part]) -> Vec<String> {
    let told: Vec<(&str, Option<Shard>)> = parts
        .iter()
        .map(|part| (part.name.as_str(), part.document.shard))
        .collect();
    let counts: BTreeSet<Option<u32>> = told
        .iter()
        .map(|(_, shard)| shard.map(|shard| shard.of))
        .collect();
    if counts.len() > 1 {
        return told
            .into_iter()
            .map(|(name, shard)| match shard {
                Some(shard) => format!("{name} is shard {shard}"),
                None => format!("{name} is no shard"),
            })
            .collect();
    }
    let Some(Some(of)) = counts.into_iter().next() else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    for number in 1..=of {
        let names: Vec<&str> = told
            .iter()
            .filter(|(_, shard)| shard.is_some_and(|shard| shard.number == number))
            .map(|(name, _)| *name)
            .collect();
        match names.as_slice() {
            [] => problems.push(format!("shard {number}/{of} is missing")),
            [_] => {}
            several => problems.push(format!(
                "{} are all shard {number}/{of}",
                several.join(" and ")
            )),
        }
    }
    problems
}
