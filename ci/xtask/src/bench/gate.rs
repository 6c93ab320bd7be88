//! The gate again and again, every second time with every core loaded: a verdict that is not always the same is a
//! defect of meshproof.

use super::machine;
use super::program::{GATE, Program, Run};
use super::report::{Report, Unit};
use super::statistics::median;
use anyhow::Context as _;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Runs the gate, or what is named instead, and counts what did not pass. False when something did not.
///
/// # Errors
///
/// When a run cannot be started. One that does not end counts as one that did not pass.
pub(super) fn measure(
    program: &Program,
    samples: usize,
    only: &[String],
    report: &mut Report,
) -> anyhow::Result<bool> {
    let (mut quiet, mut loaded, mut bad_runs, mut bad_verdicts) = (vec![], vec![], 0_u32, 0_u32);
    for number in 1..=samples {
        let is_loaded = number % 2 == 0;
        let load = is_loaded.then(Load::start);
        let name = format!("run-{number}");
        let run = if only.is_empty() {
            program.run(&name, &GATE)
        } else {
            program.run(&name, only)
        };
        drop(load);
        let words = if is_loaded { "loaded" } else { "quiet" };
        let run = match run {
            Ok(run) => run,
            Err(error) => {
                bad_runs += 1;
                eprintln!("run {number} of {samples}, {words}: {error:#}");
                report.sample(json!({"loaded": is_loaded, "error": format!("{error:#}")}));
                continue;
            }
        };
        let bad = not_passed(&run);
        let seconds = run.whole.as_secs_f64();
        eprintln!(
            "run {number} of {samples}, {words}: {seconds:.1} s, {} did not pass",
            bad.len()
        );
        report.sample(json!({
            "loaded": is_loaded,
            "seconds": seconds,
            "seed": run.seed(),
            "exitCode": run.code,
            "judged": run.finished().len(),
            "notPassed": bad,
        }));
        if is_loaded { &mut loaded } else { &mut quiet }.push(seconds);
        bad_verdicts += u32::try_from(bad.len()).unwrap_or(u32::MAX);
        if run.has_passed() {
            // Twenty of them would fill a disk; those of bad runs are what has to be looked at.
            std::fs::remove_dir_all(&run.artifacts)
                .with_context(|| format!("remove {}", run.artifacts.display()))?;
        } else {
            bad_runs += 1;
            report.row(
                &format!("run {number}, {words}, seed {}", run.seed()),
                bad.join(", "),
            );
        }
    }
    report.figure("runs", "runs", Unit::Count, samples as f64);
    report.figure(
        "badVerdicts",
        "verdicts that were not `passed`",
        Unit::Count,
        f64::from(bad_verdicts),
    );
    report.aim("badVerdicts", Unit::Count, f64::from(bad_verdicts), 0.0);
    report.figure(
        "badRuns",
        "runs that did not end with 0",
        Unit::Count,
        f64::from(bad_runs),
    );
    report.aim("badRuns", Unit::Count, f64::from(bad_runs), 0.0);
    if let Some(middle) = median(&quiet) {
        report.figure(
            "quietSeconds",
            "a run on a quiet machine",
            Unit::Seconds,
            middle,
        );
    }
    if let (Some(middle), Some(other)) = (median(&loaded), median(&quiet)) {
        report.figure(
            "loadedSeconds",
            "a run with every core loaded",
            Unit::Seconds,
            middle,
        );
        report.figure(
            "loadedToQuiet",
            "loaded against quiet",
            Unit::Ratio,
            middle / other,
        );
    }
    Ok(bad_runs == 0)
}

/// Scenarios that did not pass, with their verdict.
fn not_passed(run: &Run) -> Vec<String> {
    let others = run
        .finished()
        .into_iter()
        .filter(|one| one.verdict != "passed");
    others
        .map(|one| format!("{} {}", one.name, one.verdict))
        .collect()
}

/// A thread for each core that does nothing as fast as it can, until dropped.
struct Load {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let spin = |over: Arc<AtomicBool>| {
            move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            }
        };
        let threads = (0..machine::cores())
            .map(|_| std::thread::spawn(spin(Arc::clone(&over))))
            .collect();
        Self { over, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A loop that does nothing cannot panic.
            let _ = thread.join();
        }
    }
}
