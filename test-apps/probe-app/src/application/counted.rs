//! Counting requests that ask for it.
//!
//! Invariant: only the last [`KEPT`] texts are remembered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// More texts than these are forgotten, the oldest first.
const KEPT: usize = 256;

/// Requests by the text that they are counted under; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    by_text: BTreeMap<String, u64>,
    /// Their order.
    order: VecDeque<String>,
}

impl Counted {
    /// One more came.
    pub(crate) fn note(&self, text: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.by_text.get_mut(text) {
            *count += 1;
            return;
        }
        counts.by_text.insert(text.to_owned(), 1);
        counts.order.push_back(text.to_owned());
        if counts.order.len() > KEPT
            && let Some(oldest) = counts.order.pop_front()
        {
            counts.by_text.remove(&oldest);
        }
    }

    /// How many came.
    pub(crate) fn of(&self, text: &str) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.by_text.get(text).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_its_count_and_the_oldest_is_forgotten() {
        let counted = Counted::default();
        counted.note("first");
        counted.note("first");
        assert_eq!((counted.of("first"), counted.of("other")), (2, 0));
        for number in 0..KEPT {
            counted.note(&number.to_string());
        }
        assert_eq!((counted.of("first"), counted.of("0")), (0, 1));
    }
}
