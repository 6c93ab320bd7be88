//! Zones and nodes as the fabric holds them: started in their network namespaces, told what they are, watched over.

use super::components::Ended;
use super::failed;
use super::protocol::{self, LIFELINE, ZoneReady};
use crate::ClusterError;
use harness_kernel::namespace::{Child, CloneFlags, Spawn};
use harness_kernel::netns::NetNs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncBufReadExt;
use tokio::sync::{mpsc, watch};

/// Starts a role of ours in a network namespace, tells it its configuration, and watches over its end. The process, and the
/// connection to it.
pub(super) fn start(
    role: &'static str,
    name: &str,
    config: &impl serde::Serialize,
    network: &NetNs,
    log: &Path,
    is_ready: &watch::Receiver<bool>,
    ended: &mpsc::Sender<Ended>,
) -> Result<(Arc<Child>, tokio::net::UnixStream), ClusterError> {
    let act = format!("start {} {name}", role.trim_start_matches('_'));
    let (here, there) = UnixStream::pair().map_err(failed(act.clone()))?;
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(failed(act.clone()))?;
    let copy = file.try_clone().map_err(failed(act.clone()))?;
    let mut spawn = Spawn::again(vec!["meshproof".into(), role.into(), name.into()]);
    spawn.descriptors = vec![
        (LIFELINE, OwnedFd::from(there)),
        (1, file.into()),
        (2, copy.into()),
    ];
    spawn.network = Some(network.try_clone().map_err(failed(act.clone()))?);
    if role == "__node" {
        spawn.namespaces = CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC;
    }
    let child = Arc::new(spawn.start().map_err(failed(act.clone()))?);
    let line = protocol::line(config).map_err(failed(act.clone()))?;
    (&here).write_all(&line).map_err(failed(act.clone()))?;
    let watched = Ended {
        name: format!("{} {name}", role.trim_start_matches('_')),
        how: String::new(),
        log: log.to_owned(),
    };
    tokio::spawn(watch_over(
        Arc::clone(&child),
        watched,
        is_ready.clone(),
        ended.clone(),
    ));
    Ok((child, super::tokio_stream(here).map_err(failed(act))?))
}

async fn watch_over(
    child: Arc<Child>,
    mut watched: Ended,
    is_ready: watch::Receiver<bool>,
    ended: mpsc::Sender<Ended>,
) {
    watched.how = match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    if *is_ready.borrow() {
        // A node that was killed on purpose, perhaps: Kubernetes notices by itself.
        tracing::warn!(name = watched.name, how = watched.how, "ended");
    } else {
        let _ = ended.send(watched).await;
    }
}

pub(super) async fn router_works(router: tokio::net::UnixStream) -> Result<(), ClusterError> {
    let mut line = String::new();
    let mut router = tokio::io::BufReader::new(router);
    let read = router.read_line(&mut line).await;
    if read.map_err(failed("hear from a zone's router"))? == 0 {
        // Its end is told with its log by the one that watches over it.
        return std::future::pending().await;
    }
    let ready: ZoneReady =
        serde_json::from_str(&line).map_err(failed("hear from a zone's router"))?;
    ready.map_err(ClusterError::from)?;
    // It ends with us; closing the connection would end it early.
    std::mem::forget(router);
    Ok(())
}
