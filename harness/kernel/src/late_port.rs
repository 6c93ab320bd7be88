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

/// How long a connection, or the end of who was late before, may take beside the delay, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is tried whether the queue is free.
const PAUSE: Duration = Duration::from_millis(50);

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
/// port. Takes as long as that, and where packets from before an [`end`](LatePort::end) still wait, as long as they do, but the
/// delay and three seconds at most. `lock` is a file that `iptables` may lock.
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
    let without_effect = |took: String| {
        let why = format!("a connection took {took}");
        KernelError::new(
            format!("make port {} late", to.port()),
            io::Error::other(why),
        )
    };
    let was = before.as_millis();
    if before >= delay {
        return Err(without_effect(format!("{was} ms before")));
    }
    let queue = open(&namespace, delay)?;
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
        let took = format!("{was} ms before and {} ms meanwhile", meanwhile.as_millis());
        if meanwhile < delay {
            return Err(without_effect(took));
        }
        Ok(format!("a connection to port {} took {took}", to.port()))
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
    /// When `iptables` does not take its rule back. Packets pass at once all the same, after the delay and a second.
    pub fn end(&self) -> Result<(), KernelError> {
        let uninstalled = self
            .namespace
            .run_in(|| nfqueue::uninstall(&self.lock))
            .and_then(|uninstalled| uninstalled);
        self.is_wanted.store(false, Ordering::Relaxed);
        uninstalled
    }
}

/// Takes over the queue. Who had it until just now gives it back when the last packet that waited has passed.
#[expect(
    clippy::disallowed_methods,
    reason = "the kernel does not tell that a queue is free"
)]
fn open(namespace: &NetNs, delay: Duration) -> Result<DelayQueue, KernelError> {
    let until = Instant::now() + delay + PATIENCE;
    loop {
        match namespace.run_in(|| DelayQueue::open(QUEUE, delay))? {
            Err(error) if is_taken(&error) && Instant::now() < until => std::thread::sleep(PAUSE),
            opened => return opened,
        }
    }
}

/// Whether somebody else has the queue, as the kernel says it (`nfqnl_recv_config`).
fn is_taken(error: &KernelError) -> bool {
    let kind = error.source.kind();
    matches!(
        kind,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ResourceBusy
    )
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
