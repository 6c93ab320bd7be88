//! Logs: what matters to stderr, more of it to a file in the artefact folder.

use crate::arguments::Common;
use crate::output::Log;
use std::fs::File;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Mutex;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// Our crates; the others speak from a warning on.
const OURS: [&str; 11] = [
    "meshproof",
    "harness_cluster",
    "harness_faults",
    "harness_images",
    "harness_kernel",
    "harness_kubelet",
    "harness_mesh",
    "harness_model",
    "harness_probe",
    "harness_report",
    "harness_runner",
];

/// Starts logging: to stderr as `-v`, `-q` and `MESHPROOF_LOG` say, and where a folder is given to
/// `meshproof.log` in it.
pub(crate) fn start(common: &Common, folder: Option<&Path>) -> std::io::Result<()> {
    let level = match (common.quiet, common.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(Log::new)
        .with_ansi(std::io::stderr().is_terminal() && crate::output::colour_on_stderr(common.color))
        .with_filter(
            EnvFilter::try_from_env("MESHPROOF_LOG").unwrap_or_else(|_| ours("off", level)),
        );
    let file = match folder {
        Some(folder) => Some(
            tracing_subscriber::fmt::layer()
                .json()
                .with_writer(Mutex::new(File::create(folder.join("meshproof.log"))?))
                .with_filter(ours("warn", "debug")),
        ),
        None => None,
    };
    // Fails only when logging was started already, in tests.
    let _ = tracing_subscriber::registry()
        .with(stderr)
        .with(file)
        .try_init();
    Ok(())
}

fn ours(others: &str, level: &str) -> EnvFilter {
    let mut directives = vec![others.to_owned()];
    directives.extend(OURS.iter().map(|name| format!("{name}={level}")));
    EnvFilter::new(directives.join(","))
}
