//! What any cluster lets us do through its API server alone.
//!
//! Invariant: nothing here knows how a cluster came to be, and nothing reaches a node or a pod but through its API
//! server.

pub(crate) mod client;
pub(crate) mod diagnostics;
pub(crate) mod discovery;
pub(crate) mod forward;
