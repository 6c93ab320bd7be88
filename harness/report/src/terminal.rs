//! Lines for people: one for each scenario as it ends, the failures again at the end, and the sum last.
//!
//! The lines are the same with and without a terminal; only the colour differs, and what writes them decides
//! that (anstream).

use crate::deviation::{Deviation, Setting, deviations, kinds};
use crate::letters::needed;
use crate::record::{Context, RunRecord, title};
use crate::{ReportError, Reporter, whereabouts};
use anstyle::{AnsiColor, Style};
use harness_model::run_event::{RunEvent, Summary};
use harness_model::verdict::{Finding, Judgement, Verdict};
use std::collections::BTreeSet;
use std::io::Write;

const PASS: Style = AnsiColor::Green.on_default().bold();
const FAIL: Style = AnsiColor::Red.on_default().bold();
const UNDECIDED: Style = AnsiColor::Yellow.on_default().bold();
const SKIP: Style = AnsiColor::Cyan.on_default();
const QUIET: Style = Style::new().dimmed();

/// How many deviations of one expectation are shown before the rest is counted.
const SHOWN_DEVIATIONS: usize = 8;

/// How many waits in vain are shown before the rest is counted.
const SHOWN_WAITS: usize = 5;

/// How many of these that are alike are shown before the sidecars of the rest are named.
const SHOWN_ALIKE: usize = 3;

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
                let excused = match self.record.context.quarantine.get(scenario) {
                    Some(_) if judgement.verdict == Verdict::Passed => {
                        " (in quarantine, and passed)".to_owned()
                    }
                    Some(why) => format!(" (in quarantine: {why})"),
                    None => String::new(),
                };
                writeln!(
                    self.out,
                    "{style}{word}{style:#} {name} {QUIET}[{}]{QUIET:#}{excused}",
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
        for what in &summary.not_searched {
            writeln!(out, "\n{FAIL}NOT SEARCHED{FAIL:#} for private keys: {what}")?;
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
        if let Some(shard) = record.context.shard {
            writeln!(
                out,
                "shard     {shard}: put the shards together with `meshproof report merge`"
            )?;
        }
        if let Some(signal) = summary.interrupted {
            writeln!(out, "{FAIL}interrupted by signal {signal}{FAIL:#}")?;
        }
        let (failed, inconclusive) = record.excused();
        if failed + inconclusive > 0 {
            let excused = [(failed, "failed"), (inconclusive, "inconclusive")]
                .into_iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, word)| format!("{count} {word}"))
                .collect::<Vec<_>>();
            writeln!(
                out,
                "in quarantine and not counted against the run: {}",
                excused.join(", ")
            )?;
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
    busy_machine(out, scenario)?;
    if let Some(history) = record.context.history(&scenario.name, scenario.repetition) {
        writeln!(out, "  history   {}", history.display())?;
    }
    writeln!(
        out,
        "  rerun     {}",
        record.context.rerun(&scenario.name, record.seed)
    )
}

/// What did not pass in a scenario, and how to run it again, without colours: for documents.
pub(crate) fn what_failed(
    record: &RunRecord,
    scenario: &crate::record::ScenarioRecord,
    judgement: &Judgement,
) -> String {
    let mut out = anstream::StripStream::new(Vec::new());
    let sidecars = record.sidecar_names();
    let setting = record.setting(&scenario.name, &sidecars);
    let rerun = record.context.rerun(&scenario.name, record.seed);
    let written = findings(&mut out, judgement, setting)
        .and_then(|()| busy_machine(&mut out, scenario))
        .and_then(|()| writeln!(out, "  rerun     {rerun}"));
    match written {
        Ok(()) => String::from_utf8_lossy(&out.into_inner()).into_owned(),
        Err(error) => error.to_string(),
    }
}

/// How busy the machine was, where that is known and can have played a part.
fn busy_machine(
    out: &mut impl Write,
    scenario: &crate::record::ScenarioRecord,
) -> std::io::Result<()> {
    match scenario.busy_machine() {
        Some(load) => writeln!(out, "  machine   {load}"),
        None => Ok(()),
    }
}

