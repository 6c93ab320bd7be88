//! `meshproof run`: the main job.

mod dry;
mod keyless;

use crate::arguments::{Common, OutputForm, RunArguments, SelectionArguments, When};
use crate::artifacts::{self, Artifacts};
use crate::commands::{cluster, write_json};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Failures};
use crate::output::{self, Out};
use crate::progress::{HEARTBEAT, Progress};
use crate::{ci, logging, plan, quarantine, rerun, selection, signals, tools};
use harness_model::run_event::{RunEvent, Summary};
use harness_model::scenario::Tag;
use harness_report::Reporter;
use harness_report::jsonl::JsonLines;
use harness_report::record::{Context, Outcome, RunRecord, history_path, quote};
use harness_report::terminal::Terminal;
use harness_runner::{Interrupt, RunPlan};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::path::Path;
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinError, JoinHandle};

/// Runs.
pub(crate) fn run(
    arguments: &RunArguments,
    common: &Common,
    out: &mut Out,
    started: Instant,
) -> Result<ExitCode, Failure> {
    let execution = &arguments.execution;
    let environment = &execution.environment;
    // Everything that is wrong with the arguments is told at once.
    let mut failures = Failures::default();
    let upgrade_from = &execution.upgrade_from;
    let stand = plan::Stand::of(execution);
    let found = plan::Found::of(environment, upgrade_from, stand, &mut failures);
    let rerun = failures.keep(rerun::rerun(arguments));
    let again = rerun.as_ref().and_then(Option::as_ref);
    let selection = again.map_or(&execution.selection, |again| &again.selection);
    let selected = match &rerun {
        Some(_) => failures.keep(plan::select(selection, &found)),
        None => None,
    };
    let quarantine = match &selected {
        Some(selected) => failures.keep(quarantine::read(
            arguments.quarantine.as_deref(),
            &selected.files,
        )),
        None => None,
    };
    if let Some(selected) = &selected {
        failures.keep(plan::check_upgrade(upgrade_from, &selected.scenarios));
    }
    failures.keep(plan::check_mutant(arguments));
    if let Some(mesh) = found.mesh() {
        let without = match arguments.mutant {
            Some(_) => BTreeSet::new(),
            None => harness_runner::mutant_images(mesh),
        };
        failures.keep(plan::check_images(environment, &without));
    }
    let made = found.whole().zip(selected.zip(quarantine));
    let (checked, (selected, quarantine)) = failures.end(made)?;
    selected.tell();
    let seed = execution
        .seed
        .or_else(|| again.map(|again| again.told_seed(&selected.scenarios)))
        .unwrap_or_else(|| artifacts::random() % 1_000_000_000);
    if arguments.dry_run {
        return dry::dry_run(arguments, common, &selected.scenarios, &checked, seed, out);
    }
    if checked.ground.needs_tools(environment) {
        tools::ensure(environment.no_install)?;
    }
    let artifacts = Artifacts::create(&execution.artifacts, seed)?;
    logging::start(common, Some(&artifacts.folder))
        .map_err(|error| Failure::new(ExitCode::Environment, "write the log").because(&error))?;
    let context = Context {
        scenarios: selected
            .scenarios
            .iter()
            .map(|s| (s.name.clone(), s.clone()))
            .collect(),
        selection: whole(arguments, selection),
        options: plan::options(arguments),
        files: selected.files,
        artifacts: Some(artifacts.folder.clone()),
        collects: execution.collect != When::Never,
        program: program(),
        shard: selection.shard,
        quarantine,
        shipped: suites::all()
            .into_iter()
            .map(|scenario| (scenario.name.clone(), scenario))
            .collect(),
        folder: std::env::current_dir().ok(),
        ..Context::default()
    };
    let gate: Vec<String> = selected
        .scenarios
        .iter()
        .filter(|s| s.tags.contains(&Tag::Gate))
        .map(|s| s.name.clone())
        .collect();
    let mut plan = RunPlan {
        shuffle: arguments.shuffle,
        repeat: arguments.repeat,
        fail_fast: arguments.fail_fast,
        excused: context.quarantine.keys().cloned().collect(),
        mutant: arguments.mutant.clone(),
        ..plan::plan(
            execution,
            checked,
            selected.scenarios,
            seed,
            &artifacts,
            started,
        )
    };
    plan.images.seeded_bugs = plan.mutant.is_some();
    let mut readers = Readers::new(common, out, context, &artifacts.folder)?;
    drive(&mut readers, plan, |plan, events, interrupt| async move {
        harness_runner::run(plan, events, interrupt).await;
    })?;
    let exit = readers.end(&gate, started);
    if execution.keep != When::Never && execution.reuse.is_none() {
        cluster::tell_if_kept(&artifacts.cluster())?;
    }
    let colour = output::colour_on_stderr(common.color);
    let mut exit = artifacts.write_documents(&readers.record, exit, colour);
    if let Some(worse) = keyless::search(&artifacts.folder, &mut readers.record, exit) {
        exit = artifacts.write_documents(&readers.record, worse, colour);
    }
    ci::tell(&readers.record);
    if common.output == OutputForm::Json {
        write_json(
            out,
            &harness_report::json::document(&readers.record, exit.number()),
        )?;
    }
    artifacts.told(out, exit)
}

