//! `summary.md`: a run on one page of Markdown, as GitHub shows it below a job (`GITHUB_STEP_SUMMARY`).

use crate::html::headline;
use crate::record::{Outcome, RunRecord};
use crate::terminal::{self, seconds};
use crate::usage;
use harness_model::run_event::Summary;
use harness_model::usage::Usage;
use harness_model::verdict::Verdict;

/// GitHub refuses a summary above 1024 KiB.
const MOST_BYTES: usize = 900 * 1024;

/// Renders the page; what does not fit is counted.
#[must_use]
pub fn render(record: &RunRecord) -> String {
    let sum = record.sum();
    let mut page = format!("## {}\n\n", headline(record));
    let facts: Vec<String> = record
        .environment
        .iter()
        .map(|(key, value)| format!("{key} `{value}`"))
        .collect();
    let seed = match record.seed_of_all() {
        Some(seed) => format!("Seed `{seed}`, "),
        None => String::new(),
    };
    page.push_str(&format!(
        "{}. {seed}{} in all. {}\n",
        terminal::sum_line(&sum),
        seconds(sum.millis),
        facts.join(", ")
    ));
    if let Some(shard) = record.context.shard {
        page.push_str(&format!("\nShard {shard} of the selection.\n"));
    }
    for text in of_the_whole(&sum) {
        page.push_str(&format!("\n{}\n", code(&text)));
    }
    let mut left_out = 0;
    for wanted in [Verdict::Failed, Verdict::Inconclusive] {
        for scenario in record
            .scenarios
            .iter()
            .filter(|s| s.verdict() == Some(wanted))
        {
            let Outcome::Judged {
                judgement, millis, ..
            } = &scenario.outcome
            else {
                continue;
            };
            let word = crate::json::Ending::from(wanted).word();
            let excused = match record.context.quarantine.get(&scenario.name) {
                Some(why) => format!("\nIn quarantine: {why}.\n"),
                None => String::new(),
            };
            let part = format!(
                "\n<details open><summary><b>{}</b> {word} [{}]: {}</summary>\n{excused}\n{}\n</details>\n",
                escaped(&scenario.title()),
                seconds(*millis),
                escaped(&scenario.claim),
                code(&terminal::what_failed(record, scenario, judgement)),
            );
            if page.len() + part.len() > MOST_BYTES {
                left_out += 1;
            } else {
                page.push_str(&part);
            }
        }
    }
    if left_out > 0 {
        page.push_str(&format!("\n{left_out} more are in report.html.\n"));
    }
    let skipped: Vec<String> = record
        .scenarios
        .iter()
        .filter_map(|scenario| match &scenario.outcome {
            Outcome::Skipped { reason } | Outcome::NotRun { reason } => Some(format!(
                "- {}: {}\n",
                escaped(&scenario.title()),
                escaped(reason)
            )),
            _ => None,
        })
        .collect();
    let skipped = skipped.concat();
    if !skipped.is_empty() && page.len() + skipped.len() <= MOST_BYTES {
        page.push_str(&format!("\nNot run:\n\n{skipped}"));
    }
    let used = record.usage.as_ref().map(used).unwrap_or_default();
    if page.len() + used.len() <= MOST_BYTES {
        page.push_str(&used);
    }
    page
}

/// What was wrong with the run as a whole, in the terminal's words.
fn of_the_whole(sum: &Summary) -> impl Iterator<Item = String> {
    let keys = sum.exposed_keys.iter();
    let keys = keys.map(|place| format!("PRIVATE KEY {place}"));
    let unsearched = sum.not_searched.iter();
    let unsearched = unsearched.map(|what| format!("NOT SEARCHED for private keys: {what}"));
    let left = sum.left_behind.iter();
    let left = left.map(|left| format!("LEFT BEHIND {left}"));
    let error = sum.environment_error.iter().chain(&sum.unknown_names);
    error.cloned().chain(keys).chain(unsearched).chain(left)
}

