//! Lines for people: one for each scenario as it ends, the failures again at the end, and the sum last.
//!
//! The lines are the same with and without a terminal; only the colour differs, and what writes them decides
//! that (anstream).

use crate::deviation::{Setting, deviations};
use crate::record::{Context, RunRecord, title};
use crate::{ReportError, Reporter};
use anstyle::{AnsiColor, Style};
use harness_model::run_event::{RunEvent, Summary};
use harness_model::verdict::{Finding, Judgement, Verdict};
use std::io::Write;

const PASS: Style = AnsiColor::Green.on_default().bold();
const FAIL: Style = AnsiColor::Red.on_default().bold();
const UNDECIDED: Style = AnsiColor::Yellow.on_default().bold();
const SKIP: Style = AnsiColor::Cyan.on_default();
const QUIET: Style = Style::new().dimmed();

/// How many deviations of one expectation are shown before the rest is counted.
const SHOWN_DEVIATIONS: usize = 8;

/// Writes lines for people.
pub struct Terminal<W> {
    out: W,
    record: RunRecord,
    quiet: bool,
}

impl<W: Write> Terminal<W> {
    /// Writes to `out`, which removes the colour codes where they are not wanted. Quiet leaves out the lines of
    /// scenarios that passed or were skipped.
    pub fn new(out: W, context: Context, quiet: bool) -> Self {
        Self {
            out,
            record: RunRecord::new(context),
            quiet,
        }
    }

    fn line(&mut self, event: &RunEvent) -> std::io::Result<()> {
        match event {
            RunEvent::ScenarioFinished {
                scenario,
                repetition,
                judgement,
                millis,
                ..
            } => {
                if self.quiet && judgement.verdict == Verdict::Passed {
                    return Ok(());
                }
                let (style, word) = verdict_word(judgement.verdict);
                let name = title(scenario, *repetition);
                writeln!(
                    self.out,
                    "{style}{word}{style:#} {name} {QUIET}[{}]{QUIET:#}",
                    seconds(*millis)
                )?;
            }
            RunEvent::ScenarioSkipped {
                scenario, reason, ..
            } => {
                if !self.quiet {
                    writeln!(self.out, "{SKIP}SKIP{SKIP:#} {scenario} ({reason})")?;
                }
            }
            RunEvent::RunFinished { .. } => {
                let sum = self.record.sum();
                self.end(&sum)?;
            }
            _ => return Ok(()),
        }
        self.out.flush()
    }

    fn end(&mut self, summary: &Summary) -> std::io::Result<()> {
        let Self { out, record, .. } = self;
        for wanted in [Verdict::Inconclusive, Verdict::Failed] {
            for scenario in record
                .scenarios
                .iter()
                .filter(|s| s.verdict() == Some(wanted))
            {
                if let crate::record::Outcome::Judged { judgement, .. } = &scenario.outcome {
                    writeln!(out)?;
                    failure(out, record, scenario, judgement)?;
                }
            }
        }
        if let Some(error) = &summary.environment_error {
            let begun = summary.passed + summary.failed + summary.inconclusive > 0;
            let what = if begun {
                "the environment was lost: failed to"
            } else {
                "the environment could not be prepared: failed to"
            };
            writeln!(out, "\n{FAIL}NOT RUN{FAIL:#} {what} {}", in_one_line(error))?;
        }
        for name in &summary.unknown_names {
            writeln!(out, "\n{FAIL}NOT RUN{FAIL:#} {name}")?;
        }
        for place in &summary.exposed_keys {
            writeln!(out, "\n{FAIL}PRIVATE KEY{FAIL:#} {place}")?;
        }
        for left in &summary.left_behind {
            writeln!(out, "\n{FAIL}LEFT BEHIND{FAIL:#} {left}")?;
        }
        writeln!(out)?;
        if let Some(folder) = &record.context.artifacts {
            writeln!(out, "report    {}", folder.join("report.html").display())?;
        }
        writeln!(
            out,
            "seed      {}{}",
            record.seed,
            if summary.millis > 0 {
                format!(", {} in all", seconds(summary.millis))
            } else {
                String::new()
            }
        )?;
        if let Some(signal) = summary.interrupted {
            writeln!(out, "{FAIL}interrupted by signal {signal}{FAIL:#}")?;
        }
        writeln!(out, "{}", sum_line(summary))
    }
}

