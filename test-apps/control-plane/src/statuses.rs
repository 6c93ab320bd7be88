//! The statuses as the API server has them.
//!
//! They are kept out of the world, so that writing one does not make every stream compute anew.
//!
//! Invariant: what is known never goes back to an older revision of the same object.

use mesh_api::{PolicyConfigStatus, ScopeConfigStatus};
use std::collections::BTreeMap;
use tokio::sync::watch;

/// The statuses of both kinds.
#[derive(Debug, Default)]
pub struct Statuses {
    /// Of policies.
    pub policies: Known<PolicyConfigStatus>,
    /// Of scopes.
    pub scopes: Known<ScopeConfigStatus>,
}

/// The statuses of one kind, by name of the object.
#[derive(Debug)]
pub struct Known<V> {
    entries: watch::Sender<BTreeMap<String, Entry<V>>>,
}

/// A status and the revision of the object that it was read from.
#[derive(Clone, Debug)]
pub struct Entry<V> {
    revision: Option<u64>,
    status: V,
}

impl<V> Default for Known<V> {
    fn default() -> Self {
        Self {
            entries: watch::Sender::new(BTreeMap::new()),
        }
    }
}

impl<V: Clone + PartialEq> Known<V> {
    /// What is known of an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<V> {
        let entries = self.entries.borrow();
        entries.get(name).map(|entry| entry.status.clone())
    }

    /// A watch tells a status. Those who follow are woken when it is another than the known one: then somebody
    /// else wrote it, or the object is new.
    pub fn told(&self, name: &str, resource_version: Option<&str>, status: V) {
        self.entries
            .send_if_modified(|entries| put(entries, name, resource_version, status));
    }

    /// A status was written by this replica; nobody needs to be woken.
    pub fn written(&self, name: &str, resource_version: Option<&str>, status: V) {
        self.entries.send_if_modified(|entries| {
            put(entries, name, resource_version, status);
            false
        });
    }

    /// Forgets what is not there any more; nobody is woken, since the world tells of it.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.entries.send_if_modified(|entries| {
            entries.retain(|name, _| is_there(name));
            false
        });
    }

    /// Follows what watches tell.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<String, Entry<V>>> {
        self.entries.subscribe()
    }
}

/// Puts a status in, unless a newer one is there; true when that changes what is known.
fn put<V: PartialEq>(
    entries: &mut BTreeMap<String, Entry<V>>,
    name: &str,
    resource_version: Option<&str>,
    status: V,
) -> bool {
    // Resource versions are numbers that grow with every write (promised since Kubernetes 1.35).
    let revision = resource_version.and_then(|version| version.parse().ok());
    let known = entries.get(name);
    if let (Some(revision), Some(known)) = (revision, known.and_then(|known| known.revision))
        && revision < known
    {
        return false;
    }
    let is_news = known.is_none_or(|known| known.status != status);
    entries.insert(name.to_owned(), Entry { revision, status });
    is_news
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> (Known<u8>, watch::Receiver<BTreeMap<String, Entry<u8>>>) {
        let known = Known::default();
        known.told("a", Some("5"), 1);
        let follower = known.subscribe();
        (known, follower)
    }

    #[test]
    fn own_writes_and_their_echo_wake_nobody() {
        let (known, follower) = known();
        known.written("a", Some("6"), 2);
        known.told("a", Some("6"), 2);
        assert_eq!(known.get("a"), Some(2));
        assert!(!follower.has_changed().expect("open"));
    }

    #[test]
    fn a_late_echo_does_not_bring_back_what_was_before() {
        let (known, follower) = known();
        known.written("a", Some("10"), 2);
        known.told("a", Some("9"), 1);
        assert_eq!(known.get("a"), Some(2));
        assert!(!follower.has_changed().expect("open"));
    }

    #[test]
    fn what_somebody_else_wrote_wakes() {
        let (known, follower) = known();
        known.told("a", Some("7"), 3);
        assert_eq!(known.get("a"), Some(3));
        assert!(follower.has_changed().expect("open"));
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let (known, _follower) = known();
        known.retain(|name| name != "a");
        assert_eq!(known.get("a"), None);
    }
}