/// What the mesh has used, a line for each of its parts.
fn used(usage: &Usage) -> String {
    let (all, parts) = usage::table(usage);
    let mut text = String::new();
    if !parts.is_empty() {
        text.push_str(&format!(
            "\nWhat the mesh used in {}:\n\n| | containers | processor time | cores | memory at the end | most of one |\n|---|--:|--:|--:|--:|--:|\n",
            usage::looked(usage)
        ));
    }
    let sum = parts.iter().map(|part| &part.sum);
    for line in sum.chain((parts.len() > 1).then_some(&all)) {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            escaped(&line.name),
            line.containers,
            line.cpu,
            line.cores,
            line.memory,
            line.peak
        ));
    }
    for note in usage::notes(usage) {
        text.push_str(&format!("\n{}\n", escaped(&note)));
    }
    text
}

/// A block that nothing in the text ends.
fn code(text: &str) -> String {
    let longest = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}", text.trim_end())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_what_did_not_pass_and_how_to_run_it_again() {
        insta::assert_snapshot!(render(&crate::fixture::record()), @r#"
        ## 1 of 4 scenarios failed

        2 passed, 1 failed, 1 inconclusive, 1 skipped. Seed `42`, 14.87s in all. cluster `local`, kubernetes `v1.36.3`, mesh `reference`, topology `three-zones`

        <details open><summary><b>delivery-scope/data-center</b> failed [1.52s]: a configuration scoped to one data center reaches its sidecars and no other</summary>

        ```text
          then[1] confined failed, 54 observations
            at        inventory@zone-c; step 1 (apply `payload`)
            expected  no toggle banner, no rule reroute
            observed  toggle banner = off since 0.790 s on control-plane-1, still at the end
          rerun     meshproof run delivery-scope/data-center --topology three-zones --seed 42
        ```
        </details>

        <details open><summary><b>resilience/zone-outage</b> inconclusive [4.60s]: traffic fails over while a zone is cut off</summary>

        ```text
          then[1] unchanged inconclusive, 0 observations
            at        checkout@zone-b; step 1 (cut zone 2 off for 3s)
            expected  at least one reading while the fault lasted
            observed  none: probe did not answer in 5s
          in vain   step 2 (wait until every fault has ended and what it hit is back), until 10.500 s: every sidecar to have its control plane again; missing: 1 of 9 sidecars (checkout@zone-b)
          machine   something waited for a processor 97 % of the time, for a disk 4 %, load 31.2 on 2 processors
          rerun     meshproof run resilience/zone-outage --topology three-zones --seed 42
        ```
        </details>

        Not run:

        - routing/own-zone: needs at least three zones, the environment has two

        What the mesh used in 10.00s:

        | | containers | processor time | cores | memory at the end | most of one |
        |---|--:|--:|--:|--:|--:|
        | control-plane | 2 | 2.8 s | 0.28 | 24.0 MiB | 30.0 MiB |
        | sidecar | 3 | 2.0 s | 0.20 | 150.0 MiB | 61.0 MiB |
        | probe | 2 | 0.4 s | 0.04 | 6.5 MiB | 7.0 MiB |
        | everything | 7 | 5.2 s | 0.53 | 180.5 MiB | 61.0 MiB |
        "#);
    }

    #[test]
    fn what_was_not_searched_for_keys_is_told_as_such() {
        let mut record = crate::fixture::record();
        let summary = record.summary.get_or_insert_default();
        summary.interrupted = Some(2);
        summary.not_searched = vec!["the logs: the run was interrupted".to_owned()];
        summary.left_behind = vec!["a folder".to_owned()];
        let page = render(&record);
        let told = "NOT SEARCHED for private keys: the logs: the run was interrupted\n";
        assert!(page.contains(told), "{page}");
        assert!(page.contains("LEFT BEHIND a folder\n"), "{page}");
    }

    #[test]
    fn nothing_ends_a_block_early_and_the_page_stays_below_the_limit() {
        assert_eq!(code("a ```` b"), "`````text\na ```` b\n`````");
        let mut record = crate::fixture::record();
        let failed = record
            .scenarios
            .iter()
            .find(|s| s.name == crate::fixture::FAILING)
            .expect("it is there")
            .clone();
        for repetition in 2..4000 {
            let mut again = failed.clone();
            again.repetition = repetition;
            record.scenarios.push(again);
        }
        let page = render(&record);
        assert!(page.len() <= MOST_BYTES + 200, "{}", page.len());
        assert!(page.contains("more are in report.html"));
    }
}
