//! What a figure was measured on, and how busy that was with other things.

use crate::workspace;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Clock ticks a second in `/proc`: 100 on every architecture that Rust runs on.
const TICKS: u32 = 100;

/// Facts about the machine, the program and the sources, for readers of the figures.
pub(super) fn facts(program: &Path) -> Value {
    json!({
        "cores": cores(),
        "processor": field("/proc/cpuinfo", "model name"),
        "memory": field("/proc/meminfo", "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "loadAverage": read("/proc/loadavg"),
        "user": if crate::system::is_root() { "root" } else { "ordinary" },
        "program": program.display().to_string(),
        "commit": git(&["rev-parse", "HEAD"]),
        "uncommittedChanges": git(&["status", "--porcelain"]).is_some_and(|text| !text.is_empty()),
    })
}

/// How many threads run at once here.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processor time that ended children of this process have used, their own ended children among them.
pub(super) fn children_time() -> Duration {
    let text = read("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses and may hold anything; the third follows the last one.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks: u32 = fields
        .split_whitespace()
        .skip(13)
        .take(2)
        .filter_map(|field| field.parse::<u32>().ok())
        .sum();
    Duration::from_millis(u64::from(ticks) * 1000 / u64::from(TICKS))
}

/// Processor time of the whole machine since its start: used by anybody, and all there was.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    used: u64,
    all: u64,
}

impl Used {
    /// Reads the clock.
    pub(super) fn now() -> Self {
        Self::of(&read("/proc/stat").unwrap_or_default())
    }

    fn of(text: &str) -> Self {
        let ticks: Vec<u64> = text
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            // `cpu`, then user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in user.
            .skip(1)
            .take(8)
            .filter_map(|field| field.parse().ok())
            .collect();
        let all: u64 = ticks.iter().sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        Self {
            used: all - idle,
            all,
        }
    }

    /// The share of the machine that was in use since then, from 0 to 1.
    pub(super) fn share_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        self.used.saturating_sub(before.used) as f64 / all as f64
    }
}

fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = read(path)?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .current_dir(workspace::root())
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_what_was_not_idle() {
        let before = Used::of("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 1 1 1");
        let after = Used::of("cpu  150 0 150 790 110 0 0 0 90 0\ncpu0 1 1 1 1");
        assert!((after.share_since(before) - 0.5).abs() < 1e-9);
        assert!(before.share_since(before).abs() < 1e-9);
    }
}
