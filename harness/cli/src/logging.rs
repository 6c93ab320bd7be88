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

/// What others say in the file. The client of `kube` calls every request an error that had no good answer, also while an API
/// server or a pod is only starting and is asked again: thousands of times in a run where nothing is wrong. It gives the same
/// errors to us, and we say of those that matter what they came to.
const OTHERS: &str = "warn,kube_client::client::builder=off";

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
                .with_filter(ours(OTHERS, "debug")),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_file_has_our_errors_and_warnings_of_others_but_not_each_request_without_a_good_answer() {
        let log = tempfile::NamedTempFile::new().expect("a file");
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(ours(OTHERS, "debug"))
            .with_writer(Arc::new(log.reopen().expect("there")))
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "kube_client::client::builder", "connection refused");
            tracing::warn!(target: "kube_client::client", "of another part");
            tracing::error!(target: "another", "of another crate");
            tracing::info!(target: "another", "not so bad");
            tracing::error!(target: "meshproof::run", "our error");
            tracing::debug!(target: "harness_mesh::wait", "our detail");
        });
        let written = std::fs::read_to_string(log.path()).expect("text");
        let messages: Vec<&str> = written
            .lines()
            .filter_map(|line| line.rsplit_once(": "))
            .map(|(_, message)| message)
            .collect();
        let expected = [
            "of another part",
            "of another crate",
            "our error",
            "our detail",
        ];
        assert_eq!(messages, expected, "{written}");
    }
}
