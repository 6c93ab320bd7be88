//! Clusters that are lost in the middle of a run: nothing more is done there, and the run says why.
//!
//! Invariant: between the cluster's bring-up and its end there is no moment at which a loss goes unnoticed.

use crate::environment::{Environment, PrepareError};
use futures::FutureExt as _;
use std::future::Future;

/// What the work came to, or why the cluster was lost before the work was done.
pub(crate) async fn unless_lost<T>(
    environment: &Environment,
    work: impl Future<Output = T>,
) -> Result<T, PrepareError> {
    unless(environment.lost(), work).await
}

/// Takes the environment down, as [`Environment::down`]. Of a cluster that was lost, at whatever time, it is not told
/// what is left there: that is for whoever has the cluster next.
pub(crate) async fn take_down(
    environment: &Environment,
    keep: bool,
) -> Result<Vec<String>, PrepareError> {
    after(environment.down(keep), || environment.lost()).await
}

async fn unless<T, E>(
    lost: impl Future<Output = E>,
    work: impl Future<Output = T>,
) -> Result<T, E> {
    tokio::select! {
        biased;
        error = lost => Err(error),
        done = work => Ok(done),
    }
}

/// What the work came to, if nothing was lost by its end.
async fn after<T, E, F: Future<Output = E>>(
    work: impl Future<Output = T>,
    lost: impl FnOnce() -> F,
) -> Result<T, E> {
    let done = work.await;
    // Asked only now: one that waits may hear of the loss later than the work does.
    match lost().now_or_never() {
        Some(error) => Err(error),
        None => Ok(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn work_is_broken_off_by_a_loss_and_counts_without_one() {
        assert_eq!(unless(pending::<()>(), ready(1)).await, Ok(1));
        assert_eq!(unless(ready("taken"), pending::<()>()).await, Err("taken"));
        assert_eq!(
            unless(ready("taken"), ready(1)).await,
            Err("taken"),
            "what was done at the moment of the loss may have been done to a cluster of somebody else"
        );
    }

    #[tokio::test]
    async fn a_cluster_that_is_lost_while_it_is_taken_down_is_not_said_to_be_empty() {
        let is_lost = Cell::new(false);
        let lost = || async {
            if !is_lost.get() {
                pending::<()>().await;
            }
            "deleted"
        };
        let nothing_left = Vec::<String>::new();
        assert_eq!(
            after(ready(nothing_left.clone()), lost).await,
            Ok(nothing_left.clone())
        );
        let down = async {
            is_lost.set(true);
            nothing_left
        };
        assert_eq!(after(down, lost).await, Err("deleted"));
    }
}
