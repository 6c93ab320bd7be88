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
mod images;
mod junit;
mod lengths;
mod system;
mod test;
mod tools;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

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
    },
    /// Figures: a table, and target/bench/NAME.json
    Bench(bench::BenchArguments),
    /// The part of `bench bring-up` that runs in namespaces of its own
    #[command(hide = true)]
    BenchInside(bench::Inside),
    /// Build the image archives into target/images
    Images,
    /// Write the files that are generated from Rust types
    Codegen {
        /// Only compare them
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Check { steps } => check::check(&steps),
        Task::Test { parts, no_install } => test::test(&parts, no_install),
        Task::Bench(arguments) => bench::bench(&arguments),
        Task::BenchInside(arguments) => bench::inside(&arguments),
        Task::Images => images::images().map(|_| true),
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
