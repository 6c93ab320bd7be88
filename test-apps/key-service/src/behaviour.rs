//! Where the key service takes its decisions, so that another binary can take wrong ones on purpose.
//!
//! Invariant: every method's default is the faithful behaviour, and nothing here knows of any other.

use crate::store::KeyName;

/// The decisions of the key service.
pub trait Behaviour: Send + Sync + 'static {
    /// Whether a key service that starts takes the keys that were kept.
    fn takes_what_is_kept(&self) -> bool {
        true
    }

    /// Whether what is kept is sealed.
    fn seals(&self) -> bool {
        true
    }

    /// Whether each version of a key is another key than those before it.
    fn makes_new_keys(&self) -> bool {
        true
    }

    /// Whether TLS goes on with those clients alone that show a certificate below the root of clients.
    fn asks_for_certificates(&self) -> bool {
        true
    }

    /// Whether calls are written into the audit log.
    fn writes_audit(&self) -> bool {
        true
    }

    /// Whether what is written into the audit log says who has called.
    fn audit_names_callers(&self) -> bool {
        true
    }

    /// Whether a client that is not in the list is served.
    fn serves_unlisted(&self) -> bool {
        false
    }

    /// The key that a message is signed with when this one is asked for.
    fn signs_with(&self, asked: KeyName) -> KeyName {
        asked
    }

    /// What is done with each private key (PKCS #8, DER) that was made or read, beside being used.
    fn before_using(&self, name: &KeyName, private: &[u8]) {
        let _ = (name, private);
    }
}

/// As designed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faithful;

impl Behaviour for Faithful {}
