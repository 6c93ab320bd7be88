//! An OCI runtime in front of `runc` for machines whose root lacks some rights.
//!
//! kind starts its nodes as privileged containers. For those an engine asks `runc` for every capability there is, and
//! `runc` fails where the bounding set lacks one (`CAP_SYS_RESOURCE` on many virtual machines). This program takes
//! out of the container's specification what the machine cannot give, and then becomes `runc`.

use anyhow::Context as _;
use nix::sys::resource::{Resource, getrlimit};
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// In the order of their numbers in `linux/capability.h`.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What this machine can give to a container.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// The bounding set of capabilities, one bit each.
    capabilities: u64,
    /// The lowest `oom_score_adj` that may be set; lowering it needs `CAP_SYS_RESOURCE`.
    oom_score_adjustment: i64,
    /// The hard limit of a resource.
    hard: fn(&str) -> Option<u64>,
}

/// Changes the specification that `arguments` name and becomes `runc` with the same arguments; returns only if that
/// fails.
pub(crate) fn become_runc(arguments: &[OsString]) -> anyhow::Error {
    if let Err(error) = change(arguments) {
        return error;
    }
    let error = Command::new("runc").args(arguments).exec();
    anyhow::Error::new(error).context("start runc")
}

fn change(arguments: &[OsString]) -> anyhow::Result<()> {
    let Some(specification) = Specification::of(arguments) else {
        return Ok(());
    };
    let path = &specification.path;
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let mut document: Value =
        serde_json::from_str(&text).with_context(|| format!("read {}", path.display()))?;
    let process = match specification.process {
        Process::Whole => Some(&mut document),
        Process::Part => document.get_mut("process"),
    };
    if let Some(process) = process {
        restrict(process, &Limits::of_this_machine()?);
        fs::write(path, document.to_string())
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The file in which a process is specified.
#[derive(Debug, PartialEq, Eq)]
struct Specification {
    path: PathBuf,
    process: Process,
}

/// Where in the file.
#[derive(Debug, PartialEq, Eq)]
enum Process {
    /// The file is the process (`exec`).
    Whole,
    /// Under the key `process` (`create`).
    Part,
}

impl Specification {
    /// None for commands that start nothing.
    fn of(arguments: &[OsString]) -> Option<Self> {
        let words: Vec<&str> = arguments
            .iter()
            .filter_map(|argument| argument.to_str())
            .collect();
        let value = |long: &str, short: &str| {
            let mut places = words.iter().enumerate();
            places.find_map(|(place, word)| {
                if *word == long || *word == short {
                    words.get(place + 1).copied()
                } else {
                    word.strip_prefix(long)?.strip_prefix('=')
                }
            })
        };
        let act = words
            .iter()
            .find(|word| ["create", "run", "restore", "exec"].contains(*word))?;
        if *act == "exec" {
            return Some(Self {
                path: value("--process", "-p")?.into(),
                process: Process::Whole,
            });
        }
        Some(Self {
            path: Path::new(value("--bundle", "-b").unwrap_or(".")).join("config.json"),
            process: Process::Part,
        })
    }
}

impl Limits {
    fn of_this_machine() -> anyhow::Result<Self> {
        let own = Path::new("/proc/self");
        let status = fs::read_to_string(own.join("status")).context("read own status")?;
        let bounding = status
            .lines()
            .find_map(|line| line.strip_prefix("CapBnd:"))
            .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
            .context("find the bounding set in own status")?;
        let adjustment = fs::read_to_string(own.join("oom_score_adj")).context("read own score")?;
        Ok(Self {
            capabilities: bounding,
            oom_score_adjustment: adjustment.trim().parse().context("read own score")?,
            hard: |name| Some(getrlimit(resource(name)?).ok()?.1),
        })
    }
}

fn restrict(process: &mut Value, limits: &Limits) {
    if let Some(sets) = process
        .get_mut("capabilities")
        .and_then(Value::as_object_mut)
    {
        for set in sets.values_mut().filter_map(Value::as_array_mut) {
            set.retain(|name| name.as_str().is_none_or(|name| limits.allow(name)));
        }
    }
    let resources = process.get_mut("rlimits").and_then(Value::as_array_mut);
    for wanted in resources.into_iter().flatten() {
        let hard = wanted["type"].as_str().and_then(limits.hard);
        for kind in ["hard", "soft"] {
            if let (Some(hard), Some(value)) = (hard, wanted[kind].as_u64())
                && value > hard
            {
                wanted[kind] = hard.into();
            }
        }
    }
    if let Some(wanted) = process.get("oomScoreAdj").and_then(Value::as_i64)
        && wanted < limits.oom_score_adjustment
    {
        process["oomScoreAdj"] = limits.oom_score_adjustment.into();
    }
}

impl Limits {
    /// Names that came after this list are left for `runc` to judge.
    fn allow(&self, capability: &str) -> bool {
        let name = capability.strip_prefix("CAP_").unwrap_or(capability);
        let number = CAPABILITIES.iter().position(|known| *known == name);
        number.is_none_or(|number| self.capabilities & (1 << number) != 0)
    }
}

fn resource(name: &str) -> Option<Resource> {
    let resource = match name {
        "RLIMIT_AS" => Resource::RLIMIT_AS,
        "RLIMIT_CORE" => Resource::RLIMIT_CORE,
        "RLIMIT_CPU" => Resource::RLIMIT_CPU,
        "RLIMIT_DATA" => Resource::RLIMIT_DATA,
        "RLIMIT_FSIZE" => Resource::RLIMIT_FSIZE,
        "RLIMIT_LOCKS" => Resource::RLIMIT_LOCKS,
        "RLIMIT_MEMLOCK" => Resource::RLIMIT_MEMLOCK,
        "RLIMIT_MSGQUEUE" => Resource::RLIMIT_MSGQUEUE,
        "RLIMIT_NICE" => Resource::RLIMIT_NICE,
        "RLIMIT_NOFILE" => Resource::RLIMIT_NOFILE,
        "RLIMIT_NPROC" => Resource::RLIMIT_NPROC,
        "RLIMIT_RSS" => Resource::RLIMIT_RSS,
        "RLIMIT_RTPRIO" => Resource::RLIMIT_RTPRIO,
        "RLIMIT_RTTIME" => Resource::RLIMIT_RTTIME,
        "RLIMIT_SIGPENDING" => Resource::RLIMIT_SIGPENDING,
        "RLIMIT_STACK" => Resource::RLIMIT_STACK,
        _ => return None,
    };
    Some(resource)
}

#[cfg(test)]
mod tests {
    use super::{Limits, Process, Specification, restrict};
    use serde_json::json;
    use std::ffi::OsString;

    fn specification(line: &str) -> Option<(String, Process)> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let found = Specification::of(&arguments)?;
        Some((found.path.to_string_lossy().into_owned(), found.process))
    }

    #[test]
    fn the_specification_is_found_where_a_process_is_started_and_nowhere_else() {
        assert_eq!(
            specification("--root /r --log /l create --bundle /b --pid-file /p name"),
            Some(("/b/config.json".to_owned(), Process::Part))
        );
        assert_eq!(
            specification("--root /r run --bundle=/b name"),
            Some(("/b/config.json".to_owned(), Process::Part))
        );
        assert_eq!(
            specification("--root /r exec --process /p.json --detach name"),
            Some(("/p.json".to_owned(), Process::Whole))
        );
        assert_eq!(specification("--root /r exec name true"), None);
        assert_eq!(specification("--root /r kill name 9"), None);
        assert_eq!(specification("--version"), None);
    }

    #[test]
    fn only_what_the_machine_cannot_give_is_taken_out() {
        let limits = Limits {
            // CAP_CHOWN and CAP_SYS_ADMIN.
            capabilities: 1 | 1 << 21,
            oom_score_adjustment: 0,
            hard: |name| (name == "RLIMIT_NOFILE").then_some(20_000),
        };
        let mut process = json!({
            "args": ["/sbin/init"],
            "capabilities": {
                "bounding": ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", "CAP_OF_TOMORROW"],
                "ambient": ["CAP_SYS_RESOURCE"],
            },
            "rlimits": [
                {"type": "RLIMIT_NOFILE", "hard": 1_048_576, "soft": 1024},
                {"type": "RLIMIT_OF_TOMORROW", "hard": 7, "soft": 7},
            ],
            "oomScoreAdj": -998,
        });
        restrict(&mut process, &limits);
        assert_eq!(
            process,
            json!({
                "args": ["/sbin/init"],
                "capabilities": {
                    "bounding": ["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_OF_TOMORROW"],
                    "ambient": [],
                },
                "rlimits": [
                    {"type": "RLIMIT_NOFILE", "hard": 20_000, "soft": 1024},
                    {"type": "RLIMIT_OF_TOMORROW", "hard": 7, "soft": 7},
                ],
                "oomScoreAdj": 0,
            })
        );
    }
}
