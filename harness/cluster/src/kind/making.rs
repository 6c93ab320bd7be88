//! Nodes that are being made: an engine lists them only once they are there, so whoever removes a cluster waits until
//! the commands are over that make them.

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

/// The same for a destructor: blocks.
#[expect(
    clippy::disallowed_methods,
    reason = "they are not children of ours, so nobody tells their end"
)]
pub(super) fn finished_now(cluster: &str) {
    for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
        if !is_being_made(cluster) {
            return;
        }
        std::thread::sleep(LOOK);
    }
    tracing::warn!(cluster, "nodes are still being made");
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
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    #[test]
    fn a_cluster_is_being_made_while_a_command_has_its_label() {
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
        finished_now(&cluster);
        assert!(!is_being_made(&cluster));
    }
}
