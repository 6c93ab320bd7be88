//! The reference mesh's key service: makes the keys of the certificate authority, signs with them, and never tells them.
//!
//! Callers prove who they are with a client certificate, and a list says which of them are served ([`access`]); every call
//! leaves a line in the audit log. What keeps and
//! uses keys is behind [`store::KeyStore`]: a sealed store ([`sealed_store`]), whose bytes are in a Secret or in a folder
//! ([`keep`]), or a token behind PKCS #11 ([`pkcs11`]), which private keys never leave. What could be decided wrongly on purpose goes through [`behaviour`].
//!
//! Invariant: nothing that leaves this crate, be it an answer, an error or a line of a log, has any part of a private key
//! in it.

pub mod access;
mod admin;
pub mod behaviour;
pub mod caller;
pub mod keep;
pub mod metrics;
pub mod pkcs11;
#[cfg(test)]
mod rights;
pub mod run;
pub mod sealed_store;
pub mod sealing;
pub mod service;
pub mod settings;
pub mod store;