/// What was run and how often, for the rerun line of all of it. A line of one scenario repeats neither.
fn whole(arguments: &RunArguments, selection: &SelectionArguments) -> Vec<String> {
    let repeat = (arguments.repeat > 1).then(|| format!("--repeat={}", arguments.repeat));
    let shuffle = arguments.shuffle.then(|| "--shuffle".to_owned());
    let words = selection::words(selection).into_iter();
    words.chain(repeat).chain(shuffle).collect()
}

/// How the user called this program, for rerun lines.
fn program() -> String {
    let first = std::env::args().next().unwrap_or_default();
    match Path::new(&first).file_name() {
        // `cargo run` calls it by a path that nobody would type, and tells that it did.
        Some(name) if first.contains("/target/") && std::env::var_os("CARGO").is_some() => {
            let name = name.to_string_lossy();
            format!(
                "cargo run --release -- {}",
                if name == "meshproof" { "" } else { &name }
            )
            .trim_end()
            .to_owned()
        }
        _ => quote(&first),
    }
}

/// Everybody who reads the events of a run.
pub(crate) struct Readers {
    pub(crate) record: RunRecord,
    live: Option<Box<dyn Reporter>>,
    progress: Progress,
    history: Option<File>,
    folder: std::path::PathBuf,
}

impl Readers {
    /// Readers as the arguments want them.
    pub(crate) fn new(
        common: &Common,
        out: &Out,
        context: Context,
        folder: &Path,
    ) -> Result<Self, Failure> {
        let live: Option<Box<dyn Reporter>> = match common.output {
            OutputForm::Text => Some(Box::new(Terminal::new(
                out.clone(),
                context.clone(),
                common.quiet,
            ))),
            OutputForm::Jsonl => Some(Box::new(JsonLines::new(out.clone()))),
            OutputForm::Json => None,
        };
        let history = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("history.jsonl"))
            .map_err(|error| {
                Failure::new(ExitCode::Environment, "write history.jsonl").because(&error)
            })?;
        Ok(Self {
            record: RunRecord::new(context),
            live,
            progress: Progress::new(common),
            history: Some(history),
            folder: folder.to_owned(),
        })
    }

    /// Readers that show only progress.
    pub(crate) fn silent(common: &Common, context: Context, folder: &Path) -> Self {
        Self {
            record: RunRecord::new(context),
            live: None,
            progress: Progress::new(common),
            history: None,
            folder: folder.to_owned(),
        }
    }

    /// Nothing more comes.
    pub(crate) fn finish(&self) {
        self.progress.finish();
    }

    fn on(&mut self, event: &RunEvent) {
        log(event);
        self.progress.on(event);
        if let RunEvent::ScenarioFinished {
            scenario,
            repetition,
            ..
        } = event
        {
            self.append_history(scenario, *repetition);
        }
        let recorded = self.record.on(event);
        let shown = match &mut self.live {
            Some(live) => live.on(event),
            None => Ok(()),
        };
        for error in [recorded, shown].into_iter().filter_map(Result::err) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "an event was not reported"
            );
        }
    }

    /// Adds a scenario's history to the file that holds all of them.
    fn append_history(&mut self, scenario: &str, repetition: u32) {
        let path = self.folder.join(history_path(scenario, repetition));
        let Some(file) = &mut self.history else {
            return;
        };
        let copied = File::open(&path).and_then(|mut one| std::io::copy(&mut one, file));
        if let Err(error) = copied {
            tracing::warn!(path = %path.display(), %error, "a history was not added to history.jsonl");
        }
    }

    /// The run is over: its exit code. A run without a sum was ended by force, and one is made up for it.
    pub(crate) fn end(&mut self, gate: &[String], started: Instant) -> ExitCode {
        if self.record.summary.is_none() {
            let mut summary = self.record.sum();
            summary.millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.on(&RunEvent::RunFinished { summary });
        }
        self.progress.finish();
        let partial = self.record.scenarios.iter().any(|scenario| {
            matches!(scenario.outcome, Outcome::Skipped { .. }) && gate.contains(&scenario.name)
        });
        let summary = self.record.sum();
        let exit = ExitCode::of_run(&without_excused(&self.record), partial);
        for name in &summary.unknown_names {
            output::say(&format!("error: failed to run a scenario here: {name}"));
        }
        if let Some(error) = summary
            .environment_error
            .as_ref()
            .filter(|_| summary.interrupted.is_none())
        {
            output::say(&format!("error: failed to {error}"));
        }
        if partial && exit == ExitCode::Inconclusive && summary.inconclusive == 0 {
            output::say("partial: scenarios of the gate were skipped, which is not green");
        }
        exit
    }
}

