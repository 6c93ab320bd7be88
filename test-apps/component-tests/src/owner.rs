//! Who made something in the engine: one test of one process, in words that no other test has.
//!
//! Invariant: of a process that cannot be seen from here nobody says that it is dead.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// A test of a process of this machine, written `BOOT-NAMESPACE-PROCESS-START-TEST` in labels, tags and names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The boot of the machine and the PID namespace: where numbers of processes mean the same.
    place: String,
    process: u32,
    /// When it started, in ticks since the boot: numbers are given again.
    start: u64,
    /// A process may run several tests at once.
    test: u32,
}

impl Owner {
    /// Another test of this process.
    ///
    /// # Panics
    ///
    /// Where there is no `/proc`.
    #[must_use]
    pub fn another() -> Self {
        static TESTS: AtomicU32 = AtomicU32::new(0);
        let process = std::process::id();
        Self {
            place: place(),
            process,
            start: start(process).expect("own start in /proc"),
            test: TESTS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Reads what [`Display`](std::fmt::Display) writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(4, '-');
        let test = parts.next()?.parse().ok()?;
        let start = parts.next()?.parse().ok()?;
        let process = parts.next()?.parse().ok()?;
        Some(Self {
            place: parts.next()?.to_owned(),
            process,
            start,
            test,
        })
    }

    /// Whether it was a process of here and is no more.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.place == place() && start(self.process) != Some(self.start)
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            place,
            process,
            start,
            test,
        } = self;
        write!(formatter, "{place}-{process}-{start}-{test}")
    }
}

fn place() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let namespace = namespace.to_string_lossy();
    let digits = namespace.trim_matches(|letter: char| !letter.is_ascii_digit());
    format!("{}-{digits}", boot.split('-').next().unwrap_or_default())
}

/// Field 22 of `stat`, counted from behind the program's name, which may have spaces.
fn start(process: u32) -> Option<u64> {
    let stat =
        fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()
}
