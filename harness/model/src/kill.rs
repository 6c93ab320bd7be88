//! What proves that a scenario can fail: the seeded bug that it must catch.

use crate::checker;
use serde::{Deserialize, Serialize};

/// One scenario that must fail because of a seeded bug, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kill {
    /// Scenario name.
    pub scenario: String,
    /// The checker that must find it failed, as in [`Finding::checker`](crate::verdict::Finding::checker); or
    /// [`checker::PRIVATE_KEYS`], where the scenario need not fail.
    pub checker: String,
    /// The sidecar that one detail of the finding must name; `*` stands for any run of characters, `$zone1` for the first
    /// data center. Absent where the finding is not about one sidecar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<String>,
    /// Over so many clusters at least: with fewer the scenario need not find the bug.
    #[serde(default = "one")]
    pub clusters: usize,
    /// Others catch the bug and other bugs fail the scenario, so that nothing is unproven without this one.
    #[serde(default)]
    pub extra: bool,
}

fn one() -> usize {
    1
}

impl Kill {
    /// Not the scenario must fail, but the search for private keys that follows it must find one.
    #[must_use]
    pub fn is_by_search(&self) -> bool {
        self.checker == checker::PRIVATE_KEYS
    }

    /// One cluster is enough.
    #[must_use]
    pub fn is_of_one_cluster(&self) -> bool {
        self.clusters <= one()
    }
}
