//! `meshproof`: proves on a running deployment that a service mesh does what its configuration says.
//!
//! Invariant: only this crate prints to the terminal and ends the process.

mod arguments;
mod artifacts;
mod ci;
mod commands;
mod exit_code;
mod failure;
mod logging;
mod output;
mod plan;
mod progress;
mod quarantine;
mod rerun;
mod selection;
mod signals;
mod tools;

use arguments::{Arguments, Command};
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, Parser as _};
use exit_code::ExitCode;
use failure::Failure;
use harness_model::document::suggestion;
use std::time::Instant;

fn main() -> std::process::ExitCode {
    // Processes of the embedded cluster are this program with another first argument.
    harness_cluster::reexec();
    commands::doctor::namespaces::reexec();
    let started = Instant::now();
    // Fails only when a provider is installed already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(mut error) => {
            suggest_command(&mut error);
            let printed = error.print();
            if error.exit_code() != 0 {
                return ExitCode::Usage.into();
            }
            // Help and version are data: a reader that goes away is no error.
            return match printed {
                Err(lost) if lost.kind() != std::io::ErrorKind::BrokenPipe => {
                    let failure = write_failed(&lost);
                    output::say(&failure.render(false));
                    failure.exit.into()
                }
                _ => ExitCode::Success.into(),
            };
        }
    };
    let colour = output::colour_on_stderr(arguments.common.color);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        dispatch(arguments, started)
    }));
    match outcome {
        Ok(Ok(code)) => code.into(),
        Ok(Err(failure)) => {
            output::say(&failure.render(colour));
            failure.exit.into()
        }
        Err(_) => {
            let failure = Failure::new(ExitCode::Internal, "go on after the panic above")
                .hint("this is a defect of meshproof; please report it with the text above");
            output::say(&failure.render(colour));
            ExitCode::Internal.into()
        }
    }
}

/// Names the command that was probably meant, where clap finds none alike: short words are not alike with two letters swapped.
fn suggest_command(error: &mut clap::Error) {
    if error.get(ContextKind::SuggestedSubcommand).is_some() {
        return;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return;
    };
    let command = Arguments::command();
    let known = command.get_subcommands().map(clap::Command::get_name);
    if let Some(meant) = suggestion(word, known) {
        let meant = ContextValue::Strings(vec![meant.to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, meant);
    }
}

fn dispatch(arguments: Arguments, started: Instant) -> Result<ExitCode, Failure> {
    let common = arguments.common;
    let mut out = output::Out::stdout(common.color);
    let outcome = match arguments.command {
        Command::Run(run) => commands::run::run(&run, &common, &mut out, started),
        Command::List(list) => commands::list::list(&list, &common, &mut out),
        Command::Explain(explain) => commands::explain::explain(&explain, &common, &mut out),
        Command::Judge(judge) => commands::judge::judge(&judge, &common, &mut out),
        Command::Selftest(selftest) => {
            commands::selftest::selftest(&selftest, &common, &mut out, started)
        }
        Command::Report(report) => commands::report::report(&report.command, &common, &mut out),
        Command::Cluster(cluster) => {
            commands::cluster::cluster(&cluster.command, &common, &mut out)
        }
        Command::Deploy(deploy) => commands::deploy::deploy(&deploy, &common, &mut out, started),
        Command::Doctor(doctor) => commands::doctor::doctor(&doctor, &common, &mut out),
        Command::Clean(clean) => commands::clean::clean(&clean, &common, &mut out),
        Command::Completions { shell } => commands::completions(shell, &mut out),
        Command::Man { folder } => commands::manual(&folder, &mut out),
    };
    match (outcome, out.end()) {
        (Ok(_), Err(error)) => Err(write_failed(&error)),
        (outcome, _) => outcome,
    }
}

/// Stdout does not take what is written, for another reason than that its reader is gone.
fn write_failed(error: &std::io::Error) -> Failure {
    Failure::new(ExitCode::Environment, "write to stdout").because(error)
}
