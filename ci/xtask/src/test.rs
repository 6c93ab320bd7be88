//! All tests, part by part, summed up in one line.

mod addresses;
mod clusters;
mod distances;
mod documentation;
mod foreign;
mod on_kind;
mod parity;
mod side_by_side;
mod topologies;

use crate::engine::Engine;
use crate::junit::{Count, ignored_in_list};
use crate::system::CannotHere;
use crate::tools::Tool;
use crate::{check, dist, engine, images, node_image, registry, system, workspace};
use anyhow::Context as _;
use clap::ValueEnum;
use on_kind::{on_kind, with_engine};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A part of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The quick ones of the checks: format, architecture, file lengths, spelling, unused dependencies, generated files
    Checks,
    /// Unit and integration tests
    Unit,
    /// Examples in the documentation
    Documentation,
    /// The key service on a PKCS #11 token, where this machine can have SoftHSM and OpenSC
    Token,
    /// The images as containers, where this machine can have a container engine
    Components,
    // Before what takes long, after which a slow machine may have no time left: it needs no engine and takes minutes.
    /// Some scenarios on the local cluster in other topologies, and with certificates that live for ten seconds
    Topologies,
    /// The gate on a kind cluster, where this machine can have one, with nothing beside it; the node image is made beside the run
    Kind,
    /// Some of them on a kind cluster that is addressed as one of somebody else; beside the run
    Foreign,
    /// Every scenario on the local cluster, each with half of the sidecars on state of the world and half on delta xDS
    Run,
    /// Every scenario against the seeded bugs it must catch; beside the run
    Selftest,
    /// The gate with every sidecar on delta xDS; every scenario is run with both forms, so this is run when it is named
    Delta,
    /// Whether the runs say the same of every scenario that kind ran; makes them first
    Parity,
    /// The program as a whole: interrupts, kills, what is left behind
    Live,
    /// The archive for other machines, used as on one that has neither Rust nor this repository
    Dist,
    /// Some of them on two kind clusters, with a mesh over both
    Clusters,
    /// Every scenario on a kind cluster, and whether the local cluster says the same: an hour of CI is too short for it, so
    /// it is run when it is named
    Everywhere,
}

/// Runs the parts (all but those that are run when they are named, when none is) and prints the sum as the last line. Nothing
/// begins after `limit`. False when anything failed.
pub(crate) fn test(
    parts: &[Part],
    no_install: bool,
    limit: Option<Duration>,
) -> anyhow::Result<bool> {
    let started = Instant::now();
    let parts = with_what_they_need(parts);
    system::require(!no_install)?;
    // Tools first: what cannot be installed is better known now than after the build.
    Tool::Nextest.command(!no_install)?;
    say(started, "building the program and the images");
    let program = workspace::build_program("meshproof")?;
    images::images()?;
    let results = workspace::root().join("target/test");
    let mut total = Count::default();
    let mut not_tested = Vec::new();
    let mut sums = Vec::new();
    let time_left = || limit.map(|limit| limit.saturating_sub(started.elapsed()));
    let run_piece = |part: Part, piece: u32| {
        if time_left() == Some(Duration::ZERO) {
            let minutes = limit.unwrap_or_default().as_secs() / 60;
            let reason = format!("nothing begins after {minutes} minutes (`--minutes`)");
            return Err(CannotHere::because(reason));
        }
        if piece == 1 {
            say(started, &format!("testing: {}", name_of(part)));
        }
        run(part, piece, &parts, &program, &results, !no_install)
    };
    // Kept for all parts of a stage, so that none of them ends it under another one.
    let kept = Mutex::new(None);
    let prepare = || {
        // What keeps it from being there is told by the parts that need it.
        let engine = engine::Kept::ensure(!no_install);
        if engine.is_ok() {
            node_image::make_in_background(!no_install, time_left());
        }
        *side_by_side::of(&kept) = engine.ok();
    };
    let run_stage = |stage| {
        let mut ended = side_by_side::run(stage, &run_piece, &prepare);
        let engine = side_by_side::of(&kept).take();
        if let Some(Err(error)) = engine.map(engine::Kept::end)
            && let Some(Ok(count)) = ended.last_mut().map(|last| last.outcome.as_mut())
        {
            *count += Count::one_failed(format!("end the container engine: {error:#}"));
        }
        ended
    };
    for ended in side_by_side::stages(&parts).flat_map(run_stage) {
        let name = name_of(ended.part);
        not_tested.extend(ended.not_tested.iter().map(|why| format!("{name}: {why}")));
        let count = match ended.outcome {
            Err(error) if error.is::<CannotHere>() => {
                not_tested.push(format!("{name}: {error:#}"));
                Count::ONE_SKIPPED
            }
            // The parts after it have something to say all the same.
            outcome => outcome.unwrap_or_else(|error| Count::one_failed(format!("{error:#}"))),
        };
        let sum = format!("{name}: {count} in {}", clock(ended.took));
        say(started, &sum);
        for failed in &count.failed {
            eprintln!("  failed: {failed}");
        }
        sums.push(sum);
        total += Count {
            failed: count
                .failed
                .into_iter()
                .map(|failed| format!("{name}: {failed}"))
                .collect(),
            ..count
        };
    }
    say(started, "done");
    // Once more at the end, which is all that a CI often shows of a long output.
    for sum in &sums {
        println!("{sum}");
    }
    for failed in &total.failed {
        println!("FAILED: {failed}");
    }
    for part in &not_tested {
        println!("NOT TESTED: {part}");
    }
    println!("{total}");
    Ok(total.failed.is_empty() && total.passed > 0)
}

