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
    /// How many that disturb nothing may run at once, beside one that disturbs traffic.
    pub(crate) parallel: usize,
    /// Pull the brake after a failure.
    pub(crate) fail_fast: bool,
    /// Not after that of one of these.
    pub(crate) excused: &'a BTreeSet<String>,
}

/// First those that send something side by side; then those that disturb others, one by one; then those that disturb traffic
/// with TLS, one by one, beside those that send nothing. Returns those that were not started because the brake was pulled.
///
/// Whoever speaks of TLS comes after whoever does not: sidecars leave a callee that refused them alone for a while (outlier
/// detection), and a scenario about zones that followed would blame the mesh for that.
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
    let (mut silent, mut sending) = (Vec::new(), Vec::new());
    let (mut traffic, mut alone) = (Vec::new(), Vec::new());
    for item in items {
        let kind = match item.scenario.disturbs {
            Disturbs::Nothing if item.scenario.sends() => &mut sending,
            Disturbs::Nothing => &mut silent,
            Disturbs::Traffic if item.scenario.speaks_of_tls() => &mut traffic,
            Disturbs::Traffic | Disturbs::Everything => &mut alone,
        };
        kind.push(item);
    }
    alone.sort_by_key(|item| item.scenario.speaks_of_tls());
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
    // Iterators are lazy, too: each is started when there is a place for it.
    let at_once = |places: usize, items: Vec<Item>| {
        futures::stream::iter(items.into_iter().map(&run))
            .buffer_unordered(places)
            .filter_map(futures::future::ready)
            .collect::<Vec<Item>>()
    };
    let parallel = policy.parallel.max(1);
    let mut left = at_once(parallel, sending).await;
    left.extend(at_once(1, alone).await);
    let (others, more) = tokio::join!(at_once(parallel, silent), at_once(1, traffic));
    left.extend(others.into_iter().chain(more));
    left
}

#[cfg(test)]
mod tests;
