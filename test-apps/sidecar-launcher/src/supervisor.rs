//! Starting the sidecar, starting it again when it crashes, and draining it at the end.

use crate::admin::Admin;
use crate::behaviour::Behaviour;
use crate::connections::{self, Connections};
use crate::log::{self, Rejections};
use crate::settings::Settings;
use probe_api::APPLICATION_PORT;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};

/// The first pause after a crash; it doubles with each crash that follows soon.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause after a crash.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A sidecar that ran this long did not crash from its start, so the pauses begin anew.
const STABLE: Duration = Duration::from_secs(10);

/// How often the sidecar is asked while it drains.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// How often the sidecar process was started.
#[derive(Debug, Default)]
pub(crate) struct Starts(AtomicU64);

impl Starts {
    /// The count so far.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where what the sidecar says goes, and whether it has somebody to listen to.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Its log.
    pub rejections: Arc<Rejections>,
    /// Its standard output.
    pub connections: Arc<Connections>,
    /// How many connections to its control plane it has.
    pub control_plane: watch::Receiver<u64>,
}

/// Keeps the sidecar running until `ended` says otherwise; then drains it.
pub(crate) async fn supervise(
    settings: &Settings,
    bootstrap: &Path,
    behaviour: &dyn Behaviour,
    starts: &Starts,
    heard: &Heard,
    mut ended: watch::Receiver<bool>,
) -> std::io::Result<()> {
    // The other one is in use while the sidecar runs.
    let mut told = ended.clone();
    let mut pause = FIRST_PAUSE;
    loop {
        let mut child = start(settings, bootstrap, behaviour)?;
        heard.rejections.clear();
        if let Some(output) = child.stderr.take() {
            tokio::spawn(log::forward(output, Arc::clone(&heard.rejections)));
        }
        if let Some(output) = child.stdout.take() {
            tokio::spawn(connections::listen(output, Arc::clone(&heard.connections)));
        }
        starts.0.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let status = tokio::select! {
            status = child.wait() => Some(status?),
            _ = ended.wait_for(|ended| *ended) => None,
            () = behaviour.has_to_start_anew(heard.control_plane.clone()) => {
                tracing::warn!("the sidecar is started anew");
                child.kill().await?;
                continue;
            }
            () = behaviour.has_to_end(APPLICATION_PORT) => {
                tracing::warn!("the sidecar ends before it is told to");
                child.kill().await?;
                // The launcher stays, or it would be started anew.
                let _ = told.wait_for(|ended| *ended).await;
                return Ok(());
            }
        };
        let Some(status) = status else {
            return drain(settings, child).await;
        };
        if started.elapsed() >= STABLE {
            pause = FIRST_PAUSE;
        }
        tracing::error!(%status, ?pause, "the sidecar ended by itself and is started again");
        tokio::select! {
            () = rest(pause) => {}
            _ = ended.wait_for(|ended| *ended) => return Ok(()),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a pause between restarts is the point: a sidecar that crashes at once must not take the processor"
)]
async fn rest(pause: Duration) {
    sleep(pause).await;
}

fn start(
    settings: &Settings,
    bootstrap: &Path,
    behaviour: &dyn Behaviour,
) -> std::io::Result<Child> {
    let mut command = Command::new(&settings.envoy);
    command
        .arg("--config-path")
        .arg(bootstrap)
        .args(["--concurrency", "1", "--disable-hot-restart"])
        .args(["--log-level", &settings.envoy_log_level])
        .args(["--log-format", log::FORMAT])
        // An application waits for what is said of its connections.
        .args(["--file-flush-interval-msec", "20"])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let seconds = settings.old_connections_seconds.max(1);
    if let Some(seconds) = behaviour.old_connections_seconds(seconds) {
        command
            .args(["--drain-time-s", &seconds.to_string()])
            // The next response says that the connection ends, so that hardly one is still in use when its time is over.
            .args(["--drain-strategy", "immediate"]);
    }
    command.spawn()
}

/// Lets requests under way end, within the bound, then ends the sidecar.
async fn drain(settings: &Settings, mut child: Child) -> std::io::Result<()> {
    let admin = Admin::new(settings.admin_port);
    let bound = Duration::from_secs(settings.drain_seconds);
    let drained = async {
        if let Err(error) = admin.drain().await {
            tracing::warn!(%error, "the sidecar could not be told to drain");
            return;
        }
        let mut looks = interval(DRAIN_LOOK);
        loop {
            looks.tick().await;
            match admin.active_requests().await {
                Ok(0) | Err(_) => return,
                Ok(active) => tracing::debug!(active, "requests are still under way"),
            }
        }
    };
    if timeout(bound, drained).await.is_err() {
        tracing::warn!(
            ?bound,
            "requests were still under way when the time was over"
        );
    }
    if let Err(error) = admin.quit().await {
        tracing::debug!(%error, "the sidecar could not be told to end");
    }
    match timeout(Duration::from_secs(2), child.wait()).await {
        Ok(status) => status.map(report),
        Err(_) => child.kill().await,
    }
}

fn report(status: ExitStatus) {
    tracing::info!(%status, "the sidecar has ended");
}
