//! Units of systemd in nodes: this very program as one of them, and what the two tell each other.
//!
//! Invariant: systemd forgets a unit that was started here as soon as it ends, however it ends, so its name is free again.

use super::engine::Engine;
use crate::reexec::argument;
use crate::{ClusterError, failed};
use serde::de::DeserializeOwned;
use std::io;
use std::os::unix::net::UnixDatagram;

/// Takes a unit, and ends it; fine when it is not there.
const STOP: &str = r#"systemctl stop "$1" 2> /dev/null && exit 0
[ "$(systemctl show --property=LoadState --value "$1")" = not-found ]
"#;

/// A unit of a node's systemd.
pub(super) struct Unit<'a> {
    engine: &'a Engine,
    node: &'a str,
    name: String,
}

impl<'a> Unit<'a> {
    /// The unit of this name, whether it is there or not.
    pub(super) fn of(engine: &'a Engine, node: &'a str, name: impl Into<String>) -> Self {
        Self {
            engine,
            node,
            name: name.into(),
        }
    }

    /// Runs a program that the node has, with its arguments, and returns when its process has said that it is [`ready`].
    /// Where it says something else, that is why `act` failed.
    pub(super) async fn start(&self, act: &str, program: &[&str]) -> Result<(), ClusterError> {
        let unit = format!("--unit={}", self.name);
        let run = [
            "systemd-run",
            "--quiet",
            "--collect",
            "--service-type=notify",
            &unit,
            "--",
        ];
        let command = [&run[..], program].concat();
        let Err(error) = self.ask(&command).await else {
            return Ok(());
        };
        match self.last_words(5).await {
            Ok(said) => Err(ClusterError::because(act, said.trim())),
            Err(_) => Err(error),
        }
    }

    /// Ends it; fine when it is not there.
    pub(super) async fn stop(&self) -> Result<(), ClusterError> {
        let stop = ["sh", "-c", STOP, "stop", &self.name];
        self.ask(&stop).await.map(drop)
    }

    /// Whether its process runs, and has said that it is ready.
    pub(super) async fn is_active(&self) -> bool {
        let question = ["systemctl", "is-active", "--quiet", &self.name];
        self.ask(&question).await.is_ok()
    }

    /// What its process has said that it measured.
    pub(super) async fn measured(&self) -> Result<String, ClusterError> {
        let question = [
            "systemctl",
            "show",
            "--property=StatusText",
            "--value",
            &self.name,
        ];
        self.ask(&question).await
    }

    /// The last lines that the node's journal has of it.
    pub(super) async fn last_words(&self, lines: u32) -> Result<String, ClusterError> {
        let lines = format!("--lines={lines}");
        let journal = ["journalctl", "--unit", &self.name, &lines, "--output=cat"];
        self.ask(&journal).await
    }

    async fn ask(&self, command: &[&str]) -> Result<String, ClusterError> {
        self.engine.in_node(self.node, command, None).await
    }
}

/// In the process of a unit, first of all: what it is told to do, in JSON. What it logs goes to the node's journal from then
/// on.
pub(super) fn told<T: DeserializeOwned>(act: &str) -> Result<T, ClusterError> {
    // A second call would be a role started twice, which cannot be.
    let _ = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_writer(io::stderr)
        .try_init();
    let text = argument(act)?;
    serde_json::from_str(&text).map_err(failed(act))
}

/// In the process of a unit: tells the systemd that has started it that it is ready (sd_notify(3)), and what it has measured
/// if it has; nothing where none has started it.
pub(super) fn ready(measured: Option<&str>) -> io::Result<()> {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    UnixDatagram::unbound()?
        .send_to(readiness(measured).as_bytes(), socket)
        .map(drop)
}

fn readiness(measured: Option<&str>) -> String {
    let status = measured.map(|measured| format!("\nSTATUS={measured}"));
    format!("READY=1{}", status.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{Fakes, shell};
    use super::*;

    /// An engine in whose nodes systemd starts everything once the file `starts` is there; their journal is the file
    /// `journal`. What they are asked is remembered with what kind was.
    const ENGINE: &str = r#"#!/bin/sh
cd "${0%/*}" || exit 1
shift 3
echo "$*" >> calls
case $1 in
systemd-run) [ -e starts ] ;;
*) cat journal ;;
esac
"#;

    #[tokio::test]
    async fn a_unit_is_one_that_says_when_it_is_ready_and_is_forgotten_at_its_end() {
        let fakes = Fakes::knowing(&[]);
        fakes.write("engine", ENGINE);
        fakes.write("starts", "");
        let engine = fakes.engine();
        let unit = Unit::of(&engine, "w1", "a-unit");
        let program = ["/program", "__role", "[1]"];
        unit.start("try", &program).await.unwrap();
        assert_eq!(
            fakes.calls(),
            "systemd-run --quiet --collect --service-type=notify --unit=a-unit -- /program __role [1]\n"
        );
    }

    #[tokio::test]
    async fn a_unit_that_does_not_become_ready_is_told_with_its_last_words_where_there_are_any() {
        let fakes = Fakes::knowing(&[]);
        fakes.write("engine", ENGINE);
        let engine = fakes.engine();
        let unit = Unit::of(&engine, "w1", "a-unit");
        let error = unit.start("try", &["/program"]).await.unwrap_err();
        assert_eq!(error.act, "run systemd-run in node w1");
        fakes.write("journal", "there is no such queue\n");
        let error = unit.start("try", &["/program"]).await.unwrap_err();
        assert_eq!(error.act, "try");
        assert_eq!(error.source.unwrap().to_string(), "there is no such queue");
        let calls = fakes.calls();
        let last = calls.lines().last().unwrap();
        assert_eq!(last, "journalctl --unit a-unit --lines=5 --output=cat");
    }

    #[test]
    fn to_end_what_is_not_there_is_fine_and_what_does_not_end_is_told() {
        for (state, is_fine) in [("not-found", true), ("loaded", false)] {
            // This systemd ends nothing.
            let systemctl = format!("systemctl() {{ [ \"$1\" = show ] && echo {state}; }}\n");
            let ran = shell(&format!("{systemctl}{STOP}"), &["a-unit"]);
            assert_eq!(ran.status.success(), is_fine, "{state}: {ran:?}");
        }
    }

    #[test]
    fn systemd_is_told_what_was_measured_where_something_was() {
        assert_eq!(readiness(None), "READY=1");
        assert_eq!(readiness(Some("1 ms")), "READY=1\nSTATUS=1 ms");
    }
}
