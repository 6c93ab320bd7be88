//! Which objects' statuses are to be looked at, being written, or to be tried again.
//!
//! Invariant: pure. An object is waiting at most once and in flight at most once, so a status never queues; who
//! waits longest comes first.

use std::collections::{BTreeSet, VecDeque};

/// The work of a writer.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    limit: usize,
    waiting: VecDeque<T>,
    in_flight: BTreeSet<T>,
    failed: BTreeSet<T>,
}

impl<T: Clone + Ord> Agenda<T> {
    /// Nothing to do. At most `limit` objects are in flight at a time.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            waiting: VecDeque::new(),
            in_flight: BTreeSet::new(),
            failed: BTreeSet::new(),
        }
    }

    /// These are all objects, and each of them is to be looked at. Others need not be any more.
    pub(super) fn look_at(&mut self, all: &BTreeSet<T>) {
        self.waiting.retain(|object| all.contains(object));
        let waiting: BTreeSet<&T> = self.waiting.iter().collect();
        let new: Vec<T> = all
            .iter()
            .filter(|object| !waiting.contains(object))
            .cloned()
            .collect();
        self.waiting.extend(new);
        self.failed.clear();
    }

    /// The next object, which counts as in flight from now on; none when nothing waits or the limit is reached.
    pub(super) fn next(&mut self) -> Option<T> {
        if self.in_flight.len() >= self.limit {
            return None;
        }
        let free = |object: &T| !self.in_flight.contains(object);
        let index = self.waiting.iter().position(free)?;
        let object = self.waiting.remove(index)?;
        self.in_flight.insert(object.clone());
        Some(object)
    }

    /// An object is as it should be.
    pub(super) fn done(&mut self, object: &T) {
        self.in_flight.remove(object);
    }

    /// An object could not be written.
    pub(super) fn failed(&mut self, object: T) {
        self.in_flight.remove(&object);
        // What waits already is tried again by itself.
        if !self.waiting.contains(&object) {
            self.failed.insert(object);
        }
    }

    /// Something failed and waits for another try.
    pub(super) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// What failed is to be looked at again.
    pub(super) fn try_again(&mut self) {
        self.waiting.extend(std::mem::take(&mut self.failed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(names: &[&'static str]) -> BTreeSet<&'static str> {
        names.iter().copied().collect()
    }

    #[test]
    fn who_is_in_flight_waits_at_most_once() {
        let mut agenda = Agenda::new(2);
        agenda.look_at(&all(&["a"]));
        assert_eq!(agenda.next(), Some("a"));
        agenda.look_at(&all(&["a"]));
        agenda.look_at(&all(&["a"]));
        assert_eq!(agenda.next(), None, "it is in flight");
        agenda.done(&"a");
        assert_eq!(agenda.next(), Some("a"));
        agenda.done(&"a");
        assert_eq!(agenda.next(), None);
    }

    #[test]
    fn who_waits_longest_comes_first_within_the_limit() {
        let mut agenda = Agenda::new(1);
        agenda.look_at(&all(&["b", "c"]));
        assert_eq!(agenda.next(), Some("b"));
        assert_eq!(agenda.next(), None, "one at a time");
        agenda.look_at(&all(&["a", "b", "c"]));
        agenda.done(&"b");
        assert_eq!(agenda.next(), Some("c"), "it was there first");
        agenda.done(&"c");
        assert_eq!(agenda.next(), Some("a"));
    }

    #[test]
    fn what_failed_is_tried_again_when_told_or_when_something_changed() {
        let mut agenda = Agenda::new(2);
        agenda.look_at(&all(&["a"]));
        assert_eq!(agenda.next(), Some("a"));
        agenda.failed("a");
        assert_eq!(agenda.next(), None);
        assert!(agenda.has_failed());
        agenda.try_again();
        assert_eq!(agenda.next(), Some("a"));
        agenda.failed("a");
        agenda.look_at(&all(&["a"]));
        assert!(!agenda.has_failed());
        assert_eq!(agenda.next(), Some("a"));
    }

    #[test]
    fn what_is_gone_is_not_looked_at() {
        let mut agenda = Agenda::new(2);
        agenda.look_at(&all(&["a", "b"]));
        agenda.look_at(&all(&["b"]));
        assert_eq!(agenda.next(), Some("b"));
        assert_eq!(agenda.next(), None);
    }
}
