//! A stream's share in the identity of its pod.

use crate::bundle::Bundle;
use crate::certificate::Identity;
use crate::pods::Pod;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a stream has seen of the trust bundle.
#[derive(Clone, Debug)]
pub enum BundleSeen {
    /// It does not ask for it.
    NotAsked,
    /// It asks for it and has answered none.
    Asked,
    /// It has answered this one. A rejected one counts: there is nothing more to wait for.
    Answered(Arc<Bundle>),
}

/// The identity of one pod.
pub(super) struct Entry {
    pub(super) pod: Arc<Pod>,
    pub(super) identity: watch::Sender<Option<Arc<Identity>>>,
    /// What each stream of the pod has seen.
    pub(super) streams: watch::Sender<BTreeMap<u64, BundleSeen>>,
    /// The identity is not kept any more.
    pub(super) gone: CancellationToken,
}

impl Entry {
    pub(super) fn new(pod: Arc<Pod>) -> Self {
        Self {
            pod,
            identity: watch::Sender::new(None),
            streams: watch::Sender::new(BTreeMap::new()),
            gone: CancellationToken::new(),
        }
    }
}

/// A stream's share in the identity of its pod; given back when it is dropped.
pub struct Lease {
    entry: Arc<Entry>,
    stream: u64,
}

impl Lease {
    pub(super) fn new(entry: Arc<Entry>, stream: u64) -> Self {
        entry.streams.send_modify(|streams| {
            streams.insert(stream, BundleSeen::NotAsked);
        });
        Self { entry, stream }
    }

    /// The newest identity; none before the first.
    #[must_use]
    pub fn identity(&self) -> watch::Receiver<Option<Arc<Identity>>> {
        self.entry.identity.subscribe()
    }

    /// Is cancelled when the pod is gone, and with it its identity.
    #[must_use]
    pub fn gone(&self) -> CancellationToken {
        self.entry.gone.clone()
    }

    /// Tells what the stream has seen of the trust bundle.
    pub fn has_seen(&self, seen: BundleSeen) {
        self.entry.streams.send_modify(|streams| {
            streams.insert(self.stream, seen);
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.entry.streams.send_modify(|streams| {
            streams.remove(&self.stream);
        });
    }
}
