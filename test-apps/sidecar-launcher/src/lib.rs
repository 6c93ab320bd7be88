//! Starts, supervises and drains the sidecar (Envoy) of a pod, and relays its control-plane connection.
//!
//! Invariant: no policy, scope or xDS message is known here; the launcher could start any xDS sidecar. What could be decided
//! wrongly on purpose goes through [`behaviour`].

mod activity;
mod admin;
pub mod behaviour;
mod bootstrap;
mod connections;
mod log;
mod relay;
pub mod run;
mod serve;
mod settings;
mod supervisor;
