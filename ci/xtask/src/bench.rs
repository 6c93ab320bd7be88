//! Figures of the program as a whole: each bench runs it for real, prints a table and writes
//! `target/bench/NAME.json`.
//!
//! Machines differ, so what counts is ratios of things measured in one run. Aims are shown, not enforced: a bench
//! fails only when what it measures did not work. `check` alone enforces: the noise of a figure, and its limit.

mod alone;
mod beside;
mod bring_up;
mod check;
mod clusters;
mod control_plane;
mod credentials;
mod delivery;
mod gate;
mod history;
mod identities;
mod kind;
mod machine;
mod overhead;
mod program;
mod report;
mod statistics;
mod tls;
mod whole_run;

use crate::{images, system, workspace};
use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use program::Program;
use report::Report;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

pub(crate) use alone::{Inside, inside};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// From the start of a run to its first act, against etcd and an API server alone
    BringUp,
    /// The gate: as a whole, by phase and by scenario
    Run,
    /// A scenario that waits for nothing
    Overhead,
    /// From a change to the last sidecar that shows it, against the proof of absence
    Delivery,
    /// From the TLS toggle to certificates and to the first request over TLS
    Tls,
    /// Ten thousand identities: the rate of the authority, the memory of a node agent
    Identities,
    /// The control plane with 15 and with 1,000 simple clients, and with 15 real sidecars: changes a second, time until the last
    /// has one, memory for each client
    ControlPlane,
    /// The gate many times, every second time on a loaded machine: is a verdict ever another one?
    Gate,
    /// The others against the stored baseline (`ci/bench-baseline.json`): has one become worse, or is one over its limit?
    Check,
    /// The gate on kind: until its first act against plain kind, its suites against those on the local cluster
    Kind,
}

impl Bench {
    /// How often it measures when nobody says: pairs, runs or repetitions.
    fn samples(self) -> usize {
        match self {
            Self::BringUp | Self::Tls => 5,
            Self::Run | Self::ControlPlane => 3,
            Self::Delivery | Self::Kind | Self::Identities => 1,
            Self::Overhead | Self::Gate => 20,
            // Those of each bench.
            Self::Check => 0,
        }
    }

    fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

/// Arguments of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    /// What is measured
    #[arg(value_enum)]
    bench: Bench,
    /// How many pairs, runs or repetitions
    #[arg(long, value_name = "N")]
    samples: Option<NonZeroUsize>,
    /// `gate`: run these scenarios or suites instead of the gate
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Measure this `meshproof` instead of building one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// A folder with ready images instead of building them
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// With `check`: store what is measured as the new baseline
    #[arg(long)]
    update: bool,
}

/// Measures, prints and writes. False when what was measured did not work.
pub(crate) fn bench(arguments: &BenchArguments) -> anyhow::Result<bool> {
    ensure!(
        arguments.only.is_empty() || arguments.bench == Bench::Gate,
        "--only is for the bench `gate`; others know what they measure"
    );
    system::require(true)?;
    if arguments.update && arguments.bench != Bench::Check {
        bail!("--update stores what `bench check` measures");
    }
    let folder = workspace::root().join("target/bench");
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    // Absolute, since the program is started in another folder.
    let path = match &arguments.program {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("find {}", path.display()))?,
        None => workspace::build_program("meshproof")?,
    };
    let images = match &arguments.images {
        Some(folder) => folder
            .canonicalize()
            .with_context(|| format!("find {}", folder.display()))?,
        None => {
            images::images()?;
            workspace::root().join("target/images")
        }
    };
    let one = |bench| measure(bench, arguments, &path, &images);
    if arguments.bench != Bench::Check {
        return one(arguments.bench).map(|(_, works)| works);
    }
    let mut reports = Vec::new();
    for bench in check::benches()? {
        let (report, works) = one(bench)?;
        if !works {
            eprintln!("{}: what was measured did not work", bench.name());
            return Ok(false);
        }
        reports.push(report);
    }
    check::compare(&reports, arguments.update)
}

/// Measures one bench, prints it and writes its file.
fn measure(
    bench: Bench,
    arguments: &BenchArguments,
    path: &Path,
    images: &Path,
) -> anyhow::Result<(Report, bool)> {
    let name = bench.name();
    let folder = workspace::root().join("target/bench");
    let program = Program::new(path.to_owned(), images.to_owned(), folder.join(&name))?;
    let samples = arguments.samples.map_or(bench.samples(), NonZeroUsize::get);
    let mut report = Report::new(&name, machine::facts(program.path()));
    let works = match bench {
        Bench::Check => bail!("the baseline names `check` itself"),
        Bench::BringUp => bring_up::measure(&program, samples, &mut report),
        Bench::Run => whole_run::measure(&program, samples, &mut report),
        Bench::Overhead => overhead::measure(&program, samples, &mut report),
        Bench::Delivery => delivery::measure(&program, samples, &mut report),
        Bench::Tls => tls::measure(&program, samples, &mut report),
        Bench::Identities => identities::measure(&program, samples, &mut report),
        Bench::ControlPlane => control_plane::measure(&program, samples, &mut report),
        Bench::Gate => gate::measure(&program, samples, &arguments.only, &mut report),
        Bench::Kind => kind::measure(&program, samples, &mut report),
    }
    .with_context(|| format!("measure {name}"))?;
    let file = folder.join(format!("{name}.json"));
    report.write(&file)?;
    print!("{report}");
    eprintln!("{}", file.display());
    Ok((report, works))
}
