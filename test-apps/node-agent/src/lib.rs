//! The reference mesh's node agent: gives the sidecars of its node their certificates and the trust bundle, over SDS on
//! a Unix socket, and renews both while they run.
//!
//! ```text
//! sidecar --SDS--> [service] --> [authenticate], [pods]: who it is
//!                            --> [identities]: one certificate for each pod, renewed --> [authority]
//!                            --> [bundle]: the roots, followed                       --> [authority]
//! ```
//!
//! Who a sidecar is comes from its bound service-account token and the Kubernetes API, never from what it says.
//!
//! Invariant: a private key is in memory only, and leaves it through SDS to a stream of its own pod only. The pure part
//! ([`stream`], [`secret`]) does no I/O; what could be decided wrongly on purpose goes through [`behaviour`].

pub mod admin;
pub mod authenticate;
pub mod authority;
pub mod backoff;
pub mod behaviour;
pub mod bundle;
pub mod certificate;
pub mod identities;
pub mod metrics;
pub mod pods;
#[cfg(test)]
mod rights;
pub mod run;
pub mod secret;
pub mod service;
pub mod settings;
pub mod socket;
pub mod stream;
#[cfg(test)]
mod stub;
