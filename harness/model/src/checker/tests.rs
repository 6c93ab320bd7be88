//! Hand-made histories for every checker.

mod configuration;
mod traffic;
