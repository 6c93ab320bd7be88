//! Reading how busy this machine is: for what time something waited for a processor, a disk or memory (pressure stall
//! information), and the load average.
//!
//! Invariant: no verdict depends on it. What the kernel does not tell is not told, and fails nothing.

use crate::plan::ClusterChoice;
use harness_model::machine::MachineLoad;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// This machine, looked at from the beginning of something to its end.
pub(crate) struct Look {
    proc: PathBuf,
    began: Instant,
    before: Waits,
}

impl Look {
    /// Looks from now on; none where the clusters run elsewhere, or the kernel tells nothing.
    pub(crate) fn begin(cluster: &ClusterChoice) -> Option<Self> {
        if cluster.is_here() {
            Self::at(Path::new("/proc"))
        } else {
            None
        }
    }

    fn at(proc: &Path) -> Option<Self> {
        Some(Self {
            proc: proc.to_owned(),
            began: Instant::now(),
            before: Waits::read(proc)?,
        })
    }

    /// What was seen until now.
    pub(crate) fn end(&self) -> Option<MachineLoad> {
        let now = Waits::read(&self.proc)?;
        let over = self.began.elapsed();
        let share = |before: Option<u64>, now: Option<u64>| Some(percent(before?, now?, over));
        Some(MachineLoad {
            processor_wait_percent: percent(self.before.processor, now.processor, over),
            disk_wait_percent: share(self.before.disk, now.disk),
            memory_wait_percent: share(self.before.memory, now.memory),
            load: load(&fs::read_to_string(self.proc.join("loadavg")).ok()?)?,
            processors: processors(&fs::read_to_string(self.proc.join("stat")).ok()?)?,
        })
    }
}

/// For how long something has waited since the machine was started, microseconds.
struct Waits {
    processor: u64,
    disk: Option<u64>,
    memory: Option<u64>,
}

impl Waits {
    /// None where there is no pressure stall information: the kernel is older or was built without it, or it was turned off
    /// when the machine was started, so that the files are there and cannot be read.
    fn read(proc: &Path) -> Option<Self> {
        let of = |what: &str| -> Option<u64> {
            waited(&fs::read_to_string(proc.join("pressure").join(what)).ok()?)
        };
        Some(Self {
            processor: of("cpu")?,
            disk: of("io"),
            memory: of("memory"),
        })
    }
}

/// The counter of `some avg10=0.00 avg60=0.00 avg300=0.00 total=123`.
fn waited(pressure: &str) -> Option<u64> {
    let mut lines = pressure.lines();
    let some = lines.find_map(|line| line.strip_prefix("some "))?;
    let mut fields = some.split_whitespace();
    let total = fields.find_map(|field| field.strip_prefix("total="))?;
    total.parse().ok()
}

/// The average of the last minute of `31.20 28.10 12.00 40/1008 25967`.
fn load(loadavg: &str) -> Option<f64> {
    let load: f64 = loadavg.split_whitespace().next()?.parse().ok()?;
    load.is_finite().then_some(load)
}

/// The lines `cpu0`, `cpu1` and so on of `/proc/stat`: the load is that of the whole machine, so all its processors count,
/// and not those alone that this process may use.
fn processors(stat: &str) -> Option<usize> {
    let is_one = |line: &&str| {
        let rest = line.strip_prefix("cpu");
        rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    let count = stat.lines().filter(is_one).count();
    (count > 0).then_some(count)
}

/// The part of a time that a counter of microseconds has grown by. Counter and clock are not read in one moment, so it may come
/// out as more than all.
fn percent(before: u64, now: u64, over: Duration) -> u8 {
    let over = over.as_micros().max(1);
    let share = (u128::from(now.saturating_sub(before)) * 100 + over / 2) / over;
    u8::try_from(share.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: &str = "some avg10=0.00 avg60=1.50 avg300=0.10 total=1000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";

    /// A folder as `/proc` with these files.
    fn proc(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("pressure")).expect("it is empty");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("the folder takes it");
        }
        folder
    }

    #[test]
    fn the_counter_of_some_is_read_and_junk_is_nothing() {
        assert_eq!(waited(QUIET), Some(1000));
        for junk in [
            "",
            "some",
            "some avg10=0.00\n",
            "some avg10=0.00 total=\n",
            "some avg10=0.00 total=-1\n",
            "full avg10=0.00 total=7\n",
            "\0\0",
        ] {
            assert_eq!(waited(junk), None, "{junk:?}");
        }
    }

    #[test]
    fn the_load_of_the_last_minute_is_read_and_junk_is_nothing() {
        assert_eq!(load("31.20 28.10 12.00 40/1008 25967\n"), Some(31.2));
        for junk in ["", "busy 28.10\n", "NaN 28.10\n", "inf\n"] {
            assert_eq!(load(junk), None, "{junk:?}");
        }
    }

    #[test]
    fn processors_are_counted_without_their_sum() {
        let stat = "cpu  3 2 1\ncpu0 1 1 1\ncpu11 2 1 0\nintr 5\ncpufreq 1\n";
        assert_eq!(processors(stat), Some(2));
        assert_eq!(processors("cpu  3 2 1\n"), None);
    }

    #[test]
    fn a_share_is_rounded_and_never_more_than_all() {
        let second = Duration::from_secs(1);
        assert_eq!(percent(1000, 966_000, second), 97);
        assert_eq!(percent(5, 5, second), 0);
        assert_eq!(percent(0, 1_200_000, second), 100);
        // The counter began anew, or no time has passed.
        assert_eq!(percent(9, 5, second), 0);
        assert_eq!(percent(0, 5, Duration::ZERO), 100);
    }

    #[test]
    fn what_was_waited_for_meanwhile_is_told() {
        let folder = proc(&[
            ("pressure/cpu", QUIET),
            ("pressure/io", QUIET),
            ("loadavg", "0.10 0.10 0.10 1/99 7\n"),
            ("stat", "cpu  3 2 1\ncpu0 1 1 1\ncpu1 2 1 0\n"),
        ]);
        let look = Look::at(folder.path()).expect("processors are told");
        // Ten hours within however long this test takes.
        let busy = "some avg10=99.00 avg60=9.00 avg300=9.00 total=36000001000\n";
        for (name, text) in [
            ("pressure/cpu", busy),
            ("loadavg", "31.20 9.00 9.00 31/99 8\n"),
        ] {
            fs::write(folder.path().join(name), text).expect("the folder takes it");
        }
        let told = MachineLoad {
            processor_wait_percent: 100,
            disk_wait_percent: Some(0),
            memory_wait_percent: None,
            load: 31.2,
            processors: 2,
        };
        assert_eq!(look.end(), Some(told));
        fs::write(folder.path().join("pressure/cpu"), "junk").expect("the folder takes it");
        assert_eq!(look.end(), None);
    }

    #[test]
    fn where_the_kernel_tells_nothing_nothing_is_told() {
        let folder = proc(&[("loadavg", "0.10 0.10 0.10 1/99 7\n"), ("stat", "cpu0 1\n")]);
        assert!(Look::at(folder.path()).is_none());
        let file = folder.path().join("pressure/cpu");
        // A folder in the place of the file can be opened and not read, as a file of a kernel that was started with psi=0.
        fs::create_dir(&file).expect("it is not there");
        assert!(Look::at(folder.path()).is_none());
        fs::remove_dir(&file).expect("it is empty");
        fs::write(&file, QUIET).expect("the folder takes it");
        assert!(Look::at(folder.path()).is_some());
    }
}