impl<W: Write> Reporter for Terminal<W> {
    fn on(&mut self, event: &RunEvent) -> Result<(), ReportError> {
        // Histories are not shown, and a second reduction of them would be wasted.
        if matches!(event, RunEvent::ScenarioEvent { .. }) {
            return Ok(());
        }
        self.record.on(event)?;
        self.line(event).map_err(|source| ReportError::Write {
            what: "the report",
            source,
        })
    }
}

/// `N passed, N failed, N inconclusive, N skipped`, and `N not run` where the run was broken off.
#[must_use]
pub fn sum_line(summary: &Summary) -> String {
    let mut line = format!(
        "{} passed, {} failed, {} inconclusive, {} skipped",
        summary.passed, summary.failed, summary.inconclusive, summary.skipped
    );
    if summary.not_run > 0 {
        line.push_str(&format!(", {} not run", summary.not_run));
    }
    line
}

/// An error with its causes; the hint is told by whoever renders errors.
fn in_one_line(error: &str) -> String {
    let causes: Vec<&str> = error
        .lines()
        .take_while(|line| !line.starts_with("hint: "))
        .map(|line| line.trim().trim_start_matches("caused by: "))
        .collect();
    causes.join(": ")
}

/// Milliseconds as `1.52s`.
#[must_use]
pub fn seconds(millis: u64) -> String {
    format!("{}.{:02}s", millis / 1000, millis % 1000 / 10)
}

/// The word of a verdict, as it stands at the beginning of a line, and its colour.
#[must_use]
pub const fn verdict_word(verdict: Verdict) -> (Style, &'static str) {
    match verdict {
        Verdict::Passed => (PASS, "PASS"),
        Verdict::Inconclusive => (UNDECIDED, "INCONCLUSIVE"),
        Verdict::Failed => (FAIL, "FAIL"),
    }
}

fn failure(
    out: &mut impl Write,
    record: &RunRecord,
    scenario: &crate::record::ScenarioRecord,
    judgement: &Judgement,
) -> std::io::Result<()> {
    let (style, word) = verdict_word(judgement.verdict);
    writeln!(out, "{style}{word}{style:#} {}", scenario.title())?;
    writeln!(out, "  {}", scenario.claim)?;
    let sidecars = record.sidecar_names();
    findings(out, judgement, record.setting(&scenario.name, &sidecars))?;
    if let Some(history) = record.context.history(&scenario.name, scenario.repetition) {
        writeln!(out, "  history   {}", history.display())?;
    }
    writeln!(
        out,
        "  rerun     {}",
        record.context.rerun(&scenario.name, record.seed)
    )
}

/// The findings of a judgement that did not pass, indented.
///
/// # Errors
///
/// When `out` does not take them.
pub fn findings(
    out: &mut impl Write,
    judgement: &Judgement,
    setting: Setting<'_>,
) -> std::io::Result<()> {
    for finding in judgement
        .findings
        .iter()
        .filter(|f| f.verdict != Verdict::Passed)
    {
        let (style, _) = verdict_word(finding.verdict);
        writeln!(
            out,
            "  {style}{}{style:#} {}, {}",
            finding.checker,
            match finding.verdict {
                Verdict::Failed => "failed",
                _ => "inconclusive",
            },
            observations(finding)
        )?;
        let deviations = deviations(&finding.details);
        for deviation in deviations.iter().take(SHOWN_DEVIATIONS) {
            let place = deviation.place(setting);
            if !place.is_empty() {
                writeln!(out, "    at        {place}")?;
            }
            writeln!(out, "    expected  {}", deviation.expected)?;
            writeln!(out, "    observed  {}", deviation.observed)?;
        }
        let more = deviations.len().saturating_sub(SHOWN_DEVIATIONS);
        if more > 0 {
            writeln!(out, "    and {more} more")?;
        }
    }
    Ok(())
}

