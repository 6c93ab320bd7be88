//! Nodes that are being made: an engine lists them only once they are there, so whoever removes a cluster waits until
//! the commands are over that make them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// What the command line of whatever makes a node has as an argument, with the cluster's name behind.
const LABEL: &str = "io.x-k8s.kind.cluster=";
/// How long they are waited for: an engine makes a node in seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until no node of a cluster is being made.
pub(super) async fn finished(cluster: &str) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let wait = async {
        while is_being_made(cluster) {
            look.tick().await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        tracing::warn!(cluster, "nodes are still being made");
    }
}

/// Ends a `kind` that is making a cluster, and what it has started in its process group. What makes a node goes first to its
/// end: an engine goes on with a node when the command that wants it is killed, and lists it only afterwards.
pub(super) async fn stop(kind: Pid, cluster: &str) {
    let _ = kill(kind, Signal::SIGKILL);
    // By now, since the number of the group may be another one's when all of them have ended.
    let members = members(kind);
    finished(cluster).await;
    for member in members {
        member.kill();
    }
}

/// A process of a group.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    pid: Pid,
    /// When it began, in ticks since the machine did: with the number it is the same process.
    began: u64,
}

impl Member {
    /// The process of a number and its group; none when it is gone.
    fn find(pid: i32) -> Option<(Self, i32)> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // A name may have blanks and brackets; behind it are state, parent, group, ... (proc_pid_stat(5)).
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let member = Self {
            pid: Pid::from_raw(pid),
            began: fields.get(19)?.parse().ok()?,
        };
        Some((member, fields.get(2)?.parse().ok()?))
    }

    /// Kills it, unless it has ended.
    fn kill(&self) {
        if Self::find(self.pid.as_raw()).is_some_and(|(found, _)| found == *self) {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }
}

fn members(group: Pid) -> Vec<Member> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .filter_map(Member::find)
        .filter(|(_, of)| *of == group.as_raw())
        .map(|(member, _)| member)
        .collect()
}

fn is_being_made(cluster: &str) -> bool {
    let label = format!("{LABEL}{cluster}");
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|line| {
            line.split(|byte| *byte == 0)
                .any(|argument| argument == label.as_bytes())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    #[tokio::test]
    async fn a_cluster_is_being_made_while_a_command_has_its_label() {
        let cluster = format!("test-{}", std::process::id());
        assert!(!is_being_made(&cluster));
        // It says that it runs and waits for its input; what comes after the script are arguments.
        let mut making = Command::new("sh")
            .args(["-c", "echo; read line", "run", "--label"])
            .arg(format!("{LABEL}{cluster}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = making.stdout.as_mut().unwrap();
        said.read_exact(&mut [0]).unwrap();
        assert!(is_being_made(&cluster));
        assert!(!is_being_made(&cluster[1..]), "another cluster");
        drop(making.stdin.take());
        making.wait().unwrap();
        finished(&cluster).await;
        assert!(!is_being_made(&cluster));
    }

    #[tokio::test]
    async fn what_kind_has_started_ends_with_it_and_nothing_else() {
        // The leader starts another one, which says its number and waits for ever.
        let mut kind = Command::new("sh")
            .args(["-c", "sleep infinity & echo $!; wait"])
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let leader = i32::try_from(kind.id()).unwrap();
        let mut said = BufReader::new(kind.stdout.take().unwrap());
        let mut number = String::new();
        said.read_line(&mut number).unwrap();
        let number: i32 = number.trim().parse().unwrap();
        let (child, group) = Member::find(number).unwrap();
        assert_eq!(group, leader);
        // Another process that has the number by now is let be.
        let later = Member {
            pid: child.pid,
            began: child.began + 1,
        };
        later.kill();
        assert!(members(Pid::from_raw(leader)).contains(&child));
        stop(Pid::from_raw(leader), "no-node-is-made").await;
        kind.wait().unwrap();
        // The pipe ends with the last process that holds it.
        said.read_to_string(&mut String::new()).unwrap();
    }
}
