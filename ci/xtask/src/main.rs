//! Everything a person or a CI job does with this repository: `cargo xtask --help`.
//!
//! Invariant: nothing depends on this crate, and it compiles fast: it starts other programs instead of linking them.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a terminal program: what it says is for the person who started it"
)]

mod architecture;
mod bench;
mod check;
mod codegen;
mod dist;
mod engine;
mod examples;
mod images;
mod junit;
mod lengths;
mod node_image;
mod notify;
mod registry;
mod system;
mod test;
mod tools;
mod workspace;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Checks, tests and builds of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Format, lints, documentation, dependencies, spelling, generated files, architecture; no tests
    Check {
        /// Only these steps
        #[arg(value_enum)]
        steps: Vec<check::Step>,
    },
    /// All tests, from units to a judged run on a real cluster; installs what they need
    Test {
        /// Only these parts
        #[arg(value_enum)]
        parts: Vec<test::Part>,
        /// Install nothing; a missing tool is an error
        #[arg(long)]
        no_install: bool,
        /// Begin nothing after so many minutes: what is left is skipped, which is told
        #[arg(long)]
        minutes: Option<u64>,
    },
    /// Figures: a table, and target/bench/NAME.json
    Bench(bench::BenchArguments),
    /// The part of `bench bring-up` that runs in namespaces of its own
    #[command(hide = true)]
    BenchInside(bench::Inside),
    /// Build the image archives into target/images
    Images,
    /// Write the archive that other machines use, with the program, its images, manual pages and completions, into target/dist
    Dist {
        /// Unpack it in an empty folder and run a scenario as somebody who has nothing else
        #[arg(long = "try")]
        try_it: bool,
    },
    /// Make the node image for kind where no image registry can be reached, and load it into the container engine
    NodeImage {
        /// Write it to this file instead (for `docker load`, compressed with zstd)
        #[arg(long)]
        output: Option<PathBuf>,
        /// Install nothing; a missing tool is an error
        #[arg(long)]
        no_install: bool,
    },
    /// A container engine beside everything else on the machine, where none answers
    Engine {
        #[command(subcommand)]
        act: EngineAct,
        /// Install nothing; a missing tool is an error
        #[arg(long, global = true)]
        no_install: bool,
    },
    /// What that engine starts instead of `runc`
    #[command(hide = true, disable_help_flag = true)]
    RuncWithinLimits {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Write the files that are generated from Rust types
    Codegen {
        /// Only compare them
        #[arg(long)]
        check: bool,
    },
}

#[derive(Debug, Subcommand)]
enum EngineAct {
    /// Start it and say how to use it
    Up,
    /// End it with everything in it
    Down,
    /// Run a command that uses it and reaches what it publishes
    Run {
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Check { steps } => check::check(&steps),
        Task::Test {
            parts,
            no_install,
            minutes,
        } => {
            let limit = minutes.map(|minutes| Duration::from_secs(minutes * 60));
            test::test(&parts, no_install, limit)
        }
        Task::Bench(arguments) => bench::bench(&arguments),
        Task::BenchInside(arguments) => bench::inside(&arguments),
        Task::Images => images::images().map(|_| true),
        Task::Dist { try_it } => dist::dist(try_it),
        Task::NodeImage { output, no_install } => {
            node_image::node_image(output.as_deref(), !no_install)
        }
        Task::Engine { act, no_install } => match act {
            EngineAct::Up => engine::up(!no_install),
            EngineAct::Down => engine::down(),
            EngineAct::Run { command } => engine::run(&command, !no_install),
        },
        Task::RuncWithinLimits { arguments } => Err(engine::become_runc(&arguments)),
        Task::Codegen { check } => codegen::codegen(check),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
