//! The judgement of an expectation, a scenario and a run.

use crate::in_vain::VainWait;
use serde::{Deserialize, Serialize};

/// Three values; nothing else counts as green.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Observations that could have contradicted it did not.
    Passed,
    /// Nothing that was observed could decide it.
    Inconclusive,
    /// An observation contradicts it.
    Failed,
}

/// What a checker found about one expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finding {
    /// The checker, for example `delivered`.
    pub checker: String,
    /// The expectation as a scenario file has it, for example `then[2] answeredBy`; none where nothing was judged, and in
    /// reports of versions that did not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expectation: Option<String>,
    /// The judgement.
    pub verdict: Verdict,
    /// How many observations could have contradicted it. Never 0 when passed.
    pub observations: u64,
    /// What was expected and what was seen instead; empty when passed.
    pub details: Vec<Detail>,
}

/// One deviation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Detail {
    /// The sidecar it was seen at, by its stable name, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<String>,
    /// The step of the scenario's timeline, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// What was expected.
    pub expected: String,
    /// What was observed, and since when.
    pub observed: String,
    /// Index of the deciding event in the scenario's history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<usize>,
}

/// The judgement of a whole scenario.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Judgement {
    /// Failed if one finding failed, else inconclusive if one is, else passed; inconclusive without findings.
    pub verdict: Verdict,
    /// One for each expectation, in the scenario's order.
    pub findings: Vec<Finding>,
    /// What its steps waited for in vain, in the history's order: that may be why it did not pass. Empty when passed, and in
    /// judgements of versions that did not tell it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waited_in_vain: Vec<VainWait>,
}

/// What was observed of a scenario that was under way when the run was interrupted: nothing was decided about it.
pub const INTERRUPTED: &str = "the run was interrupted";

impl Judgement {
    /// Nothing was decided, since the run was interrupted.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        let mut details = self.findings.iter().flat_map(|finding| &finding.details);
        details.any(|detail| detail.observed == INTERRUPTED)
    }
}
