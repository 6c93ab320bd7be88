//! What a checker gathers, and how it becomes a finding.

use super::timeline::{Place, Timeline};
use crate::verdict::{Detail, Finding, Verdict};

/// Contradictions, open questions and the number of observations that could have contradicted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    contradictions: Vec<Detail>,
    open: Vec<Detail>,
    /// Those that support, and those that contradict.
    observations: u64,
}

impl Evidence {
    /// An observation that contradicts the expectation.
    pub(super) fn contradict(&mut self, detail: Detail) {
        self.contradict_times(1, detail);
    }

    /// So many observations that contradict the expectation alike.
    pub(super) fn contradict_times(&mut self, observations: u64, detail: Detail) {
        self.support(observations);
        self.contradictions.push(detail);
    }

    /// Something that would have to be known and is not.
    pub(super) fn open(&mut self, detail: Detail) {
        self.open.push(detail);
    }

    /// An observation that could have contradicted and did not.
    pub(super) fn support(&mut self, observations: u64) {
        self.observations = self.observations.saturating_add(observations);
    }

    /// The judgement of the checker with this name.
    pub(super) fn finding(self, checker: &str) -> Finding {
        let verdict = if !self.contradictions.is_empty() {
            Verdict::Failed
        } else if !self.open.is_empty() || self.observations == 0 {
            Verdict::Inconclusive
        } else {
            Verdict::Passed
        };
        let mut details = self.contradictions;
        details.extend(self.open);
        if details.is_empty() && self.observations == 0 {
            details.push(detail("an observation that could decide", "none"));
        }
        Finding {
            checker: checker.to_owned(),
            expectation: None,
            verdict,
            observations: self.observations,
            details,
        }
    }
}

/// A deviation that is about nobody in particular.
pub(super) fn detail(expected: impl Into<String>, observed: impl Into<String>) -> Detail {
    Detail {
        sidecar: None,
        step: None,
        expected: expected.into(),
        observed: observed.into(),
        event: None,
    }
}

/// A place that the history has no event of.
pub(super) fn not_carried_out(timeline: &Timeline<'_>, place: Place) -> Detail {
    Detail {
        step: place.step(),
        ..detail(
            format!("{} to be carried out", place.name(timeline.scenario)),
            "no event of it",
        )
    }
}

/// A time of the history as people read it.
pub(crate) fn clock(at_ns: u64) -> String {
    format!(
        "{}.{:03} s",
        at_ns / 1_000_000_000,
        at_ns / 1_000_000 % 1000
    )
}
