//! Live tests: the real binary, a real cluster, real signals. One binary, run one test at a time
//! (`.config/nextest.toml`), since a kill is judged against a baseline of the whole machine.
//!
//! Invariant: a test ends only processes that it started itself, by pid.

mod baseline;
mod candidate;
mod existing_cluster;
mod foreign;
mod interrupted;
mod kept_cluster;
mod killed;
mod meshproof;
mod ordinary_user;
mod pipeline;
mod run_and_judge;
