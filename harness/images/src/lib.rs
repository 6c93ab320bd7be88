//! Container images without a container engine: packing, reading, unpacking and keeping them.
//!
//! An image is one tar that is an OCI layout and a docker archive at once, so that containerd, Docker, `kind load`
//! and our own kubelet read the same file.
//!
//! Invariant: nothing here starts a container, speaks to a registry or knows Kubernetes.

pub mod another;
pub mod archive;
pub mod build;
pub mod closure;
mod digest;
mod elf;
mod flatten;
mod input;
pub mod pack;
pub mod reference;
pub mod store;
