//! What is to be compared, and how much that is.

use super::{Matrix, MatrixRow};
use crate::plan::{MeshChoice, RunPlan};
use harness_model::kill::Kill;
use harness_model::scenario::Scenario;

/// What a self-test is made of.
#[derive(Clone, Debug)]
pub struct SelftestPlan {
    /// The scenarios, cluster and everything else; the mesh is the faithful one.
    pub run: RunPlan,
    /// The expected kills. Rows or kills of scenarios that are not selected are left out.
    pub matrix: Matrix,
    /// Run the scenarios against the faithful mesh, too.
    pub faithful: bool,
    /// The mesh that is none, for the control group; absent: the control group is left out.
    pub absent: Option<MeshChoice>,
}

impl SelftestPlan {
    /// The scenarios that a mutant is run against.
    pub(super) fn scenarios_of(&self, row: &MatrixRow) -> Vec<Scenario> {
        self.run
            .scenarios
            .iter()
            .filter(|scenario| kills(row, &scenario.name).next().is_some())
            .cloned()
            .collect()
    }

    /// How many times every scenario is run, beside the mutants.
    fn groups(&self) -> usize {
        usize::from(self.faithful) + usize::from(self.absent.is_some())
    }

    /// How many comparisons there will be.
    pub(super) fn comparisons(&self) -> usize {
        let scenarios = &self.run.scenarios;
        let groups = self.groups();
        let killed = |row: &MatrixRow| -> usize {
            scenarios
                .iter()
                .map(|scenario| kills(row, &scenario.name).count())
                .sum()
        };
        groups * scenarios.len() + self.matrix.mutants.iter().map(killed).sum::<usize>()
    }

    /// How many scenarios will be run.
    pub(super) fn runs(&self) -> usize {
        let groups = self.groups();
        let mutants = self.matrix.mutants.iter();
        groups * self.run.scenarios.len()
            + mutants
                .map(|row| self.scenarios_of(row).len())
                .sum::<usize>()
    }

    /// Selected scenarios that no mutant of the matrix kills.
    pub(super) fn never_killed(&self) -> Vec<String> {
        let is_killed = |scenario: &&Scenario| {
            let mut mutants = self.matrix.mutants.iter();
            mutants.any(|row| kills(row, &scenario.name).any(|kill| !kill.is_by_search()))
        };
        self.run
            .scenarios
            .iter()
            .filter(|scenario| !is_killed(scenario))
            .map(|scenario| scenario.name.clone())
            .collect()
    }
}

/// The kills of a scenario that are expected of a mutant.
pub(super) fn kills<'a>(row: &'a MatrixRow, scenario: &'a str) -> impl Iterator<Item = &'a Kill> {
    row.killed_by
        .iter()
        .filter(move |kill| kill.scenario == scenario)
}
