//! Looking at what leaves a data center and comes in: in each of its nodes a process of ours, this very program, looks at the device
//! that leads to the other nodes.
//!
//! Invariant: the process ends with its standard input, so when the engine's program or we are gone.

use super::brought::{Brought, PROGRAM};
use super::engine::Engine;
use super::zone::{LINK, Worker, inside};
use crate::reexec::argument;
use crate::{ClusterError, WireSeen, failed, wire};
use futures::future::try_join_all;
use harness_kernel::tap::Tap;
use harness_model::causes::chain;
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout};

/// What the program is started as in a node; the argument after it is the source address that counts.
pub(super) const ROLE: &str = "__wire";
/// What it says once it looks.
const LOOKS: &str = "looks";
/// How long a process may take to start, or to tell what it saw, on a busy machine.
const ANSWER: Duration = Duration::from_secs(20);

/// Who looks.
#[derive(Default)]
pub(super) struct Wires {
    /// By data center and source address.
    looking: Mutex<BTreeMap<(String, Ipv4Addr), Vec<Looking>>>,
    brought: Brought,
}

/// A process in a node.
struct Looking {
    node: String,
    process: Child,
    said: BufReader<ChildStdout>,
}

impl Wires {
    /// Looks from now on at what leaves the data center from an address, and comes in for it.
    pub(super) async fn watch(
        &self,
        engine: &Engine,
        workers: &[Worker],
        data_center: &str,
        source: Ipv4Addr,
    ) -> Result<(), ClusterError> {
        let nodes = inside(workers, data_center)?;
        let started = nodes.into_iter().map(|worker| async move {
            self.brought.bring(engine, &worker.name).await?;
            let act = format!("look at what leaves node {}", worker.name);
            start(engine, &worker.name, source)
                .await
                .map_err(failed(act))
        });
        let started = try_join_all(started).await?;
        let key = (data_center.to_owned(), source);
        self.looking().insert(key, started);
        Ok(())
    }

    /// What was seen since, but for what stays in the data center.
    pub(super) async fn seen(
        &self,
        workers: &[Worker],
        data_center: &str,
        source: Ipv4Addr,
    ) -> Result<WireSeen, ClusterError> {
        let inside = inside(workers, data_center)?;
        let key = (data_center.to_owned(), source);
        let looking = self.looking().remove(&key).ok_or_else(|| {
            let act = format!("tell what left data center `{data_center}` from {source}");
            ClusterError::because(act, "nobody has looked")
        })?;
        let told = looking.into_iter().map(|looking| async move {
            let act = format!("hear what left node {}", looking.node);
            let told = tokio::time::timeout(ANSWER, looking.end()).await;
            let told = told.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            told.map_err(failed(act))
        });
        let mut all = WireSeen::default();
        for seen in try_join_all(told).await? {
            all.unseen += seen.unseen;
            let is_inside = |end: &str| {
                let end: Option<SocketAddrV4> = end.parse().ok();
                end.is_some_and(|end| inside.iter().any(|worker| worker.holds(*end.ip())))
            };
            let crossed = seen
                .connections
                .into_iter()
                .filter(|connection| !(is_inside(&connection.from) && is_inside(&connection.to)));
            all.connections.extend(crossed);
        }
        Ok(all)
    }

    fn looking(&self) -> MutexGuard<'_, BTreeMap<(String, Ipv4Addr), Vec<Looking>>> {
        // The map is whole after every change.
        self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn start(engine: &Engine, node: &str, source: Ipv4Addr) -> io::Result<Looking> {
    let source = source.to_string();
    let mut process = engine.talk_to_node(node, &[PROGRAM, ROLE, &source])?;
    let (Some(output), Some(mut errors)) = (process.stdout.take(), process.stderr.take()) else {
        return Err(io::Error::other("it has no streams"));
    };
    let mut said = BufReader::new(output);
    let mut line = String::new();
    tokio::time::timeout(ANSWER, said.read_line(&mut line)).await??;
    if line.trim() != LOOKS {
        let mut why = String::new();
        errors.read_to_string(&mut why).await?;
        return Err(io::Error::other(format!("{line}{why}").trim().to_owned()));
    }
    Ok(Looking {
        node: node.to_owned(),
        process,
        said,
    })
}

impl Looking {
    async fn end(mut self) -> io::Result<WireSeen> {
        drop(self.process.stdin.take());
        let mut text = String::new();
        self.said.read_to_string(&mut text).await?;
        self.process.wait().await?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// The process in a node: looks until its input ends, and tells what it saw.
pub(super) fn run() -> Result<(), ClusterError> {
    let outcome = look();
    if let Err(error) = &outcome {
        // Whoever started it reads it.
        let _ = io::stderr().write_all(chain(error).as_bytes());
    }
    outcome
}

fn look() -> Result<(), ClusterError> {
    let act = "be told which source address counts";
    let source: Ipv4Addr = argument(act)?.parse().map_err(failed(act))?;
    let tap = Tap::open(LINK, source).map_err(failed("look at packets"))?;
    let mut output = io::stdout();
    writeln!(output, "{LOOKS}").map_err(failed("say that it looks"))?;
    let _ = io::stdin().read_to_end(&mut Vec::new());
    let seen = tap.seen().map_err(failed("tell what was seen"))?;
    let seen = WireSeen {
        connections: wire::connections(source, &seen.packets),
        unseen: seen.dropped,
    };
    serde_json::to_writer(output, &seen).map_err(failed("tell what was seen"))
}
