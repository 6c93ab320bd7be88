//! Replacing what certificates lead to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One act of an operator. How it is done in a mesh is said by the mesh definition.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Rotation {
    /// Makes a new root, which is trusted beside the old one, and to which certificates lead from then on.
    NewRoot,
    /// Makes a new intermediate below the same root, which certificates are issued by from then on.
    NewIntermediate,
    /// Takes every root out of trust but the one that certificates lead to.
    DropOldRoots,
}
