//! From a plan to verdicts: brings the environment up, schedules and carries out the scenarios, records what is
//! seen, has it judged, and takes everything down again.
//!
//! Invariant: only [`environment`] makes drivers and takes them down; the verdict comes from
//! [`harness_model::checker`] alone, computed from the recorded history.

pub mod environment;
pub mod interrupt;
pub mod plan;
pub mod selftest;

mod artifacts;
mod bring_up;
mod clock;
mod deploy;
mod directory_watch;
mod endpoints;
mod execute;
mod images;
mod judging;
mod lost;
mod machine;
mod one;
mod phases;
mod reachability;
mod record;
mod rendezvous;
mod rights;
mod run;
mod schedule;
mod services;
mod sidecar_watch;
mod streams;
mod under_test;
mod usage;

pub use deploy::deploy;
pub use environment::{Environment, PrepareError};
pub use images::mutant_images;
pub use interrupt::Interrupt;
pub use plan::{
    ClusterChoice, CollectPolicy, ImageChoice, ImageSource, KeepPolicy, MeshChoice, Replacement,
    RunPlan,
};
pub use run::run;
pub use selftest::{
    Matrix, MatrixRow, OnCase, Position, SelftestCase, SelftestPlan, SelftestReport, selftest,
};

use harness_model::run_event::RunEvent;

/// Where run events go. The runner does not wait for whoever reads them.
pub type Events = tokio::sync::mpsc::UnboundedSender<RunEvent>;
