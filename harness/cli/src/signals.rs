//! Ctrl-C and SIGTERM as wishes to stop: the first stops, heals and takes down, the second leaves at once.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output;
use harness_runner::Interrupt;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// After the second signal what is under way gets this long to end by itself.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(300);

/// Said at the first signal.
const STOPPING: &str =
    "stopping: healing faults and taking everything down; once more leaves at once";

/// Said at the second one. A local cluster that does not stay ends with this process, by the pipe that we hold, and only its folder
/// may outlive it; others have no such pipe, and what a run has changed in one that stays is as it was at that moment.
const LEAVING: &str = "leaving at once, without healing: if anything stays of a cluster made for this, `meshproof clean` removes it, and `meshproof cluster down NAME` a kept one; in one that is kept or of somebody else the next run there removes what this one left";

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
                // First of all it is raised: saying so may take long, where nobody reads stderr.
                let number = interrupt.raise(kind.as_raw_value());
                if let Some(words) = said_at(number) {
                    output::say(words);
                }
            }
        });
    }
    Ok(interrupt)
}

/// What is said at the signal of this number, from 1.
const fn said_at(number: u32) -> Option<&'static str> {
    match number {
        1 => Some(STOPPING),
        2 => Some(LEAVING),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_signal_is_told_with_what_may_be_left_and_how_that_goes() {
        assert_eq!(said_at(1), Some(STOPPING));
        let words = said_at(2).expect("who leaves at once is told what that means");
        for way in [
            "`meshproof clean`",
            "`meshproof cluster down NAME`",
            "the next run there",
        ] {
            assert!(words.contains(way), "{words}");
        }
        assert_eq!(words.lines().count(), 1, "{words}");
        assert_eq!(said_at(3), None, "once is enough");
    }
}
