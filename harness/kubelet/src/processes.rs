//! The processes of this node, as `/proc` tells them: who is in which container, and what they have used.
//!
//! Invariant: nothing here needs control groups or a right beyond seeing the processes, so that it works rootless.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Clock ticks in a second, as `/proc` counts them: `USER_HZ`, which is 100 on every architecture we are built for.
const TICKS_PER_SECOND: u64 = 100;

/// Nanoseconds in a clock tick.
const TICK: u64 = 1_000_000_000 / TICKS_PER_SECOND;

/// What processes have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Processor time of them and of the children that they have waited for, in nanoseconds.
    pub(crate) cpu: u64,
    /// Memory that they hold now, in bytes. What several of them share counts for each.
    pub(crate) resident: u64,
    /// Of that, what is no file's, in bytes.
    pub(crate) anonymous: u64,
}

impl Used {
    fn add(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.resident += other.resident;
        self.anonymous += other.anonymous;
    }

    /// The sum.
    pub(crate) fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        let mut sum = Self::default();
        all.into_iter().for_each(|used| sum.add(used));
        sum
    }
}

/// What the processes of each PID namespace of this node have used. Blocks while it reads some files for each process.
pub(crate) fn used_by_namespace() -> BTreeMap<PathBuf, Used> {
    let mut all: BTreeMap<PathBuf, Used> = BTreeMap::new();
    for pid in processes() {
        // One that ended meanwhile is counted by whoever waits for it.
        if let (Some(namespace), Some(used)) = (namespace(pid), used(pid)) {
            all.entry(namespace).or_default().add(used);
        }
    }
    all
}

/// The PID namespace of a process: the same path for all processes of a container.
pub(crate) fn namespace(pid: i32) -> Option<PathBuf> {
    std::fs::read_link(folder(pid).join("ns/pid")).ok()
}

/// Every process that there is on this node now.
pub(crate) fn processes() -> impl Iterator<Item = i32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn folder(pid: i32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

fn used(pid: i32) -> Option<Used> {
    let read = |name| std::fs::read_to_string(folder(pid).join(name)).ok();
    parse(&read("stat")?, &read("status")?)
}

/// `/proc/PID/stat` and `/proc/PID/status`, see proc(5). A process that has ended and was not waited for holds no memory.
fn parse(stat: &str, status: &str) -> Option<Used> {
    // The name, in parentheses, may hold anything; the state that follows it is the third field.
    let (_, rest) = stat.rsplit_once(')')?;
    // utime, stime, cutime and cstime are the fields 14 to 17.
    let times = rest.split_whitespace().skip(11).take(4);
    let times: Vec<u64> = times.filter_map(|field| field.parse().ok()).collect();
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    (times.len() == 4).then(|| Used {
        cpu: times.iter().sum::<u64>() * TICK,
        resident: kibibytes("VmRSS:").unwrap_or_default() * 1024,
        anonymous: kibibytes("RssAnon:").unwrap_or_default() * 1024,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_the_namespace_of_those_beside_it() {
        let own = i32::try_from(std::process::id()).expect("a process id");
        assert!(processes().any(|pid| pid == own));
        assert_eq!(namespace(own), std::fs::read_link("/proc/self/ns/pid").ok());
        assert_eq!(namespace(0), None);
    }

    #[test]
    fn figures_are_read_whatever_a_process_is_called() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 200 0 0 5 3 20 10 20 0 1 0 100 4096 10";
        let status =
            "Name:\ta) b\nVmRSS:\t    2048 kB\nRssAnon:\t     512 kB\nRssFile:\t 1536 kB\n";
        let used = Used {
            cpu: 380_000_000,
            resident: 2 << 20,
            anonymous: 512 << 10,
        };
        assert_eq!(parse(stat, status), Some(used));
        let dead = Used {
            resident: 0,
            anonymous: 0,
            ..used
        };
        assert_eq!(parse(stat, "Name:\ta) b\n"), Some(dead));
        assert_eq!(parse("7 (a) S 1", status), None);
    }

    #[test]
    fn this_process_is_in_the_figures_of_its_namespace() {
        let own = i32::try_from(std::process::id()).expect("a process id");
        let alone = used(own).expect("this process is there");
        assert!(alone.resident > 0 && alone.anonymous <= alone.resident);
        let namespace = namespace(own).expect("this process is there");
        let all = used_by_namespace();
        assert!(all[&namespace].resident >= alone.anonymous);
    }
}