fn name_of(part: Part) -> String {
    let value = part.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The parts in their order: all but [`Part::Everywhere`] and [`Part::Delta`] when none is named.
fn with_what_they_need(parts: &[Part]) -> Vec<Part> {
    let is_wanted = |part: &Part| {
        let needed_by_another = match part {
            Part::Run => parts.contains(&Part::Parity) || parts.contains(&Part::Everywhere),
            Part::Kind => parts.contains(&Part::Parity),
            _ => false,
        };
        let by_default = parts.is_empty() && !matches!(part, Part::Everywhere | Part::Delta);
        by_default || parts.contains(part) || needed_by_another
    };
    let all = Part::value_variants().iter().copied();
    all.filter(is_wanted).collect()
}

fn run(
    part: Part,
    piece: u32,
    all: &[Part],
    program: &Path,
    results: &Path,
    install: bool,
) -> anyhow::Result<Count> {
    let here =
        |arguments: &[&str], name| meshproof(Command::new(program), arguments, &results.join(name));
    match part {
        Part::Checks => checks(install),
        Part::Unit => nextest("default", install, None),
        Part::Live => nextest("live", install, None),
        Part::Documentation => documentation::run(),
        Part::Token => {
            system::require_token(install)?;
            nextest("token", install, None)
        }
        Part::Components => with_engine(install, |engine| {
            nextest("components", install, Some(engine))
        }),
        Part::Topologies => topologies::run(program, &results.join("topologies")),
        Part::Dist => archive(),
        Part::Delta => here(&side_by_side::DELTA, "delta"),
        Part::Run => here(&side_by_side::RUN, "run"),
        Part::Kind => on_kind(
            program,
            &results.join("kind"),
            &["--tag", "gate", side_by_side::DELIVERY],
            install,
        ),
        Part::Foreign => foreign::run(program, &results.join("foreign"), install),
        Part::Clusters => clusters::run(program, &results.join("clusters"), install),
        Part::Parity => parity::of(program, results, "kind"),
        Part::Everywhere => {
            let mut count = on_kind(program, &results.join("everywhere"), &[], install)?;
            count += parity::of(program, results, "everywhere")?;
            Ok(count)
        }
        Part::Selftest => {
            // What the run shows is not shown twice.
            let without = all.contains(&Part::Run).then_some("--without-faithful");
            let shard = format!("{piece}/{}", side_by_side::SELFTESTS);
            let of_shard = ["--shard", &shard];
            let arguments: Vec<&str> = side_by_side::SELFTEST
                .into_iter()
                .chain(of_shard)
                .chain(without)
                .collect();
            let artifacts = results.join(format!("selftest-{piece}"));
            meshproof(Command::new(program), &arguments, &artifacts)
        }
    }
}

/// Each step counts as a test.
fn checks(install: bool) -> anyhow::Result<Count> {
    let failed = check::failing(&check::QUICK, install)?;
    Ok(Count {
        passed: check::QUICK.len() - failed.len(),
        failed: failed
            .into_iter()
            .map(|step| format!("cargo xtask check {step}"))
            .collect(),
        skipped: 0,
    })
}

/// The program and the images are those that all parts use, so this packs them, unpacks them elsewhere and runs a scenario.
fn archive() -> anyhow::Result<Count> {
    Ok(match dist::dist(true) {
        Ok(_) => Count::ONE_PASSED,
        Err(error) => Count::one_failed(format!("cargo xtask dist --try: {error:#}")),
    })
}

fn nextest(profile: &str, install: bool, engine: Option<&Engine>) -> anyhow::Result<Count> {
    let report = workspace::root()
        .join("target/nextest")
        .join(profile)
        .join("junit.xml");
    forget(&report)?;
    let mut command = Tool::Nextest.command(install)?;
    command
        .args([
            "run",
            "--release",
            "--workspace",
            "--no-fail-fast",
            "--profile",
            profile,
        ])
        // The images were built from it, so this only looks where it is.
        .env("MESHPROOF_ENVOY", images::envoy()?)
        .env("MESHPROOF_IMAGES", workspace::root().join("target/images"));
    if let Some(engine) = engine {
        engine.serve_tests(&mut command);
    }
    match registry::program(install) {
        Ok(program) => {
            command.env("MESHPROOF_DOCKER_REGISTRY", program);
        }
        // The tests that need it fail and say so; the others tell what they have to.
        Err(error) => eprintln!("no image registry for tests: {error:#}"),
    }
    let status = command.status().context("start cargo nextest")?;
    let mut count = judged(&command, status, &report)?;
    match ignored(profile, install) {
        Ok(skipped) => count.skipped += skipped,
        Err(error) => {
            let unknown = format!("which tests are ignored is not known: {error:#}");
            count += Count::one_failed(unknown);
        }
    }
    Ok(count)
}

/// How many tests the profile would run, were they not ignored. They must not go unseen: a test program with a `main`
/// of its own that lists its tests wrongly has none but ignored ones.
fn ignored(profile: &str, install: bool) -> anyhow::Result<usize> {
    let output = Tool::Nextest
        .command(install)?
        .args([
            "list",
            "--release",
            "--workspace",
            "--profile",
            profile,
            "--run-ignored",
            "only",
            "--message-format",
            "json",
        ])
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo nextest")?;
    anyhow::ensure!(
        output.status.success(),
        "cargo nextest list ended with {}",
        output.status
    );
    ignored_in_list(&String::from_utf8_lossy(&output.stdout))
        .context("read what cargo nextest lists")
}

/// `meshproof` with its artefacts in a folder of its own, whose name is before each line of what it says.
fn meshproof(mut command: Command, arguments: &[&str], artifacts: &Path) -> anyhow::Result<Count> {
    forget_run(artifacts)?;
    command
        .current_dir(workspace::root())
        .args(arguments)
        .arg("--artifacts")
        .arg(artifacts)
        .env("MESHPROOF_IMAGES", workspace::root().join("target/images"));
    let name = artifacts.file_name().unwrap_or_default();
    let status = side_by_side::status(&mut command, &name.to_string_lossy())?;
    judged(&command, status, &artifacts.join("latest/junit.xml"))
}

/// Counts by the report that a command has left. An exit code other than 0 is a failure, whatever the report says; so is a
/// report that is not there.
fn judged(command: &Command, status: ExitStatus, report: &Path) -> anyhow::Result<Count> {
    let read = std::fs::read_to_string(report).map_err(anyhow::Error::from);
    let mut count = match read.and_then(|text| Count::of_junit(&text)) {
        Ok(count) => count,
        Err(error) => Count::one_failed(format!("no report {}: {error:#}", report.display())),
    };
    if count.passed == 0 && count.failed.is_empty() {
        let nothing = format!("{} says that nothing was tested", report.display());
        count += Count::one_failed(nothing);
    }
    if !status.success() && count.failed.is_empty() {
        let program = command.get_program();
        count += Count::one_failed(format!("{program:?} ended with {status}"));
    }
    Ok(count)
}

/// A report of an earlier run must not be taken for this one's.
fn forget(report: &PathBuf) -> anyhow::Result<()> {
    match std::fs::remove_file(report) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", report.display()))
        }
        _ => Ok(()),
    }
}

/// The same for the artefacts of runs.
fn forget_run(artifacts: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(artifacts) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("empty {}", artifacts.display()))
        }
        _ => Ok(()),
    }
}

fn say(started: Instant, what: &str) {
    eprintln!("[{}] {what}", clock(started.elapsed()));
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::{Part, with_what_they_need};

    #[test]
    fn a_part_brings_what_it_needs_in_order() {
        use Part::{Everywhere, Kind, Parity, Run, Topologies};
        assert_eq!(with_what_they_need(&[Kind, Topologies]), [Topologies, Kind]);
        assert_eq!(with_what_they_need(&[Parity]), [Kind, Run, Parity]);
        assert_eq!(with_what_they_need(&[Everywhere]), [Run, Everywhere]);
        assert!(with_what_they_need(&[]).contains(&Parity));
        assert!(!with_what_they_need(&[]).contains(&Everywhere));
    }
}
