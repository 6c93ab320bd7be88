//! Where the key service takes its decisions, so that another binary can take wrong ones on purpose.
//!
//! Invariant: every method's default is the faithful behaviour, and nothing here knows of any other.

/// The decisions of the key service.
pub trait Behaviour: Send + Sync + 'static {
    /// Whether a key service that starts takes the keys that were kept.
    fn takes_what_is_kept(&self) -> bool {
        true
    }

    /// Whether TLS goes on with those clients alone that show a certificate below the root of clients.
    fn asks_for_certificates(&self) -> bool {
        true
    }

    /// Whether a client that is not in the list is served.
    fn serves_unlisted(&self) -> bool {
        false
    }
}

/// As designed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faithful;

impl Behaviour for Faithful {}
