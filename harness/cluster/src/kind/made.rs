//! What was made in the engine and on disk, and its end, whichever way it comes.

use super::command::KindCommand;
use super::making;
use super::state::Folder;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// A kind cluster and its folder. Dropping one that was neither ended nor kept removes both, and blocks.
pub(super) struct Made {
    pub(super) kind: KindCommand,
    pub(super) folder: Folder,
    /// It has ended, or stays when we end.
    settled: AtomicBool,
    /// The process group of a `kind` that is making it; 0 for none.
    group: AtomicI32,
}

impl Made {
    /// A cluster that is about to be made.
    pub(super) fn begin(kind: KindCommand, folder: Folder) -> Self {
        Self {
            kind,
            folder,
            settled: AtomicBool::new(false),
            group: AtomicI32::new(0),
        }
    }

    /// A cluster that is kept: it stays when this is dropped.
    pub(super) fn kept(kind: KindCommand, folder: Folder) -> Self {
        let made = Self::begin(kind, folder);
        made.settle();
        made
    }

    /// It stays when this is dropped.
    pub(super) fn settle(&self) {
        self.settled.store(true, Ordering::SeqCst);
    }

    /// Notes the process of a `kind` that makes it; none when that has ended.
    pub(super) fn made_by(&self, process: Option<u32>) {
        let group = process.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        self.group.store(group, Ordering::SeqCst);
    }

    /// Removes it; says what is left.
    pub(super) async fn end(&self) -> Vec<String> {
        self.settle();
        let still_there = match self.kind.delete().await {
            Ok(()) => self.kind.exists().await,
            Err(error) => Err(error),
        };
        match still_there {
            Ok(false) => {
                self.folder.remove();
                Vec::new()
            }
            Ok(true) => vec![format!("kind cluster {}", self.kind.cluster())],
            Err(error) => vec![format!("kind cluster {}: {error}", self.kind.cluster())],
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.settled.load(Ordering::SeqCst) || !self.folder.is_ours() {
            return;
        }
        let group = self.group.load(Ordering::SeqCst);
        if group > 0 {
            let kind = Pid::from_raw(group);
            let _ = kill(kind, Signal::SIGKILL);
            // An engine goes on with a node when the command that wants it is killed, and lists it only afterwards.
            making::finished_now(self.kind.cluster());
            let _ = killpg(kind, Signal::SIGKILL);
        }
        match self.kind.delete_now() {
            Ok(true) => self.folder.remove(),
            // The folder stays, so the next run or `clean` tries again.
            outcome => tracing::warn!(
                cluster = self.kind.cluster(),
                ?outcome,
                "cannot remove a kind cluster"
            ),
        }
    }
}
