//! A TCP port of a network namespace at which everything arrives late: packets wait in a queue of the kernel, which a thread
//! of ours serves.
//!
//! Invariant: when this process ends, packets pass at once.

use crate::KernelError;
use crate::netns::NetNs;
use crate::nfqueue::{self, DelayQueue};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The number of the queue. The namespace of a pod has no other one.
const QUEUE: u16 = 4300;

/// How long a connection may take beside the delay, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(3);

/// A port that is late. It stays so until [`end`](Self::end), or until this process ends.
#[derive(Debug)]
#[must_use = "a port that nobody gives back stays late"]
pub struct LatePort {
    namespace: NetNs,
    lock: PathBuf,
    is_wanted: Arc<AtomicBool>,
}

/// Has everything that arrives at `to` in `namespace` wait for `delay`, and says what was measured: how long a connection from
/// the namespace to itself took before and meanwhile, which is once the delay, since what answers does not arrive at that
/// port. Takes as long as that. `lock` is a file that `iptables` may lock.
///
/// # Errors
///
/// When nobody listens, the kernel has no NFQUEUE, the port is late already, or a connection is as fast as before.
pub fn begin(
    namespace: NetNs,
    to: SocketAddrV4,
    delay: Duration,
    lock: &Path,
) -> Result<(LatePort, String), KernelError> {
    let before = connect(&namespace, to, PATIENCE)?;
    let queue = namespace.run_in(|| DelayQueue::open(QUEUE, delay))??;
    let is_wanted = Arc::new(AtomicBool::new(true));
    let late = LatePort {
        namespace,
        lock: lock.to_owned(),
        is_wanted: Arc::clone(&is_wanted),
    };
    // It ends with `is_wanted`; when it breaks, packets pass at once, and who waits for the port's end has nothing to undo.
    std::thread::Builder::new()
        .name("late-port".to_owned())
        .spawn(move || queue.run_while(&is_wanted))
        .map_err(|error| KernelError::new("start a thread", error))?;
    let measured = late.strike(to, delay).and_then(|meanwhile| {
        let (was, is) = (before.as_millis(), meanwhile.as_millis());
        if before < delay && meanwhile >= delay {
            return Ok(format!(
                "a connection to port {} took {was} ms before and {is} ms meanwhile",
                to.port()
            ));
        }
        let why = format!("a connection took {was} ms before and {is} ms meanwhile");
        Err(KernelError::new(
            format!("make port {} late", to.port()),
            io::Error::other(why),
        ))
    });
    match measured {
        Ok(measured) => Ok((late, measured)),
        Err(error) => {
            let _ = late.end();
            Err(error)
        }
    }
}

impl LatePort {
    /// Sends packets to the queue; how long a connection takes then.
    fn strike(&self, to: SocketAddrV4, delay: Duration) -> Result<Duration, KernelError> {
        self.namespace
            .run_in(|| nfqueue::install_for_port(to.port(), QUEUE, &self.lock))??;
        connect(&self.namespace, to, delay + PATIENCE)
    }

    /// From now on packets pass at once; those that wait, in their time.
    ///
    /// # Errors
    ///
    /// When `iptables` does not take its rule back. Packets pass at once all the same, when the last one has passed.
    pub fn end(&self) -> Result<(), KernelError> {
        let uninstalled = self
            .namespace
            .run_in(|| nfqueue::uninstall(&self.lock))
            .and_then(|uninstalled| uninstalled);
        self.is_wanted.store(false, Ordering::Relaxed);
        uninstalled
    }
}

/// How long a connection within the namespace takes.
fn connect(
    namespace: &NetNs,
    to: SocketAddrV4,
    patience: Duration,
) -> Result<Duration, KernelError> {
    let begun = Instant::now();
    namespace
        .run_in(|| TcpStream::connect_timeout(&SocketAddr::V4(to), patience))?
        .map_err(|error| KernelError::new(format!("connect to {to}"), error))?;
    Ok(begun.elapsed())
}
