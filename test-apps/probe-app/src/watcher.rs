//! Watching the sidecar: cheap looks while somebody waits, one consistent reading when something changed.

use crate::canonical;
use crate::local_client::{LocalClient, LocalError};
use crate::reading::{self, ALL_USED, About, Closed, Fingerprint, Parts, Stats};
use crate::sender::unix_ns;
use crate::settings::Settings;
use probe_api::launcher::{LauncherState, paths};
use probe_api::state::{ReconnectReply, ReconnectRequest, SidecarReading, SidecarState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

/// How long after something reached the sidecar, and after the look before, it is looked at while somebody waits:
/// closely while it may be working on it, rarely when nothing happens. Never shorter than [`RESTS`] times what that look
/// took: whoever looks more keeps a busy sidecar from what it is looked at for, and reads what the next update has replaced.
/// The last pause is what a renewed certificate may be seen late by, for those come past the launcher; at 100 ms the looks at
/// idle sidecars took half of a small machine.
const PAUSES: [Duration; 9] = [
    Duration::from_millis(3),
    Duration::from_millis(5),
    Duration::from_millis(8),
    Duration::from_millis(16),
    Duration::from_millis(32),
    Duration::from_millis(64),
    Duration::from_millis(125),
    Duration::from_millis(250),
    Duration::from_millis(400),
];

/// So many times as long as a look took it is left alone: it is looked at a quarter of the time at most.
const RESTS: u32 = 3;

/// The longest that a look is taken to have needed.
const LONGEST_LOOK: Duration = Duration::from_millis(100);

/// The longest of the [`PAUSES`] within the first 30 ms, in which a sidecar takes an update over.
const CLOSE: usize = 3;

/// The longest of the [`PAUSES`] while a sidecar is in the midst of a change ([`reading::is_under_way`]): nobody tells when a
/// secret that it warms for comes past the launcher, nor when the connections that it drains are gone.
const UNDER_WAY: usize = 4;

/// So long a change is taken to be under way: what warms for longer may wait for ever, and closer looks for ever cost too much.
const UNDER_WAY_FOR: Duration = Duration::from_secs(2);

/// Without a launcher nobody tells when something reached the sidecar.
const PAUSE_WITHOUT_LAUNCHER: Duration = Duration::from_millis(20);

/// How long the launcher is asked to wait for activity.
const ACTIVITY_WAIT_MS: u64 = 2000;

/// A sidecar whose configuration changes during so many readings in a row cannot be read.
const READINGS: u32 = 20;

/// Watches the sidecar of this pod.
#[derive(Debug)]
pub(crate) struct Watcher {
    settings: Settings,
    admin: Option<LocalClient>,
    launcher: Option<LocalClient>,
    last: Mutex<Last>,
    /// Start of the sidecar process → what does not change while it runs.
    about: Mutex<Option<(u64, About)>>,
    /// The last state that was looked up while somebody waited.
    looked: watch::Sender<Option<Arc<SidecarState>>>,
    waiting: AtomicUsize,
    somebody_waits: Notify,
    /// The launcher's count of everything that can change the sidecar's configuration.
    activity: watch::Sender<u64>,
}

/// What earlier readings brought.
#[derive(Debug, Default)]
struct Last {
    /// The last reading, and what it was made under.
    reading: Option<(Fingerprint, Arc<SidecarState>)>,
    parts: Parts,
}

impl Watcher {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            admin: settings.admin.as_deref().map(LocalClient::new),
            launcher: settings.launcher.as_deref().map(LocalClient::new),
            settings,
            last: Mutex::default(),
            about: Mutex::new(None),
            looked: watch::Sender::default(),
            waiting: AtomicUsize::new(0),
            somebody_waits: Notify::new(),
            activity: watch::Sender::new(0),
        })
    }

    /// Looks again and again while somebody waits, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut pause = 0;
        let mut least = Duration::ZERO;
        let mut last_active = Instant::now();
        let mut active = self.activity.subscribe();
        loop {
            let called = self.somebody_waits.notified();
            if self.waiting.load(Ordering::SeqCst) == 0 {
                called.await;
            }
            let length = match self.launcher {
                Some(_) => PAUSES[pause],
                None => PAUSE_WITHOUT_LAUNCHER,
            };
            tokio::select! {
                () = rest(length.max(least)) => {
                    let is_close = last_active.elapsed() < UNDER_WAY_FOR && self.is_under_way().await;
                    let longest = if is_close { UNDER_WAY } else { PAUSES.len() - 1 };
                    pause = (pause + 1).min(longest);
                }
                _ = active.changed() => {
                    pause = 0;
                    last_active = Instant::now();
                    rest(PAUSES[0].max(least)).await;
                }
            }
            let began = Instant::now();
            let state = self.look().await;
            // A look at a pod that was stopped meanwhile took as long as that.
            least = RESTS * began.elapsed().min(LONGEST_LOOK);
            self.looked.send_replace(Some(state));
        }
    }

    /// Follows the launcher's count of activity, for ever.
    pub(crate) async fn follow(self: Arc<Self>) {
        let Some(address) = self.settings.launcher.as_deref() else {
            return;
        };
        // A connection of its own: the other one must not wait behind a long poll.
        let launcher = LocalClient::new(address);
        let mut known = 0;
        let mut looks = self.looked.subscribe();
        loop {
            let path = format!("{}?activity={known}&wait_ms={ACTIVITY_WAIT_MS}", paths::XDS);
            match launcher.get_json::<LauncherState>(&path).await {
                Ok(state) => {
                    if state.activity != known {
                        known = state.activity;
                        self.activity.send_replace(known);
                    }
                }
                // Looking goes on without it, only less closely. It is tried again with the next look.
                Err(error) => {
                    tracing::debug!(%error, "the launcher's activity cannot be followed");
                    if looks.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Whether the last reading was made in the midst of a change.
    async fn is_under_way(&self) -> bool {
        let last = self.last.lock().await;
        last.reading
            .as_ref()
            .is_some_and(|(fingerprint, _)| reading::is_under_way(&fingerprint.stats))
    }

    /// Reads the sidecar now.
    pub(crate) async fn read(&self) -> Arc<SidecarState> {
        *self.last.lock().await = Last::default();
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
            look.as_ref().is_some_and(|state| {
                state.observed_at_ns > now.observed_at_ns && state.hash != hash
            })
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

    /// The state now: the last reading when nothing changed since, else a new one.
    async fn look(&self) -> Arc<SidecarState> {
        let Some(admin) = &self.admin else {
            return self.state(SidecarReading::None);
        };
        let mut last = self.last.lock().await;
        match self.read_consistently(admin, &mut last).await {
            Ok(state) => state,
            Err(error) => {
                *last = Last::default();
                // Another process may answer next.
                *self.about.lock().await = None;
                self.state(SidecarReading::Unreachable(error))
            }
        }
    }

    async fn read_consistently(
        &self,
        admin: &LocalClient,
        last: &mut Last,
    ) -> Result<Arc<SidecarState>, String> {
        let words = |error: LocalError| error.to_string();
        let (mut before, closed) = self.fingerprint(admin).await.map_err(words)?;
        if let Some((fingerprint, state)) = &last.reading
            && *fingerprint == before
            && last.parts.holds(Instant::now())
        {
            // Nothing changed, so what was read then holds now.
            let mut state = SidecarState::clone(state);
            state.observed_at_ns = unix_ns();
            if let SidecarReading::Read(held) = &mut state.sidecar {
                // It counts on without a change.
                held.turned_away = held.turned_away.map(|_| closed.led_nowhere);
                held.not_allowed = held.not_allowed.map(|_| closed.not_allowed);
            }
            return Ok(Arc::new(state));
        }
        for _ in 0..READINGS {
            let about = self.about(admin, &before).await.map_err(words)?;
            // What did not change is kept: to render all of it takes a sidecar longer than to take an update over.
            for part in last.parts.stale(&before, Instant::now()) {
                let asked_at = Instant::now();
                let mut answers = Vec::new();
                for path in part.paths() {
                    answers.push(admin.get_json(path).await.map_err(words)?);
                }
                last.parts.take(part, &answers, &about, &before, asked_at);
            }
            let (after, closed) = self.fingerprint(admin).await.map_err(words)?;
            if after != before {
                before = after;
                continue;
            }
            let stats = Stats::parse(&after.stats);
            let held = reading::sidecar(&about, &last.parts, &stats, &after.launcher, closed);
            let state = self.state(SidecarReading::Read(Box::new(held)));
            last.reading = Some((after, Arc::clone(&state)));
            return Ok(state);
        }
        Err(format!(
            "the sidecar's configuration changed during each of {READINGS} readings"
        ))
    }

    /// What does not change while the sidecar process runs, read once for each start of it.
    async fn about(
        &self,
        admin: &LocalClient,
        fingerprint: &Fingerprint,
    ) -> Result<About, LocalError> {
        let starts = fingerprint.launcher.starts;
        let mut known = self.about.lock().await;
        if let Some((at, about)) = &*known
            && *at == starts
        {
            return Ok(about.clone());
        }
        let about = About::new(&admin.get_json(About::PATH).await?);
        *known = Some((starts, about.clone()));
        Ok(about)
    }

    /// What marks a change, and how many connections were closed by then, which marks none.
    async fn fingerprint(
        &self,
        admin: &LocalClient,
    ) -> Result<(Fingerprint, Closed<u64>), LocalError> {
        let launcher = async {
            match &self.launcher {
                None => Ok(LauncherState::default()),
                Some(launcher) => launcher.get_json(paths::XDS).await,
            }
        };
        let (stats, mut launcher) = tokio::try_join!(admin.get(ALL_USED), launcher)?;
        // Data may come without changing anything.
        launcher.activity = 0;
        let all = String::from_utf8_lossy(&stats);
        let closed = reading::closed(&all);
        let stats = reading::that_mark(&all);
        Ok((Fingerprint { stats, launcher }, closed))
    }

    /// The longest pause between two looks while something happens, where looks are shorter than a third of that.
    fn resolution_ms(&self) -> u64 {
        let pause = match self.launcher {
            Some(_) => PAUSES[CLOSE],
            None => PAUSE_WITHOUT_LAUNCHER,
        };
        u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)
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
            resolution_ms: self.resolution_ms(),
            identity: self.settings.identity.clone(),
            sidecar,
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "Envoy's admin interface has no way to wait for a change; the launcher cuts the pause short"
)]
async fn rest(pause: Duration) {
    sleep(pause).await;
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
