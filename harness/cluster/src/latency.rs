//! Packets from other zones that arrive late: they wait in queues of the kernel, which a process in the network namespace
//! that they arrive in serves.
//!
//! Invariant: when that process ends, packets pass at once.

use crate::{ClusterError, failed};
use harness_kernel::KernelError;
use harness_kernel::nfqueue::{DelayQueue, QueueRule, install};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

/// The number of the first queue: clear of those that network agents of nodes use (kindnet's are about 100).
const FIRST_QUEUE: u16 = 4200;

/// Packets that are late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Late {
    /// Where they come from: addresses and networks.
    pub(crate) sources: Vec<String>,
    /// How late they are.
    pub(crate) delay: Duration,
}

/// Queues that are served.
#[derive(Debug)]
pub(crate) struct Queues(Vec<JoinHandle<Result<Infallible, KernelError>>>);

/// Holds back what arrives by `link`, in the calling thread's network namespace. `lock` is a file that `iptables` may
/// lock.
pub(crate) fn start(link: &str, late: &[Late], lock: &Path) -> Result<Queues, ClusterError> {
    let mut queues = Vec::new();
    let mut rules = Vec::new();
    for (number, late) in (FIRST_QUEUE..).zip(late) {
        let queue = DelayQueue::open(number, late.delay).map_err(no_delay)?;
        let thread = std::thread::Builder::new()
            .name(format!("delay-{number}"))
            .spawn(move || queue.run())
            .map_err(failed("start a thread"))?;
        queues.push(thread);
        rules.extend(late.sources.iter().map(|source| QueueRule {
            link: link.to_owned(),
            source: source.clone(),
            queue: number,
        }));
    }
    if !rules.is_empty() {
        install(&rules, lock).map_err(no_delay)?;
    }
    Ok(Queues(queues))
}

impl Queues {
    /// Goes on until one breaks; returns at once when there is none.
    pub(crate) fn serve(self) -> Result<(), ClusterError> {
        for queue in self.0 {
            // Packets pass undelayed when one ends; whoever started this process sees it end and says so.
            queue
                .join()
                .map_err(|_| failed("delay packets")(io::Error::other("the thread panicked")))?
                .map_err(failed("delay packets"))?;
        }
        Ok(())
    }
}

fn no_delay(error: KernelError) -> ClusterError {
    failed("delay packets between zones")(error).hint(
        "install iptables, and allow the kernel module xt_NFQUEUE; or use a topology without latency",
    )
}
