//! Reaps processes that lost their parent: the node's process is the init they are given to.
//!
//! Invariant: never takes a status that somebody in this process waits for. A child that is waited for is reaped
//! within moments; so only one that was already dead at the scan before is an orphan.

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long a dead child may wait for its own waiter.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reaps orphans for ever.
pub(crate) async fn reap_orphans() {
    let Ok(mut deaths) = signal(SignalKind::child()) else {
        tracing::warn!("cannot hear of dead children; orphans will stay");
        return std::future::pending().await;
    };
    loop {
        deaths.recv().await;
        let mut before = dead_children();
        while !before.is_empty() {
            #[expect(
                clippy::disallowed_methods,
                reason = "gives the real waiters time; nothing waits for this"
            )]
            tokio::time::sleep(PATIENCE).await;
            let now = dead_children();
            for pid in before.intersection(&now) {
                let _ = waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG));
            }
            before = now.difference(&before).copied().collect();
        }
    }
}

fn dead_children() -> BTreeSet<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(1);
    let Ok(folder) = std::fs::read_dir("/proc") else {
        return BTreeSet::new();
    };
    folder
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| is_dead_child(&stat, own))
        })
        .collect()
}

/// Whether a line of `/proc/PID/stat` tells of a dead child of `parent`.
fn is_dead_child(stat: &str, parent: i32) -> bool {
    // The name, in parentheses, may hold anything.
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return false;
    };
    let mut fields = rest.split_whitespace();
    fields.next() == Some("Z") && fields.next().and_then(|field| field.parse().ok()) == Some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dead_children_of_ours_count() {
        assert!(is_dead_child("7 (a) b) Z 1 7 7 0", 1));
        assert!(!is_dead_child("7 (Z 1) S 1 7 7 0", 1));
        assert!(!is_dead_child("7 (x) Z 3 7 7 0", 1));
    }
}