/// `54 observations`.
#[must_use]
pub fn observations(finding: &Finding) -> String {
    match finding.observations {
        1 => "1 observation".to_owned(),
        n => format!("{n} observations"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(quiet: bool) -> String {
        let mut out = Vec::new();
        let mut terminal = Terminal::new(&mut out, crate::fixture::context(), quiet);
        for event in crate::fixture::events() {
            terminal.on(&event).expect("a vector takes everything");
        }
        let coloured = String::from_utf8(out).expect("lines are UTF-8");
        // Colour codes are `ESC [ ... m`.
        coloured
            .split('\u{1b}')
            .enumerate()
            .map(|(index, part)| match (index, part.split_once('m')) {
                (0, _) | (_, None) => part,
                (_, Some((_, rest))) => rest,
            })
            .collect()
    }

    #[test]
    fn every_outcome_has_its_line_and_failures_come_again_at_the_end() {
        insta::assert_snapshot!(plain(false), @"
        PASS delivery-scope/everybody [0.40s]
        FAIL delivery-scope/data-center [1.52s]
        PASS routing/both-sidecars [0.38s]
        INCONCLUSIVE resilience/zone-outage [4.60s]
        SKIP routing/own-zone (needs at least three zones, the environment has two)

        INCONCLUSIVE resilience/zone-outage
          traffic fails over while a zone is cut off
          unchanged inconclusive, 0 observations
            at        checkout@zone-b; step 2 (cut zone 2 off for 3s)
            expected  at least one reading while the fault lasted
            observed  none: probe did not answer in 5s
          history   artifacts/2026-11-23t14-05-00z-ab12/scenarios/resilience/zone-outage/history.jsonl
          rerun     meshproof run resilience/zone-outage --topology three-zones --seed 42

        FAIL delivery-scope/data-center
          a configuration scoped to one data center reaches its sidecars and no other
          confined failed, 54 observations
            at        inventory@zone-c; step 2 (apply `payload`)
            expected  no toggle banner, no rule reroute
            observed  toggle banner = off since 0.790 s on control-plane-1, still at the end
          history   artifacts/2026-11-23t14-05-00z-ab12/scenarios/delivery-scope/data-center/history.jsonl
          rerun     meshproof run delivery-scope/data-center --topology three-zones --seed 42

        report    artifacts/2026-11-23t14-05-00z-ab12/report.html
        seed      42, 14.87s in all
        2 passed, 1 failed, 1 inconclusive, 1 skipped
        ");
    }

    #[test]
    fn what_kept_the_run_from_beginning_is_told_with_its_cause() {
        let mut out = Vec::new();
        let mut terminal = Terminal::new(&mut out, Context::default(), true);
        let summary = Summary {
            environment_error: Some("bring up the cluster\n  caused by: start etcd\n  caused by: no space\nhint: tidy up".to_owned()),
            not_run: 3,
            ..Summary::default()
        };
        terminal
            .on(&RunEvent::RunFinished { summary })
            .expect("a vector takes everything");
        let text = String::from_utf8(out).expect("lines are UTF-8");
        assert!(text.contains("the environment could not be prepared: failed to bring up the cluster: start etcd: no space\n"), "{text}");
        assert!(text.ends_with("0 skipped, 3 not run\n"), "{text}");
    }

    #[test]
    fn quiet_leaves_out_what_needs_no_attention() {
        let lines = plain(true);
        assert!(
            !lines.contains("PASS ") && !lines.contains("SKIP "),
            "{lines}"
        );
        assert!(lines.contains("FAIL delivery-scope/data-center"));
        assert!(lines.ends_with("2 passed, 1 failed, 1 inconclusive, 1 skipped\n"));
    }
}
