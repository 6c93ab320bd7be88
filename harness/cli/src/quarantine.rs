//! The quarantine list: scenarios whose failure is known, with an owner, a reason and a last day.
//!
//! Invariant: an entry excuses a verdict and changes none; it ends by itself.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output;
use harness_model::document::{self, Part, Problems, suggestion};
use harness_report::record::Quarantined;
use jiff::civil::Date;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct List {
    quarantine: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    scenario: String,
    owner: String,
    reason: String,
    until: String,
}

/// The entries that are in force, and those that are over.
#[derive(Debug, Default)]
struct Quarantine {
    in_force: BTreeMap<String, Quarantined>,
    over: BTreeMap<String, Quarantined>,
}

/// Reads the list that is named, and says which entries have ended. `own` are the names of scenarios from files.
pub(crate) fn read(
    file: Option<&Path>,
    own: &BTreeMap<String, PathBuf>,
) -> Result<BTreeMap<String, Quarantined>, Failure> {
    let Some(file) = file else {
        return Ok(BTreeMap::new());
    };
    let name = file.display().to_string();
    let failed = || Failure::new(ExitCode::Usage, format!("read the quarantine list {name}"));
    let text = std::fs::read_to_string(file).map_err(|error| failed().because(&error))?;
    let shipped = suites::all();
    let known: BTreeSet<&str> = shipped
        .iter()
        .map(|scenario| &scenario.name)
        .chain(own.keys())
        .map(String::as_str)
        .collect();
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let quarantine =
        parse(&name, &text, &known, today).map_err(|problems| failed().in_file(&text, problems))?;
    for (scenario, why) in &quarantine.over {
        output::say(&format!(
            "note: the quarantine of {scenario} is over ({why}): it counts again"
        ));
    }
    Ok(quarantine.in_force)
}

fn parse(
    file: &str,
    text: &str,
    known: &BTreeSet<&str>,
    today: Date,
) -> Result<Quarantine, Problems> {
    let document = document::parse::<List>(file, text)?;
    let mut problems = Vec::new();
    let mut quarantine = Quarantine::default();
    let mut seen = BTreeSet::new();
    for (index, entry) in document.value.quarantine.iter().enumerate() {
        let mut mistake = |key, message: String, hint: Option<String>| {
            let path = [Part::Key("quarantine"), Part::Index(index), Part::Key(key)];
            problems.push(document.problem(&path, message, hint));
        };
        let name = entry.scenario.as_str();
        if !known.contains(name) {
            let meant = suggestion(name, known.iter().copied());
            let hint = meant.map(|meant| format!("did you mean `{meant}`?"));
            mistake("scenario", format!("there is no scenario `{name}`"), hint);
        } else if !seen.insert(name) {
            mistake("scenario", format!("`{name}` is there twice"), None);
        }
        for (key, value, hint) in [
            ("owner", &entry.owner, "say who sees to it"),
            (
                "reason",
                &entry.reason,
                "say what is wrong, best with a link",
            ),
        ] {
            if value.trim().is_empty() {
                mistake(key, format!("there is no {key}"), Some(hint.to_owned()));
            }
        }
        let why = Quarantined {
            owner: entry.owner.clone(),
            reason: entry.reason.clone(),
            until: entry.until.clone(),
        };
        match entry.until.parse::<Date>() {
            Ok(until) if until < today => drop(quarantine.over.insert(name.to_owned(), why)),
            Ok(_) => drop(quarantine.in_force.insert(name.to_owned(), why)),
            Err(_) => mistake(
                "until",
                format!("`{}` is not a day", entry.until),
                Some("write the last day as YYYY-MM-DD".to_owned()),
            ),
        }
    }
    if problems.is_empty() {
        return Ok(quarantine);
    }
    problems.sort();
    Err(Problems {
        file: file.to_owned(),
        problems,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Date = jiff::civil::date(2026, 11, 26);

    fn parsed(text: &str) -> Result<Quarantine, Problems> {
        let known = ["routing/own-zone", "tls/scope"].into();
        parse("q.yaml", text, &known, TODAY)
    }

    #[test]
    fn an_entry_excuses_until_the_end_of_its_last_day() {
        let of = |until: &str| {
            let entry = format!(
                "quarantine:\n- {{scenario: tls/scope, owner: me, reason: slow, until: {until}}}\n"
            );
            let quarantine = parsed(&entry).expect("it is right");
            (quarantine.in_force.len(), quarantine.over.len())
        };
        assert_eq!(of("2026-11-26"), (1, 0));
        assert_eq!(of("2026-11-25"), (0, 1));
        assert_eq!(of("2030-01-01"), (1, 0));
    }

    #[test]
    fn the_example_excuses_a_shipped_scenario() {
        let text = include_str!("../../../ci/examples/quarantine.yaml");
        let shipped = suites::all();
        let known = shipped.iter().map(|scenario| scenario.name.as_str());
        let quarantine = parse("quarantine.yaml", text, &known.collect(), TODAY);
        let quarantine = quarantine.unwrap_or_else(|problems| panic!("{problems}"));
        assert!(quarantine.over.is_empty());
        let excused: Vec<(&str, String)> = quarantine
            .in_force
            .iter()
            .map(|(name, why)| (name.as_str(), why.to_string()))
            .collect();
        let why =
            "retries across zones are being rewritten, MESH-1234, team-traffic until 2026-12-31";
        assert_eq!(excused, [("routing/unreachable-zone", why.to_owned())]);
    }

    #[test]
    fn every_mistake_is_told_at_its_place() {
        let text = "quarantine:
- {scenario: routing/own-zon, owner: me, reason: x, until: 2026-12-01}
- {scenario: tls/scope, owner: ' ', reason: '', until: soon}
- {scenario: tls/scope, owner: me, reason: x, until: 2026-12-01}
";
        let told = parsed(text).expect_err("it is wrong").to_string();
        assert_eq!(
            told.lines().collect::<Vec<_>>(),
            [
                "q.yaml:2:14: there is no scenario `routing/own-zon` (hint: did you mean `routing/own-zone`?)",
                "q.yaml:3:32: there is no owner (hint: say who sees to it)",
                "q.yaml:3:45: there is no reason (hint: say what is wrong, best with a link)",
                "q.yaml:3:56: `soon` is not a day (hint: write the last day as YYYY-MM-DD)",
                "q.yaml:4:14: `tls/scope` is there twice",
            ]
        );
    }
}
