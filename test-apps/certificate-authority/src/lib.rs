//! The reference mesh's certificate authority: gives node agents certificates for the pods of their node, and tells them
//! which roots are trusted.
//!
//! ```text
//! root (10 years, key `root`) -> intermediate (1 year, key `intermediate`) -> pod (hours at most)
//! ```
//!
//! Who calls comes from a bound service-account token, who a pod is from the Kubernetes API; nothing is believed that a
//! request says. Private keys are the key service's. Every replica serves by itself; what they must agree on stands in one
//! ConfigMap ([`ledger`]), and how roots are replaced is decided in [`roll`].
//!
//! Invariant: a pod's certificate leads to a root that was in the trust bundle before. What could be decided wrongly on
//! purpose goes through [`behaviour`].

pub mod admin;
pub mod authenticate;
pub mod behaviour;
pub mod bundle;
pub mod certificate;
pub mod keeping;
pub mod keys;
pub mod ledger;
pub mod metrics;
pub mod partner;
pub mod pods;
pub mod public_key;
pub mod publishing;
mod pulse;
pub mod request;
#[cfg(test)]
mod rights;
pub mod roll;
pub mod run;
pub mod service;
pub mod settings;
#[cfg(test)]
mod stub;
