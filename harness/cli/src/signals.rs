//! Ctrl-C and SIGTERM as wishes to stop: the first stops, heals and takes down, the second leaves at once.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output;
use harness_runner::Interrupt;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// After the second signal what is under way gets this long to end by itself.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(300);

/// Listens from now on; returns the wish that the signals raise.
pub(crate) fn listen() -> Result<Interrupt, Failure> {
    let interrupt = Interrupt::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind).map_err(|error| {
            Failure::new(ExitCode::Environment, "listen for signals").because(&error)
        })?;
        let interrupt = interrupt.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if interrupt.signal().is_none() {
                    output::say(
                        "stopping: healing faults and taking everything down; once more leaves at once",
                    );
                }
                interrupt.raise(kind.as_raw_value());
            }
        });
    }
    Ok(interrupt)
}
