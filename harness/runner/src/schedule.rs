//! In which order scenarios run, and which side by side.

use futures::StreamExt;
use harness_model::scenario::{Disturbs, Scenario};
use harness_model::verdict::Verdict;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One scenario to be run.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Which.
    pub(crate) scenario: Arc<Scenario>,
    /// 1 for the first repetition.
    pub(crate) repetition: u32,
    /// Position in the run, from 0: names its keys.
    pub(crate) number: usize,
}

/// The items of a run: every scenario `repeat` times, in rounds, shuffled by `seed` if asked for.
pub(crate) fn items(scenarios: &[Scenario], repeat: u32, shuffle: Option<u64>) -> Vec<Item> {
    let mut items: Vec<Item> = (1..=repeat.max(1))
        .flat_map(|repetition| {
            scenarios.iter().map(move |scenario| Item {
                scenario: Arc::new(scenario.clone()),
                repetition,
                number: 0,
            })
        })
        .collect();
    if let Some(seed) = shuffle {
        use rand::SeedableRng;
        use rand::seq::SliceRandom;
        items.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
    }
    for (number, item) in items.iter_mut().enumerate() {
        item.number = number;
    }
    items
}

/// Why no further scenario is started.
#[derive(Debug, Default)]
pub(crate) struct Brake(AtomicBool);

impl Brake {
    /// No further scenario is started.
    pub(crate) fn pull(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Somebody has pulled it.
    pub(crate) fn is_pulled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// How scenarios are run.
pub(crate) struct Policy<'a> {
    /// How many that disturb nothing may run at once.
    pub(crate) parallel: usize,
    /// Pull the brake after a failure.
    pub(crate) fail_fast: bool,
    /// Not after that of one of these.
    pub(crate) excused: &'a BTreeSet<String>,
}

/// Runs those that disturb nothing side by side, then the others one by one. Returns those that were not started because
/// the brake was pulled.
pub(crate) async fn run_all<R, F>(
    items: Vec<Item>,
    policy: &Policy<'_>,
    brake: &Brake,
    run_one: R,
) -> Vec<Item>
where
    R: Fn(Item) -> F,
    F: Future<Output = Verdict>,
{
    let (side_by_side, alone): (Vec<Item>, Vec<Item>) = items
        .into_iter()
        .partition(|item| item.scenario.disturbs == Disturbs::Nothing);
    let run = |item: Item| {
        // The future is made only when the brake is free, so that nothing of a scenario happens before.
        let started = (!brake.is_pulled()).then(|| run_one(item.clone()));
        let counts = policy.fail_fast && !policy.excused.contains(&item.scenario.name);
        async move {
            let Some(started) = started else {
                return Some(item);
            };
            let verdict = started.await;
            if counts && verdict == Verdict::Failed {
                brake.pull();
            }
            None
        }
    };
    let mut left: Vec<Item> = futures::stream::iter(side_by_side)
        .map(run)
        .buffer_unordered(policy.parallel.max(1))
        .filter_map(futures::future::ready)
        .collect()
        .await;
    for item in alone {
        left.extend(run(item).await);
    }
    left
}

#[cfg(test)]
mod tests;
