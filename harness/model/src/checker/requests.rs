//! Requests that ended alike, told once: how many of how many, the first and the last of them.

use super::evidence::{Evidence, clock, detail};
use crate::history::RequestSeen;
use crate::verdict::Detail;

/// Requests of one batch or load, gathered by what is to be told of them.
pub(super) struct Alike<'a> {
    all: usize,
    has_times: bool,
    step: Option<usize>,
    groups: Vec<Group<'a>>,
}

struct Group<'a> {
    expected: String,
    observed: String,
    requests: Vec<&'a RequestSeen>,
}

impl<'a> Alike<'a> {
    /// None yet, of so many.
    pub(super) const fn of(all: usize) -> Self {
        Self {
            all,
            has_times: false,
            step: None,
            groups: Vec::new(),
        }
    }

    /// The same, and it matters when they were due.
    pub(super) fn by_time(all: usize) -> Self {
        Self {
            has_times: true,
            ..Self::of(all)
        }
    }

    /// The same, and they were sent in this step.
    pub(super) fn in_step(self, step: Option<usize>) -> Self {
        Self { step, ..self }
    }

    /// Notes a request; `observed` fits behind "requests".
    pub(super) fn note(&mut self, request: &'a RequestSeen, expected: String, observed: String) {
        let same = |group: &&mut Group<'a>| {
            group.expected == expected
                && group.observed == observed
                && group.requests[0].from == request.from
        };
        match self.groups.iter_mut().find(same) {
            Some(group) => group.requests.push(request),
            None => self.groups.push(Group {
                expected,
                observed,
                requests: vec![request],
            }),
        }
    }

    /// What was observed of each group, in the order of their first requests.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        self.groups.iter().map(|group| self.text(group))
    }

    /// All of them contradict.
    pub(super) fn contradict(&self, evidence: &mut Evidence) {
        for group in &self.groups {
            let count = u64::try_from(group.requests.len()).unwrap_or(u64::MAX);
            evidence.contradict_times(count, self.detail(group));
        }
    }

    /// None of them decides anything.
    pub(super) fn leave_open(&self, evidence: &mut Evidence) {
        for group in &self.groups {
            evidence.open(self.detail(group));
        }
    }

    fn detail(&self, group: &Group<'a>) -> Detail {
        Detail {
            sidecar: Some(group.requests[0].from.clone()),
            step: self.step,
            ..detail(group.expected.clone(), self.text(group))
        }
    }

    /// `12 of 12 requests in plaintext, first #0, last #11`.
    fn text(&self, group: &Group<'a>) -> String {
        let number = |request: &RequestSeen| match self.has_times {
            true => format!("#{} (due {})", request.sequence, clock(request.due_ns)),
            false => format!("#{}", request.sequence),
        };
        let which = match group.requests.as_slice() {
            [first, .., last] => format!("first {}, last {}", number(first), number(last)),
            one => one.iter().copied().map(number).collect(),
        };
        let (some, all, observed) = (group.requests.len(), self.all, &group.observed);
        format!("{some} of {all} requests{observed}, {which}")
    }
}
