//! What must come out of a self-test and what did: the matrix, the comparisons and their sum.

use harness_model::kill::Kill;
use harness_model::run_event::Summary;
use harness_model::verdict::Judgement;
use serde::{Deserialize, Serialize};

/// Which scenarios kill which mutant, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Matrix {
    /// One row for each mutant.
    pub mutants: Vec<MatrixRow>,
}

/// One mutant of the control plane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatrixRow {
    /// Its name.
    pub mutant: String,
    /// It is there from a mesh's beginning, and nothing works with that mesh afterwards.
    #[serde(default)]
    pub own_mesh: bool,
    /// The scenarios that must fail, each in the expected way.
    pub killed_by: Vec<Kill>,
}

/// One comparison of a self-test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SelftestCase {
    /// `faithful`, `absent` or the mutant's name.
    pub control_plane: String,
    /// Scenario name.
    pub scenario: String,
    /// What had to come out, in words.
    pub expected: String,
    /// What came out, in words.
    pub observed: String,
    /// Whether they agree.
    pub agrees: bool,
    /// From the scenario's start to its verdict and its clean end, milliseconds; 0 when it was not run.
    pub millis: u64,
    /// The judgement, where there was one.
    pub judgement: Option<Judgement>,
}

impl SelftestCase {
    /// A seeded bug was to be caught; else the scenarios were run against the faithful mesh or none.
    #[must_use]
    pub fn is_of_mutant(&self) -> bool {
        ![super::FAITHFUL, super::ABSENT].contains(&self.control_plane.as_str())
    }
}

/// How far a self-test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Comparisons made, the one that is told of included.
    pub done: usize,
    /// Comparisons there will be.
    pub all: usize,
}

/// Takes each comparison as soon as it is made.
pub type OnCase<'a> = &'a (dyn Fn(&SelftestCase, Position) + Send + Sync);

/// The outcome of a self-test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SelftestReport {
    /// Every comparison. None: nothing was proven.
    pub cases: Vec<SelftestCase>,
    /// Selected scenarios that no mutant of the matrix kills: they cannot be shown to fail.
    pub never_killed: Vec<String>,
    /// Why the environment could not be prepared, or was lost before the end.
    pub environment_error: Option<String>,
    /// The run was interrupted by this signal.
    pub interrupted: Option<i32>,
    /// Something of ours was left behind: what.
    pub left_behind: Vec<String>,
    /// From the start of the process, milliseconds.
    pub millis: u64,
}

impl SelftestReport {
    /// Everything agreed, and there was something to agree with.
    #[must_use]
    pub fn matches(&self) -> bool {
        !self.cases.is_empty()
            && self.cases.iter().all(|case| case.agrees)
            && self.never_killed.is_empty()
            && self.environment_error.is_none()
            && self.interrupted.is_none()
    }

    /// As the end of a run: what agrees has passed, everything else failed.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let agreeing = self.cases.iter().filter(|case| case.agrees).count();
        Summary {
            passed: agreeing,
            failed: self.cases.len() - agreeing,
            environment_error: self.environment_error.clone(),
            left_behind: self.left_behind.clone(),
            interrupted: self.interrupted,
            millis: self.millis,
            ..Summary::default()
        }
    }
}
