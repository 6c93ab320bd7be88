//! How much a configuration may say: what the API of the reference mesh takes (`fixtures/crds/policyconfigs.yaml`; a test of
//! `harness-mesh` compares). More would be refused in the middle of a run, far from the line that is wrong.

/// Toggles of one configuration.
pub const TOGGLES: usize = 256;
/// Characters in the value of a toggle.
pub const TOGGLE_VALUE: usize = 1024;
/// Routing rules of one configuration.
pub const RULES: usize = 64;
/// Destinations of one rule.
pub const DESTINATIONS: usize = 16;
/// The weight of a destination.
pub const WEIGHT: u32 = 1_000_000;
/// Headers of one rule.
pub const HEADERS: usize = 16;
/// Characters in the name of a header.
pub const HEADER_NAME: usize = 256;
/// Characters in the value of a header.
pub const HEADER_VALUE: usize = 4096;
/// Characters in a path prefix or a regular expression for paths.
pub const PATH: usize = 1024;
/// Milliseconds that a sidecar waits for an answer.
pub const TIMEOUT_MS: u32 = 3_600_000;
/// How often a request is tried again.
pub const RETRIES: u32 = 10;
/// Statuses that a request is tried again for.
pub const STATUSES: usize = 16;
/// Applications that may call.
pub const CALLERS: usize = 64;
