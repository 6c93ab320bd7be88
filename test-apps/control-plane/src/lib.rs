//! The reference mesh's control plane: reads scopes and policies from Kubernetes and serves each sidecar, over
//! ADS (state of the world and delta), what it is to hold.
//!
//! Who a sidecar is comes from its bound service-account token and the Kubernetes API, never from what it says.
//! Every replica serves by itself; only status is written by one of them.
//!
//! Invariant: the pure part ([`scope`], [`effective`], [`translate`], [`snapshot`], [`stream`], [`status`]) does
//! no I/O; what could be decided wrongly on purpose goes through [`behaviour`].

pub mod acknowledgements;
pub mod admin;
pub mod authenticate;
pub mod behaviour;
pub mod effective;
pub mod leading;
pub mod metrics;
pub mod peers;
#[cfg(test)]
mod rights;
pub mod run;
pub mod scope;
pub mod service;
pub mod settings;
pub mod snapshot;
pub mod status;
pub mod statuses;
pub mod stream;
pub mod translate;
pub mod watching;
pub mod wire;
pub mod world;
pub mod writing;
