//! The words of meshproof as values: topology, configuration, scenario, fault, expectation, history,
//! checkers and verdict.
//!
//! Invariant: pure. No I/O, no clock, no cluster, no mesh: everything here is computed from its arguments,
//! so that a verdict can be recomputed from a stored history.

pub mod asking;
pub mod capability;
pub mod causes;
pub mod checker;
pub mod configuration;
pub mod directory;
pub mod document;
pub mod duration;
pub mod expectation;
pub mod fault;
pub mod handshake;
pub mod history;
pub mod in_vain;
pub mod kill;
pub mod machine;
pub mod names;
pub mod oracle;
pub mod patience;
pub mod placeholder;
pub mod protocol;
pub mod rotation;
pub mod run_event;
pub mod scenario;
#[cfg(test)]
mod testing;
pub mod topology;
pub mod usage;
pub mod verdict;
pub mod words;
