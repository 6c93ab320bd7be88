//! What the page says of the run as a whole, above the scenarios.

use crate::record::RunRecord;
use crate::terminal::seconds;
use harness_model::run_event::Summary;

/// How many scenarios ended in one way, as a part of the bar.
pub(super) struct Share {
    pub(super) outcome: &'static str,
    pub(super) words: String,
    pub(super) count: usize,
    pub(super) percent_start: String,
    pub(super) percent: String,
}

pub(super) fn headline(sum: &Summary, record: &RunRecord) -> (String, &'static str) {
    let judged = sum.passed + sum.failed + sum.inconclusive;
    let of = |n: usize| match n {
        1 => format!("1 of {judged} scenarios"),
        n if n == judged => format!("All {judged} scenarios"),
        n => format!("{n} of {judged} scenarios"),
    };
    if sum.environment_error.is_some() && judged > 0 {
        (
            "The environment was lost before the end".to_owned(),
            "failed",
        )
    } else if sum.environment_error.is_some() {
        ("The environment could not be prepared".to_owned(), "failed")
    } else if sum.failed > 0 {
        (format!("{} failed", of(sum.failed)), "failed")
    } else if sum.interrupted.is_some() || record.summary.is_none() {
        ("The run was interrupted".to_owned(), "inconclusive")
    } else if sum.inconclusive > 0 {
        (
            format!("{} could not be decided", of(sum.inconclusive)),
            "inconclusive",
        )
    } else if sum.passed == 0 {
        ("No scenario was run".to_owned(), "inconclusive")
    } else if sum.passed == 1 {
        ("The scenario passed".to_owned(), "passed")
    } else {
        (format!("All {} scenarios passed", sum.passed), "passed")
    }
}

pub(super) fn notes(sum: &Summary) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(error) = &sum.environment_error {
        notes.push(error.clone());
    }
    notes.extend(sum.unknown_names.iter().cloned());
    if let Some(signal) = sum.interrupted {
        notes.push(format!(
            "Interrupted by signal {signal}: what follows is what was seen until then."
        ));
    }
    for place in &sum.exposed_keys {
        notes.push(format!("A private key was found in {place}"));
    }
    for what in &sum.not_searched {
        notes.push(format!("Not searched for private keys: {what}"));
    }
    for left in &sum.left_behind {
        notes.push(format!("Left behind: {left}"));
    }
    notes
}

pub(super) fn shares(sum: &Summary) -> Vec<Share> {
    let counts = [
        ("failed", sum.failed),
        ("inconclusive", sum.inconclusive),
        ("passed", sum.passed),
        ("skipped", sum.skipped),
        ("not-run", sum.not_run),
    ];
    let total: usize = counts.iter().map(|(_, n)| n).sum();
    let percent = |n: usize| format!("{:.3}", n as f64 * 100.0 / total.max(1) as f64);
    let mut before = 0;
    counts
        .into_iter()
        .map(|(outcome, count)| {
            let share = Share {
                outcome,
                words: outcome.replace('-', " "),
                count,
                percent_start: percent(before),
                percent: percent(count),
            };
            before += count;
            share
        })
        .collect()
}

pub(super) fn facts(record: &RunRecord, sum: &Summary, exit_code: u8) -> Vec<(String, String)> {
    let mut facts = vec![("started".to_owned(), moment(&record.at))];
    if sum.millis > 0 {
        facts.push(("took".to_owned(), seconds(sum.millis)));
    }
    if let Some(millis) = record.ready_millis {
        facts.push(("ready after".to_owned(), seconds(millis)));
    }
    if let Some(seed) = record.seed_of_all() {
        facts.push(("seed".to_owned(), seed.to_string()));
    }
    if let Some(shard) = record.context.shard {
        facts.push(("shard".to_owned(), shard.to_string()));
    }
    for (key, value) in &record.environment {
        facts.push((key.clone(), value.clone()));
    }
    if !record.sidecars.is_empty() {
        facts.push(("sidecars".to_owned(), record.sidecars.len().to_string()));
    }
    facts.push(("exit code".to_owned(), exit_code.to_string()));
    facts
}

/// `2026-11-23T15:18:04.030272871Z` → `2026-11-23 15:18:04 UTC`; other forms stay as they are.
fn moment(at: &str) -> String {
    match (at.get(..10), at.get(11..19), at.ends_with('Z')) {
        (Some(day), Some(time), true) => format!("{day} {time} UTC"),
        _ => at.to_owned(),
    }
}

pub(super) fn rerun_everything(record: &RunRecord) -> String {
    let mut line = format!("{} run", record.context.program);
    let context = &record.context;
    let selection = context.selection.iter().map(|word| context.selected(word));
    for option in selection.chain(context.options.iter().cloned()) {
        line.push(' ');
        line.push_str(&crate::record::quote(&option));
    }
    if let Some(seed) = record.seed_of_all() {
        line.push_str(&format!(" --seed {seed}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SEEDS;

    #[test]
    fn runs_with_different_seeds_have_none_for_all_of_them() {
        let mut record = crate::fixture::record();
        let with_seed = rerun_everything(&record);
        let without = with_seed.strip_suffix(" --seed 42").expect("it has one");
        let facts = &mut record.environment;
        facts.insert(SEEDS.to_owned(), "42, 7".to_owned());
        assert_eq!(rerun_everything(&record), without);
        let told = super::facts(&record, &Summary::default(), 0);
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert!(
            names.contains(&SEEDS) && !names.contains(&"seed"),
            "{names:?}"
        );
    }
}
