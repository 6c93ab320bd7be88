//! The reference mesh's key service: makes the keys of the certificate authority, signs with them, and never tells them.
//!
//! Callers prove who they are with a client certificate; every call leaves a line in the audit log. Where keys are kept is
//! behind [`store::KeyStore`].
//!
//! Invariant: nothing that leaves this crate, be it an answer, an error or a line of a log, has any part of a private key
//! in it.

mod admin;
pub mod caller;
pub mod file_store;
pub mod metrics;
pub mod run;
pub mod sealing;
pub mod service;
pub mod settings;
pub mod store;
