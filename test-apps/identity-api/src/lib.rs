//! What the parts of the mesh that hand out identities say to each other: the key service, the certificate authority and
//! the node agents.
//!
//! ```text
//! sidecar --SDS, Unix socket--> node agent --Issue--> certificate authority --Sign--> key service
//! ```
//!
//! Invariant: no message carries a private key. Keys of sidecars are made by the node agent and leave it through SDS to
//! their pod only; those of the authority are made by the key service and never leave it.

pub mod authority;
pub mod keys;
mod spiffe;

pub use spiffe::{ParseSpiffeIdError, SpiffeId};
