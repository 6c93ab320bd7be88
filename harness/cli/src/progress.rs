//! What a person sees while waiting: a moving line on a terminal, plain lines elsewhere, nothing when quiet.

use crate::arguments::Common;
use crate::output;
use harness_model::run_event::RunEvent;
use harness_report::terminal::seconds;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// Without a terminal a line says after this long that something is still going on.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(30);

/// Shows how far a run has come, on stderr.
pub(crate) struct Progress {
    form: Form,
    phase: Option<(String, Instant)>,
    running: Vec<String>,
    done: u64,
    selected: u64,
}

enum Form {
    Silent,
    Lines,
    Bar(ProgressBar),
}

impl Progress {
    /// Shows nothing when quiet, a moving line on a terminal, else plain lines.
    pub(crate) fn new(common: &Common) -> Self {
        let form = if common.quiet {
            Form::Silent
        } else if output::is_interactive() {
            let bars = MultiProgress::new();
            output::register_bars(&bars);
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_style(spinner());
            bar.enable_steady_tick(Duration::from_millis(120));
            Form::Bar(bar)
        } else {
            Form::Lines
        };
        Self {
            form,
            phase: None,
            running: Vec::new(),
            done: 0,
            selected: 0,
        }
    }

    /// Takes one event.
    pub(crate) fn on(&mut self, event: &RunEvent) {
        match event {
            RunEvent::RunStarted { selected, .. } => self.selected = *selected as u64,
            RunEvent::PhaseStarted { phase, .. } => {
                self.phase = Some((phase.clone(), Instant::now()));
                self.show(phase, None);
            }
            RunEvent::PhaseProgress { phase, message, .. } => self.show(phase, Some(message)),
            RunEvent::PhaseFinished { phase, millis, .. } => {
                self.phase = None;
                match &self.form {
                    Form::Lines => output::say(&format!("{phase}: done [{}]", seconds(*millis))),
                    Form::Bar(bar) => bar.set_message(String::new()),
                    Form::Silent => {}
                }
            }
            RunEvent::EnvironmentReady {
                sidecars, millis, ..
            } => {
                let line = format!(
                    "environment: ready with {} sidecars [{}]",
                    sidecars.len(),
                    seconds(*millis)
                );
                if !matches!(self.form, Form::Silent) {
                    output::say(&line);
                }
            }
            RunEvent::ScenarioStarted { scenario, .. } => {
                if let Form::Bar(bar) = &self.form {
                    bar.set_style(counter());
                    bar.set_length(self.selected);
                }
                self.running.push(scenario.clone());
                self.count();
            }
            RunEvent::ScenarioFinished { scenario, .. } => {
                if let Some(index) = self.running.iter().position(|name| name == scenario) {
                    self.running.remove(index);
                }
                self.done += 1;
                self.count();
            }
            RunEvent::ScenarioSkipped { .. } => {
                self.done += 1;
                self.count();
            }
            RunEvent::ScenarioEvent { .. } | RunEvent::Used { .. } => {}
            RunEvent::RunFinished { .. } => self.finish(),
        }
    }

    /// Time has passed without an event.
    pub(crate) fn heartbeat(&self) {
        if !matches!(self.form, Form::Lines) {
            return;
        }
        if let Some((phase, since)) = &self.phase {
            output::say(&format!(
                "{phase}: still at it after {} s",
                since.elapsed().as_secs()
            ));
        } else if !self.running.is_empty() {
            output::say(&format!("running: {}", self.running.join(", ")));
        }
    }

    /// Removes the moving line.
    pub(crate) fn finish(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }

    fn show(&self, phase: &str, message: Option<&str>) {
        match &self.form {
            Form::Silent => {}
            Form::Lines => output::say(&match message {
                Some(message) => format!("{phase}: {message}"),
                None => format!("{phase}: ..."),
            }),
            Form::Bar(bar) => {
                bar.set_style(spinner());
                bar.set_message(match message {
                    Some(message) => format!("{phase}: {message}"),
                    None => phase.to_owned(),
                });
            }
        }
    }

    fn count(&self) {
        if let Form::Bar(bar) = &self.form {
            bar.set_position(self.done);
            bar.set_message(self.running.join(", "));
        }
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn counter() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {elapsed:>4} {pos}/{len} [{bar:24}] {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}
