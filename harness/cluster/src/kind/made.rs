//! What was made in the engine and on disk, and its end, whichever way it comes.

use super::command::KindCommand;
use super::engine::Engine;
use super::identity::Identity;
use super::making;
use super::state::{self, Description, Folder};
use crate::ClusterError;
use crate::together::Whole;
use harness_model::causes::chain;
use harness_model::topology::Topology;
use nix::unistd::Pid;
use std::path::Path;
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

    /// Takes a kept cluster, to end it.
    ///
    /// # Errors
    ///
    /// When it is not kept, a process uses it, or it was made with another engine.
    pub(super) fn take_kept(
        cache: &Path,
        name: &str,
        program: &Path,
        (engine, identity): (&Engine, &Identity),
    ) -> Result<Self, ClusterError> {
        let path = state::of(cache, name);
        let folder = Folder::end_kept(&path, identity)?;
        let kind = KindCommand::new(program, engine, name, &path);
        Ok(Self::kept(kind, folder))
    }

    /// Lets it live on when we end.
    pub(super) fn keep(
        &self,
        topology: &Topology,
        part_of: Option<&Whole>,
    ) -> Result<(), ClusterError> {
        self.folder.keep(&Description {
            topology: topology.clone(),
            started: jiff::Timestamp::now(),
            part_of: part_of.cloned(),
        })?;
        self.settle();
        Ok(())
    }

    /// It stays when this is dropped.
    fn settle(&self) {
        self.settled.store(true, Ordering::SeqCst);
    }

    /// Notes the process of a `kind` that makes it; none when that has ended.
    pub(super) fn made_by(&self, process: Option<u32>) {
        let group = process.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        self.group.store(group, Ordering::SeqCst);
    }

    /// Somebody else has made a cluster of this name, and kind has made nothing for us: only the folder is removed.
    pub(super) fn disown(&self) {
        self.settle();
        self.folder.remove();
    }

    /// Removes it; says what is left.
    pub(super) async fn end(&self) -> Vec<String> {
        self.settle();
        self.folder.end();
        let group = self.group.swap(0, Ordering::SeqCst);
        if group > 0 {
            making::stop(Pid::from_raw(group), self.kind.cluster()).await;
        }
        match self.kind.remove().await {
            Ok(()) => {
                self.folder.remove();
                Vec::new()
            }
            // The folder stays, so the next run or `clean` tries again.
            Err(error) => vec![format!(
                "kind cluster {}: {}",
                self.kind.cluster(),
                chain(&error)
            )],
        }
    }

    /// The same for a destructor: blocks, whatever runtime we are on.
    fn end_now(&self) -> std::io::Result<Vec<String>> {
        let end = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            Ok(runtime.block_on(self.end()))
        };
        std::thread::scope(|scope| {
            let ended = scope.spawn(end).join();
            ended.unwrap_or_else(|_| Err(std::io::Error::other("a thread of ours panicked")))
        })
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.settled.load(Ordering::SeqCst) || !self.folder.is_ours() {
            return;
        }
        let cluster = self.kind.cluster();
        match self.end_now() {
            Ok(left) => {
                for left in left {
                    tracing::warn!(%left, "not removed; `meshproof clean` tries again");
                }
            }
            Err(error) => tracing::warn!(cluster, %error, "cannot remove a kind cluster"),
        }
    }
}
