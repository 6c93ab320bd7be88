//! What the component tests share: images of ours, and programs of other projects that they work with, as containers
//! of an engine, by `testcontainers`. Benches of one program at a time are here too; they start it as a process
//! ([`programs`]).
//!
//! Invariant: nothing is pulled, and nothing of other people's is touched. Every container, network and image is named
//! or labelled by the process that made it ([`owner::Owner`]), and only such are removed.

pub mod archive;
pub mod certificate_authority;
pub mod certificates;
pub mod control_plane;
pub mod kubernetes;
pub mod owner;
pub mod programs;
pub mod session;
pub mod wait;