/// The sum of a run as far as it counts: failures in quarantine do not count against it.
pub(crate) fn without_excused(record: &RunRecord) -> Summary {
    let mut summary = record.sum();
    let (failed, inconclusive) = record.excused();
    summary.failed = summary.failed.saturating_sub(failed);
    summary.inconclusive = summary.inconclusive.saturating_sub(inconclusive);
    summary
}

/// The course of a run in the log, without the readings.
fn log(event: &RunEvent) {
    match event {
        RunEvent::ScenarioEvent { .. } => {}
        RunEvent::ScenarioFinished {
            scenario,
            repetition,
            judgement,
            millis,
            ..
        } => {
            tracing::info!(scenario, repetition, verdict = ?judgement.verdict, millis, "judged");
        }
        other => match serde_json::to_string(other) {
            Ok(text) => tracing::debug!(event = text, "event"),
            Err(error) => tracing::warn!(%error, "an event has no JSON form"),
        },
    }
}

/// Runs `work` and feeds the readers until it is over or the user wants to leave at once.
pub(crate) fn drive<P, F, W>(readers: &mut Readers, plan: P, work: W) -> Result<(), Failure>
where
    W: FnOnce(P, harness_runner::Events, Interrupt) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(ExitCode::Environment, "start worker threads").because(&error)
        })?;
    let outcome = runtime.block_on(async {
        let interrupt = signals::listen()?;
        let (sender, events) = unbounded_channel();
        let mut task = tokio::spawn(work(plan, sender, interrupt.clone()));
        match follow(readers, events, &interrupt, &mut task).await {
            Some(ended) => ended.map_err(|error| {
                Failure::new(ExitCode::Internal, "finish the run")
                    .because(&error)
                    .hint("this is a defect of meshproof; please report it with the text above")
            }),
            None => {
                let mut summary = readers.record.sum();
                summary.interrupted = interrupt.signal();
                readers.on(&RunEvent::RunFinished { summary });
                Ok(())
            }
        }
    });
    // Blocking work of an abandoned run must not hold the process up.
    runtime.shutdown_background();
    outcome
}

/// Feeds the readers until the work is over, and says how it ended; none when the user left at once.
///
/// The end of the work counts and not the end of the events: blocking work that was abandoned may still hold the
/// other end of the channel.
async fn follow(
    readers: &mut Readers,
    mut events: UnboundedReceiver<RunEvent>,
    interrupt: &Interrupt,
    task: &mut JoinHandle<()>,
) -> Option<Result<(), JoinError>> {
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    heartbeat.tick().await;
    let at_once = interrupt.at_once();
    tokio::pin!(at_once);
    let ended = loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => {
                readers.on(&event);
                heartbeat.reset();
            }
            ended = &mut *task => break Some(ended),
            () = &mut at_once => break tokio::time::timeout(signals::AT_ONCE, &mut *task).await.ok(),
            _ = heartbeat.tick() => readers.progress.heartbeat(),
        }
    };
    // What is on its way still counts.
    while let Ok(event) = events.try_recv() {
        readers.on(&event);
    }
    ended
}
