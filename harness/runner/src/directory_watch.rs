//! Who is there, kept fresh: the mesh's workloads are listed again whenever one of their pods changes.

use futures::StreamExt;
use harness_mesh::{Mesh, Workload};
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// The workloads of a mesh, kept fresh. Ends with its owner.
pub(crate) struct DirectoryWatch {
    workloads: watch::Receiver<Arc<Vec<Workload>>>,
    look: Arc<Notify>,
    task: JoinHandle<()>,
}

impl DirectoryWatch {
    /// Starts with what is there now.
    pub(crate) fn start(mesh: Arc<Mesh>, now: Vec<Workload>) -> Self {
        let (sender, workloads) = watch::channel(Arc::new(now));
        let look = Arc::new(Notify::new());
        let task = tokio::spawn(follow(mesh, sender, Arc::clone(&look)));
        Self {
            workloads,
            look,
            task,
        }
    }

    /// The latest list; `changed` on the receiver tells of newer ones.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Vec<Workload>>> {
        self.workloads.clone()
    }

    /// Lists them once more: a name may be another one although no pod has changed.
    pub(crate) fn look_again(&self) {
        self.look.notify_one();
    }

    /// The latest list.
    pub(crate) fn workloads(&self) -> Arc<Vec<Workload>> {
        Arc::clone(&self.workloads.borrow())
    }
}

impl DirectoryWatch {
    /// Ends the watch; the list stays as it is.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for DirectoryWatch {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn follow(mesh: Arc<Mesh>, sender: watch::Sender<Arc<Vec<Workload>>>, look: Arc<Notify>) {
    // Changes that come while a list is under way are one more list, not one each.
    let mut changes = mesh.changes_of_workloads().ready_chunks(64);
    loop {
        tokio::select! {
            change = changes.next() => if change.is_none() {
                return;
            },
            () = look.notified() => {}
        }
        match mesh.workloads().await {
            Ok(workloads) => {
                sender.send_if_modified(|known| {
                    let differs = **known != workloads;
                    if differs {
                        *known = Arc::new(workloads);
                    }
                    differs
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot list the workloads; the next change asks again")
            }
        }
    }
}
