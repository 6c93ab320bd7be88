//! Packets delayed in user space: a client of the kernel's NFQUEUE, for kernels without `sch_netem`.
//!
//! Invariant: fail-open. Rules carry `--queue-bypass` and the queue FAIL_OPEN, so that packets pass undelayed
//! when this process has died or is overrun.

use crate::KernelError;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Which packets go to a queue: those that come in by `link` from `source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRule {
    /// Incoming link.
    pub link: String,
    /// Source network, a CIDR.
    pub source: String,
    /// Queue number.
    pub queue: u16,
}

/// The chain of ours that everything passes that comes in.
pub const CHAIN: &str = "MESHPROOF-LATENCY";

/// Sends packets to queues, in the calling thread's network namespace, instead of what an earlier call has sent there.
/// `lock` is a file that `iptables` may
/// lock, since its usual one belongs to root.
///
/// # Errors
///
/// When `iptables-restore` is missing or the kernel has no NFQUEUE.
pub fn install(rules: &[QueueRule], lock: &Path) -> Result<(), KernelError> {
    let rules = rules.iter().map(|rule| {
        let which = format!("-i {} -s {}", rule.link, rule.source);
        (which, rule.queue)
    });
    replace(rules, lock)
}

/// Sends what arrives at a TCP port, over IPv4, to a queue, in the calling thread's network namespace, instead of what an
/// earlier call has sent there.
///
/// # Errors
///
/// As of [`install`].
pub fn install_for_port(port: u16, queue: u16, lock: &Path) -> Result<(), KernelError> {
    replace([(format!("-p tcp --dport {port}"), queue)], lock)
}

/// Sends nothing to queues any more, in the calling thread's network namespace.
///
/// # Errors
///
/// As of [`install`].
pub fn uninstall(lock: &Path) -> Result<(), KernelError> {
    replace(std::iter::empty(), lock)
}

/// Puts these rules in place of those that are there: which packets go to which queue.
fn replace(rules: impl IntoIterator<Item = (String, u16)>, lock: &Path) -> Result<(), KernelError> {
    // Naming a chain empties it. A second jump to it does nothing: what a queue has accepted leaves the hook, what no
    // rule takes is looked at twice.
    let mut text = format!("*mangle\n:{CHAIN} - [0:0]\n-A PREROUTING -j {CHAIN}\n");
    for (which, queue) in rules {
        text += &format!("-A {CHAIN} {which} -j NFQUEUE --queue-num {queue} --queue-bypass\n");
    }
    text += "COMMIT\n";
    let act = "run `iptables-restore`";
    let mut child = Command::new(crate::program("iptables-restore"))
        .args(["--noflush", "--wait", "5"])
        .env("PATH", crate::search_path())
        .env("XTABLES_LOCKFILE", lock)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| KernelError::new(act, error))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(text.as_bytes())
            .map_err(|error| KernelError::new(act, error))?;
    }
    let output = child
        .wait_with_output()
        .map_err(|error| KernelError::new(act, error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(KernelError::new(
        "send packets to a queue by `iptables`",
        io::Error::other(said),
    ))
}

/// One queue whose packets all wait for the same time.
#[derive(Debug)]
pub struct DelayQueue {
    socket: OwnedFd,
    number: u16,
    delay: Duration,
}

const CONFIG: u16 = 3 << 8 | 2;
const VERDICT_BATCH: u16 = 3 << 8 | 3;
const PACKET: u16 = 3 << 8;
/// Packets held at most: a gigabit a second of large packets for half a second.
const LENGTH: u32 = 65_536;
/// How much is read from the kernel at once, in bytes.
const BUFFER: usize = 64 * 1024;
/// How often it is looked whether packets are still wanted late.
const GLANCE: Duration = Duration::from_millis(50);
/// How long packets that nobody wants late any more may take beside the delay, on a busy machine.
const DRAIN: Duration = Duration::from_secs(1);

impl DelayQueue {
    /// Takes over the queue `number` of the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// When the kernel has no NFQUEUE or the queue has an owner.
    pub fn open(number: u16, delay: Duration) -> Result<Self, KernelError> {
        let fail = |error: nix::Error| KernelError::new("open a packet queue", error);
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )
        .map_err(fail)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(fail)?;
        // Only a larger buffer: without it bursts overrun and pass undelayed.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &(4 << 20));
        let queue = Self {
            socket,
            number,
            delay,
        };
        // Command BIND; the protocol family is ignored since 3.8.
        queue.configure(&attribute(1, &[1, 0, 0, 2]))?;
        let mut settings = Vec::new();
        // Copy metadata only: the packet itself stays in the kernel.
        settings.extend(attribute(2, &[0, 0, 0, 0, 1]));
        settings.extend(attribute(3, &LENGTH.to_be_bytes()));
        // FAIL_OPEN and GSO: without GSO the kernel cuts large packets before it queues them.
        settings.extend(attribute(4, &5_u32.to_be_bytes()));
        settings.extend(attribute(5, &5_u32.to_be_bytes()));
        queue.configure(&settings)?;
        Ok(queue)
    }

    /// Delays packets for ever, on the calling thread.
    ///
    /// # Errors
    ///
    /// When the queue breaks; packets then pass undelayed.
    pub fn run(self) -> Result<std::convert::Infallible, KernelError> {
        let (mut waiting, mut buffer) = (VecDeque::new(), vec![0; BUFFER]);
        loop {
            self.turn(&mut waiting, &mut buffer, None)?;
        }
    }

    /// Delays packets, on the calling thread, for as long as `is_wanted` says so, and until the last one has passed. Where the rule
    /// that sends them is still there, and so there is no last one, that is for the delay and a second at most: from then on they
    /// pass at once, and of those that wait then TCP sends another copy.
    ///
    /// # Errors
    ///
    /// As of [`run`](Self::run).
    pub fn run_while(self, is_wanted: &AtomicBool) -> Result<(), KernelError> {
        let (mut waiting, mut buffer) = (VecDeque::new(), vec![0; BUFFER]);
        while is_wanted.load(Ordering::Relaxed) {
            self.turn(&mut waiting, &mut buffer, Some(GLANCE))?;
        }
        let until = Instant::now() + self.delay + DRAIN;
        while !waiting.is_empty() && Instant::now() < until {
            self.turn(&mut waiting, &mut buffer, Some(GLANCE))?;
        }
        Ok(())
    }

    /// Waits for packets, or until the first of those that wait is due, but no longer than `at_most`, and lets pass what is
    /// due.
    fn turn(
        &self,
        waiting: &mut VecDeque<(Instant, u32)>,
        buffer: &mut [u8],
        at_most: Option<Duration>,
    ) -> Result<(), KernelError> {
        let fail = |error: nix::Error| KernelError::new("delay packets", error);
        let until_due = waiting
            .front()
            .map(|(due, _)| due.saturating_duration_since(Instant::now()));
        let timeout = until_due.into_iter().chain(at_most).min();
        let mut poll = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut poll, timeout.map(TimeSpec::from), None) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(fail(error)),
        }
        loop {
            match recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => {
                    let due = Instant::now() + self.delay;
                    packets(&buffer[..length], |id| waiting.push_back((due, id)));
                }
                Err(nix::Error::EAGAIN) => break,
                // Overrun: those packets have passed (FAIL_OPEN).
                Err(nix::Error::ENOBUFS | nix::Error::EINTR) => {}
                Err(error) => return Err(fail(error)),
            }
        }
        let now = Instant::now();
        let mut last = None;
        while let Some((due, id)) = waiting.front()
            && *due <= now
        {
            last = Some(*id);
            waiting.pop_front();
        }
        let Some(id) = last else {
            return Ok(());
        };
        // All packets wait equally long, so one verdict lets everything up to this one pass.
        let mut verdict = 1_u32.to_be_bytes().to_vec();
        verdict.extend(id.to_be_bytes());
        let message = self.message(VERDICT_BATCH, libc::NLM_F_REQUEST, &attribute(2, &verdict));
        match send(self.socket.as_raw_fd(), &message, MsgFlags::empty()) {
            // ENOENT: the packets are gone already.
            Ok(_) | Err(nix::Error::ENOENT | nix::Error::EINTR) => Ok(()),
            Err(error) => Err(fail(error)),
        }
    }

    fn configure(&self, attributes: &[u8]) -> Result<(), KernelError> {
        let fail = |error: io::Error| {
            KernelError::new(format!("set up packet queue {}", self.number), error)
        };
        let message = self.message(CONFIG, libc::NLM_F_REQUEST | libc::NLM_F_ACK, attributes);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())
            .map_err(|error| fail(error.into()))?;
        let mut answer = [0; 4096];
        let length = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())
            .map_err(|error| fail(error.into()))?;
        match answer[..length]
            .get(16..20)
            .map(|code| i32::from_ne_bytes(code.try_into().expect("four bytes were taken")))
        {
            Some(0) => Ok(()),
            Some(code) => Err(fail(io::Error::from_raw_os_error(-code))),
            None => Err(fail(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn message(&self, kind: u16, flags: i32, attributes: &[u8]) -> Vec<u8> {
        let mut message = Vec::with_capacity(20 + attributes.len());
        message.extend((20 + attributes.len() as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((flags as u16).to_ne_bytes());
        message.extend([0; 8]);
        // nfgenmsg: unspecified family, version 0, queue number.
        message.extend([0, 0]);
        message.extend(self.number.to_be_bytes());
        message.extend(attributes);
        message
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = Vec::with_capacity(8 + value.len());
    attribute.extend((4 + value.len() as u16).to_ne_bytes());
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// Calls `each` with the id of every packet in a datagram of netlink messages.
fn packets(mut messages: &[u8], mut each: impl FnMut(u32)) {
    let short = |bytes: &[u8], at: usize| {
        bytes
            .get(at..at + 2)
            .map(|two| usize::from(u16::from_ne_bytes([two[0], two[1]])))
    };
    while let Some(length) = messages.get(..4) {
        let length = u32::from_ne_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let Some(message) = messages.get(..length).filter(|message| message.len() >= 20) else {
            return;
        };
        if short(message, 4) == Some(usize::from(PACKET)) {
            let mut attributes = &message[20..];
            while let (Some(size), Some(kind)) = (short(attributes, 0), short(attributes, 2)) {
                if kind & 0x3fff == 1
                    && let Some(id) = attributes.get(4..8)
                {
                    each(u32::from_be_bytes([id[0], id[1], id[2], id[3]]));
                    break;
                }
                let step = size.max(4).next_multiple_of(4);
                attributes = attributes.get(step..).unwrap_or_default();
            }
        }
        messages = messages
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
}
