//! Reconnecting disturbs the proofs of others, so scenarios that run side by side do it together.
//!
//! A scenario that they disturb is busy from its start, but for its spans of holding, its asks and its reconnections. A round starts when
//! somebody wants to reconnect and nobody is busy: in it all sidecars are moved to each replica in turn, and
//! every scenario of the round proves on each.

use crate::sidecar_watch::SidecarWatch;
use crate::streams::{Arrangement, Moved, Streams};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Where scenarios meet to reconnect. Ends with its owner.
pub(crate) struct Rendezvous {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    busy: usize,
    in_round: bool,
    waiting: Vec<mpsc::UnboundedSender<Turn>>,
}

/// All sidecars were told to dial a replica; prove, then drop it.
pub(crate) struct Turn {
    /// The replica's pod name; or why the round broke off.
    pub(crate) replica: Result<String, String>,
    /// Who was told.
    pub(crate) moved: Vec<Moved>,
    /// Dropped when the scenario is done with this replica.
    _done: oneshot::Sender<()>,
}

/// While it lives no round starts.
pub(crate) struct Busy {
    shared: Arc<Shared>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.shared.state().busy -= 1;
        self.shared.tell();
    }
}

impl Rendezvous {
    /// Rounds move the sidecars with `streams` and put them back into `arrangement` (its latest value) afterwards.
    pub(crate) fn start(
        streams: Arc<Streams>,
        watch: Arc<SidecarWatch>,
        arrangement: watch::Receiver<Arrangement>,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            changed: watch::Sender::new(0),
        });
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                loop {
                    let turns = shared.next_round().await;
                    whole(&turns, round(&streams, &watch, &turns, &arrangement)).await;
                    shared.end_round(turns);
                }
            }
        });
        Self { shared, task }
    }

    /// Waits for the end of a round under way; from then on none starts while the guard lives.
    pub(crate) async fn busy(&self) -> Busy {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.borrow_and_update();
            {
                let mut state = self.shared.state();
                if !state.in_round {
                    state.busy += 1;
                    return Busy {
                        shared: Arc::clone(&self.shared),
                    };
                }
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Takes part in the next round; the turns end when everybody is back where they were.
    pub(crate) fn join(&self, busy: Busy) -> mpsc::UnboundedReceiver<Turn> {
        let (sender, turns) = mpsc::unbounded_channel();
        self.shared.state().waiting.push(sender);
        drop(busy);
        turns
    }
}

impl Drop for Rendezvous {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn next_round(&self) -> Vec<mpsc::UnboundedSender<Turn>> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            {
                let mut state = self.state();
                state.waiting.retain(|sender| !sender.is_closed());
                if state.busy == 0 && !state.waiting.is_empty() {
                    state.in_round = true;
                    return std::mem::take(&mut state.waiting);
                }
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn end_round(&self, turns: Vec<mpsc::UnboundedSender<Turn>>) {
        drop(turns);
        self.state().in_round = false;
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// Every change under the lock is whole before the next, so a panic elsewhere leaves it usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries a round out. A panic ends this round only, and who takes part is told: a round that does not end would keep
/// everybody waiting.
async fn whole(turns: &[mpsc::UnboundedSender<Turn>], round: impl Future<Output = ()>) {
    if AssertUnwindSafe(round).catch_unwind().await.is_err() {
        let reason = "the runner has a defect: the round panicked".to_owned();
        take_turns(turns, &Err(reason), &[]).await;
    }
}

async fn round(
    streams: &Streams,
    sidecars: &SidecarWatch,
    turns: &[mpsc::UnboundedSender<Turn>],
    arrangement: &watch::Receiver<Arrangement>,
) {
    match streams.replicas().await {
        Ok(replicas) => {
            for replica in &replicas {
                let moved = streams.move_all(replica).await;
                take_turns(turns, &Ok(replica.pod.clone()), &moved).await;
            }
            if replicas.is_empty() {
                take_turns(turns, &Err("no replica is ready".to_owned()), &[]).await;
            }
        }
        Err(reason) => take_turns(turns, &Err(reason), &[]).await,
    }
    let back_to = *arrangement.borrow();
    match streams.arrange(back_to).await {
        Ok(late) if late.is_empty() => {}
        Ok(late) => tracing::warn!(
            ?late,
            sidecars = sidecars.workloads().len(),
            "some sidecars did not go back to their replica"
        ),
        Err(reason) => tracing::warn!(reason, "cannot put the sidecars back on their replicas"),
    }
}

async fn take_turns(
    turns: &[mpsc::UnboundedSender<Turn>],
    replica: &Result<String, String>,
    moved: &[Moved],
) {
    let open = turns.iter().filter_map(|turn| {
        let (sender, done) = oneshot::channel();
        turn.send(Turn {
            replica: replica.clone(),
            moved: moved.to_vec(),
            _done: sender,
        })
        .ok()?;
        Some(done)
    });
    // A scenario that broke off has dropped its turn, which ends it as well.
    futures::future::join_all(open.collect::<Vec<_>>()).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_round_that_panics_ends_and_says_so() {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            changed: watch::Sender::new(0),
        });
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                loop {
                    let turns = shared.next_round().await;
                    whole(&turns, async { panic!("a defect") }).await;
                    shared.end_round(turns);
                }
            }
        });
        let rendezvous = Rendezvous { shared, task };
        let busy = rendezvous.busy().await;
        let mut turns = rendezvous.join(busy);
        let turn = turns.recv().await.expect("the scenario is told");
        let reason = turn.replica.as_ref().expect_err("there was no round");
        assert!(reason.contains("panicked"), "{reason}");
        drop(turn);
        assert!(turns.recv().await.is_none());
        let busy = tokio::time::timeout(Duration::from_secs(60), rendezvous.busy()).await;
        assert!(busy.is_ok(), "others go on");
    }
}
