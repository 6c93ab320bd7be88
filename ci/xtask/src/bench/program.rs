//! `meshproof run` as a user starts it, with its events read as they come.
//!
//! Invariant: a run that does not end within its bound is killed, and the kernel ends everything it has made.

use super::machine;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a run may take before it counts as hung.
const BOUND: Duration = Duration::from_secs(600);

/// Selects what runs before each merge.
pub(super) const GATE: [&str; 2] = ["--tag", "gate"];

/// A `meshproof` and where its runs leave what they make.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    images: PathBuf,
    folder: PathBuf,
}

/// One event of a run.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// When it was read, from the start of the process.
    pub(super) at: Duration,
    /// The event.
    pub(super) event: Value,
}

/// One run from beginning to end.
#[derive(Debug)]
pub(super) struct Run {
    /// Its events, in order.
    pub(super) events: Vec<Seen>,
    /// From the start of the process to its end.
    pub(super) whole: Duration,
    /// Its exit code; none when a signal ended it.
    pub(super) code: Option<i32>,
    /// Processor time of it and of everything in its cluster.
    pub(super) processor_time: Duration,
    /// The share of the machine in use meanwhile, by anybody.
    pub(super) machine_used: f64,
    /// Its artefacts.
    pub(super) artifacts: PathBuf,
}

impl Program {
    /// A program whose runs leave their artefacts in `folder`, which is emptied.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub(super) fn new(path: PathBuf, images: PathBuf, folder: PathBuf) -> anyhow::Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("empty {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self {
            path,
            images,
            folder,
        })
    }

    /// Where the program is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where its runs leave what they make, and benches what they need.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs what `arguments` select. `name` names the folder of its artefacts.
    ///
    /// # Errors
    ///
    /// When it cannot be started, says something that is not an event, or does not end.
    pub(super) fn run<A: AsRef<OsStr>>(&self, name: &str, arguments: &[A]) -> anyhow::Result<Run> {
        self.run_as(Command::new(&self.path), name, arguments)
    }

    /// The same by a command that starts the program in a surrounding of its own.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub(super) fn run_as<A: AsRef<OsStr>>(
        &self,
        mut command: Command,
        name: &str,
        arguments: &[A],
    ) -> anyhow::Result<Run> {
        let artifacts = self.folder.join(name);
        std::fs::create_dir_all(&artifacts)
            .with_context(|| format!("make {}", artifacts.display()))?;
        let errors = artifacts.join("stderr.txt");
        let log = File::create(&errors).with_context(|| format!("write {}", errors.display()))?;
        let (time_before, used_before) = (machine::children_time(), machine::Used::now());
        let started = Instant::now();
        let mut child = command
            .current_dir(&self.folder)
            .arg("run")
            .args(arguments)
            .args(["--output", "jsonl", "--no-install", "--images"])
            .arg(&self.images)
            .arg("--artifacts")
            .arg(&artifacts)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", self.path.display()))?;
        let followed = follow(&mut child, started);
        if followed.is_err() {
            // The kernel ends what it has started.
            child.kill().context("kill it")?;
        }
        let status = child.wait().context("wait for its end")?;
        let whole = started.elapsed();
        let events =
            followed.with_context(|| format!("follow a run (see {})", errors.display()))?;
        Ok(Run {
            events,
            whole,
            code: status.code(),
            processor_time: machine::children_time().saturating_sub(time_before),
            machine_used: machine::Used::now().share_since(used_before),
            artifacts,
        })
    }
}

/// Reads events until the output ends.
fn follow(child: &mut Child, started: Instant) -> anyhow::Result<Vec<Seen>> {
    let output = child.stdout.take().context("it has no output")?;
    let (sender, lines) = channel();
    // A thread, since reading cannot be given up and the bound must hold. It ends with the pipe.
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if sender.send((started.elapsed(), line)).is_err() {
                break;
            }
        }
    });
    collect(&lines, started)
}

fn collect(
    lines: &Receiver<(Duration, std::io::Result<String>)>,
    started: Instant,
) -> anyhow::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(BOUND.saturating_sub(started.elapsed())) {
            Ok((at, line)) => {
                let line = line.context("read its output")?;
                let event = serde_json::from_str(&line).context("read an event")?;
                seen.push(Seen { at, event });
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(seen),
            Err(RecvTimeoutError::Timeout) => {
                bail!("it did not end in {} s", BOUND.as_secs());
            }
        }
    }
}

impl Run {
    /// Events of one type, in order.
    pub(super) fn of_type(&self, name: &str) -> impl Iterator<Item = &Seen> {
        self.events
            .iter()
            .filter(move |seen| seen.event["type"] == name)
    }

    /// Milliseconds of each phase of bringing the environment up. Phases may overlap.
    pub(super) fn phases(&self) -> Vec<(String, f64)> {
        self.of_type("phaseFinished")
            .map(|seen| {
                let name = seen.event["phase"].as_str().unwrap_or_default();
                (name.to_owned(), number(&seen.event["millis"]))
            })
            .collect()
    }

    /// Milliseconds until the environment was ready, as the program says.
    pub(super) fn ready_millis(&self) -> Option<f64> {
        let seen = self.of_type("environmentReady").next()?;
        seen.event["millis"].as_f64()
    }

    /// When the first write of a scenario was issued.
    pub(super) fn first_act(&self) -> Option<Duration> {
        let mut events = self.of_type("scenarioEvent");
        let first = events.find(|seen| seen.event["event"]["event"] == "writeStarted")?;
        Some(first.at)
    }

    /// Scenarios that were judged, in the order in which they ended.
    pub(super) fn finished(&self) -> Vec<Finished> {
        self.of_type("scenarioFinished")
            .map(|seen| Finished {
                name: seen.event["scenario"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                verdict: seen.event["judgement"]["verdict"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                millis: number(&seen.event["millis"]),
            })
            .collect()
    }

    /// The seed; 0 when it did not get as far as to say.
    pub(super) fn seed(&self) -> u64 {
        let started = self.of_type("runStarted").next();
        started
            .and_then(|seen| seen.event["seed"].as_u64())
            .unwrap_or_default()
    }

    /// Whether everything passed. If not, it is said where to look: figures of such a run mean little.
    pub(super) fn has_passed(&self) -> bool {
        if self.code == Some(0) {
            return true;
        }
        let others = self
            .finished()
            .into_iter()
            .filter(|one| one.verdict != "passed");
        let words: Vec<String> = others
            .map(|one| format!("{} {}", one.name, one.verdict))
            .collect();
        eprintln!(
            "a run with seed {} ended with {:?}: {} (see {})",
            self.seed(),
            self.code,
            if words.is_empty() {
                "no scenario was judged".to_owned()
            } else {
                words.join(", ")
            },
            self.artifacts.display()
        );
        false
    }
}

/// A scenario that was judged.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    /// Its name.
    pub(super) name: String,
    /// `passed`, `failed` or `inconclusive`.
    pub(super) verdict: String,
    /// How long it took.
    pub(super) millis: f64,
}

/// Milliseconds of a duration.
pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A number that is there when the program keeps its promise; else 0.
pub(super) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}
