//! Watching the sidecar: cheap looks while somebody waits, one consistent reading when something changed.

use crate::canonical;
use crate::local_client::{LocalClient, LocalError};
use crate::reading::{self, CHANGE_FILTER, Pass, Stats};
use crate::sender::unix_ns;
use crate::settings::Settings;
use bytes::Bytes;
use probe_api::launcher::{LauncherState, paths};
use probe_api::state::{ReconnectReply, ReconnectRequest, SidecarReading, SidecarState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

/// How far apart two looks are while somebody waits.
const RESOLUTION: Duration = Duration::from_millis(20);

/// A sidecar whose configuration changes during so many readings in a row cannot be read.
const READINGS: u32 = 20;

/// Watches the sidecar of this pod.
#[derive(Debug)]
pub(crate) struct Watcher {
    settings: Settings,
    admin: Option<LocalClient>,
    launcher: Option<LocalClient>,
    /// What changes with every change of configuration, and the reading made of it.
    last: Mutex<Option<(Fingerprint, Arc<SidecarState>)>>,
    /// The last state that was looked up while somebody waited.
    looked: watch::Sender<Option<Arc<SidecarState>>>,
    waiting: AtomicUsize,
    somebody_waits: Notify,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint {
    stats: Bytes,
    launcher: LauncherState,
}

impl Watcher {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            admin: settings.admin.as_deref().map(LocalClient::new),
            launcher: settings.launcher.as_deref().map(LocalClient::new),
            settings,
            last: Mutex::new(None),
            looked: watch::Sender::default(),
            waiting: AtomicUsize::new(0),
            somebody_waits: Notify::new(),
        })
    }

    /// Looks again and again while somebody waits, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut ticks = interval(RESOLUTION);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let called = self.somebody_waits.notified();
            if self.waiting.load(Ordering::SeqCst) == 0 {
                called.await;
            }
            ticks.tick().await;
            let state = self.look().await;
            self.looked.send_replace(Some(state));
        }
    }

    /// Reads the sidecar now.
    pub(crate) async fn read(&self) -> Arc<SidecarState> {
        *self.last.lock().await = None;
        self.look().await
    }

    /// The first state whose hash differs from `hash`, or the state when the time is over.
    pub(crate) async fn differing(&self, hash: &str, patience: Duration) -> Arc<SidecarState> {
        let until = Instant::now() + patience;
        let mut looks = self.looked.subscribe();
        let now = self.look().await;
        if now.hash != hash {
            return now;
        }
        let _waiting = Waiting::new(self);
        let changed = looks.wait_for(|look| {
            // A look that began before this call may miss what the caller knows of.
            look.as_ref()
                .is_some_and(|state| state.observed_at_ns > now.observed_at_ns && state.hash != hash)
        });
        if let Ok(Ok(look)) = timeout_at(until, changed).await
            && let Some(state) = &*look
        {
            return Arc::clone(state);
        }
        self.look().await
    }

    /// Makes the sidecar reconnect.
    pub(crate) async fn reconnect(
        &self,
        request: &ReconnectRequest,
    ) -> Result<ReconnectReply, String> {
        let launcher = self
            .launcher
            .as_ref()
            .ok_or("the pod has no launcher that could be told (LAUNCHER is not set)")?;
        launcher
            .post_json(paths::RECONNECT, request)
            .await
            .map_err(|error| error.to_string())
    }

    /// The sidecar takes traffic, or why not. Without a sidecar there is nothing to wait for.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        match &self.admin {
            None => Ok(()),
            Some(admin) => admin
                .get("/ready")
                .await
                .map(drop)
                .map_err(|error| error.to_string()),
        }
    }

    /// The state now: the last reading when nothing changed since, else a new one.
    async fn look(&self) -> Arc<SidecarState> {
        let Some(admin) = &self.admin else {
            return self.state(SidecarReading::None);
        };
        let mut last = self.last.lock().await;
        match self.read_consistently(admin, &mut last).await {
            Ok(state) => state,
            Err(error) => {
                *last = None;
                self.state(SidecarReading::Unreachable(error))
            }
        }
    }

    async fn read_consistently(
        &self,
        admin: &LocalClient,
        last: &mut Option<(Fingerprint, Arc<SidecarState>)>,
    ) -> Result<Arc<SidecarState>, String> {
        let words = |error: LocalError| error.to_string();
        let mut before = self.fingerprint(admin).await.map_err(words)?;
        if let Some((fingerprint, state)) = last
            && *fingerprint == before
        {
            // Nothing changed, so what was read then holds now.
            let mut state = SidecarState::clone(state);
            state.observed_at_ns = unix_ns();
            return Ok(Arc::new(state));
        }
        for _ in 0..READINGS {
            let configuration = admin
                .get_json("/config_dump?include_eds")
                .await
                .map_err(words)?;
            let runtime = admin.get_json("/runtime").await.map_err(words)?;
            let clusters = admin
                .get_json("/clusters?format=json")
                .await
                .map_err(words)?;
            let server = admin.get_json("/server_info").await.map_err(words)?;
            let after = self.fingerprint(admin).await.map_err(words)?;
            if after != before {
                before = after;
                continue;
            }
            let held = reading::sidecar(&Pass {
                configuration,
                runtime,
                clusters,
                server,
                stats: Stats::parse(&String::from_utf8_lossy(&after.stats)),
                launcher: after.launcher.clone(),
            });
            let state = self.state(SidecarReading::Read(Box::new(held)));
            *last = Some((after, Arc::clone(&state)));
            return Ok(state);
        }
        Err(format!(
            "the sidecar's configuration changed during each of {READINGS} readings"
        ))
    }

    async fn fingerprint(&self, admin: &LocalClient) -> Result<Fingerprint, LocalError> {
        let launcher = async {
            match &self.launcher {
                None => Ok(LauncherState::default()),
                Some(launcher) => launcher.get_json(paths::XDS).await,
            }
        };
        let (stats, launcher) = tokio::try_join!(admin.get(CHANGE_FILTER), launcher)?;
        Ok(Fingerprint { stats, launcher })
    }

    fn state(&self, sidecar: SidecarReading) -> Arc<SidecarState> {
        let hash = match &sidecar {
            SidecarReading::Read(held) => reading::content_hash(held),
            SidecarReading::None => canonical::hash_of(&"none"),
            // Whatever the reason is: it is the same state of knowledge.
            SidecarReading::Unreachable(_) => canonical::hash_of(&"unreachable"),
        };
        Arc::new(SidecarState {
            hash,
            observed_at_ns: unix_ns(),
            resolution_ms: u64::try_from(RESOLUTION.as_millis()).unwrap_or(u64::MAX),
            identity: self.settings.identity.clone(),
            sidecar,
        })
    }
}

/// Somebody who waits for a change.
struct Waiting<'a>(&'a Watcher);

impl<'a> Waiting<'a> {
    fn new(watcher: &'a Watcher) -> Self {
        watcher.waiting.fetch_add(1, Ordering::SeqCst);
        watcher.somebody_waits.notify_one();
        Self(watcher)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}