/// The findings of a judgement that did not pass, indented: what failed first. Beside a failure what is only undecided
/// often follows from it, so that it gets one line. Below them stands what was waited for in vain.
///
/// # Errors
///
/// When `out` does not take them.
pub fn findings(
    out: &mut impl Write,
    judgement: &Judgement,
    setting: Setting<'_>,
) -> std::io::Result<()> {
    let of = |verdict| move |finding: &&Finding| finding.verdict == verdict;
    for finding in judgement.findings.iter().filter(of(judgement.verdict)) {
        if judgement.verdict == Verdict::Passed {
            continue;
        }
        let (style, _) = verdict_word(finding.verdict);
        writeln!(
            out,
            "  {style}{}{style:#} {}, {}",
            about(finding),
            match finding.verdict {
                Verdict::Failed => "failed",
                _ => "inconclusive",
            },
            observations(finding)
        )?;
        let deviations = deviations(&finding.details);
        told(out, &deviations, setting)?;
        for words in needed(&deviations) {
            writeln!(out, "    needed    {words}")?;
        }
    }
    if judgement.verdict == Verdict::Failed {
        for finding in judgement.findings.iter().filter(of(Verdict::Inconclusive)) {
            consequence(out, finding)?;
        }
    }
    in_vain(out, judgement)
}

/// What steps waited for in vain: that may be why.
fn in_vain(out: &mut impl Write, judgement: &Judgement) -> std::io::Result<()> {
    let waits = &judgement.waited_in_vain;
    for wait in waits.iter().take(SHOWN_WAITS) {
        writeln!(out, "  in vain   {wait}")?;
    }
    match waits.len().saturating_sub(SHOWN_WAITS) {
        0 => Ok(()),
        more => writeln!(out, "    and {more} more"),
    }
}

/// Deviations kind by kind: the first few of each one by one.
fn told(
    out: &mut impl Write,
    deviations: &[Deviation],
    setting: Setting<'_>,
) -> std::io::Result<()> {
    let (mut left, mut more) = (SHOWN_DEVIATIONS, 0);
    for kind in kinds(deviations) {
        let (shown, others) = kind.split_at(kind.len().min(SHOWN_ALIKE).min(left));
        left -= shown.len();
        for deviation in shown {
            let place = deviation.place(setting);
            if !place.is_empty() {
                writeln!(out, "    at        {place}")?;
            }
            writeln!(out, "    expected  {}", deviation.expected)?;
            writeln!(out, "    observed  {}", deviation.observed)?;
        }
        if shown.is_empty() {
            more += others.len();
        } else if !others.is_empty() {
            let names = others.iter().flat_map(|other| other.sidecars.clone());
            let names: BTreeSet<String> = names.collect();
            let names: Vec<String> = names.into_iter().collect();
            let who = whereabouts::in_short(&names, setting.sidecars);
            writeln!(out, "    and {} more like this: {who}", names.len())?;
        }
    }
    if more > 0 {
        writeln!(out, "    and {more} more")?;
    }
    Ok(())
}

/// An expectation that could not be decided beside one that failed.
fn consequence(out: &mut impl Write, finding: &Finding) -> std::io::Result<()> {
    let deviations = deviations(&finding.details);
    let Some(first) = deviations.first() else {
        return Ok(());
    };
    let more = match deviations.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    writeln!(
        out,
        "  {UNDECIDED}{}{UNDECIDED:#} inconclusive besides: wanted {}, had {}{more}",
        about(finding),
        first.expected,
        first.observed
    )?;
    for words in needed(&deviations[..1]) {
        writeln!(out, "    needed    {words}")?;
    }
    Ok(())
}

/// The expectation that a finding is about, as a scenario file has it; the checker where that is not told.
#[must_use]
pub fn about(finding: &Finding) -> &str {
    finding.expectation.as_deref().unwrap_or(&finding.checker)
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
mod tests;
