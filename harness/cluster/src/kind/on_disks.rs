//! Harming something on the disks of nodes, once, by a shell in each of them.
//!
//! Invariant: a shell in the node undoes what is left after the time, whatever becomes of us, and never touches what somebody
//! made again.

mod full;
pub(super) mod keys;
pub(super) mod own;
mod socket;

use super::engine::Engine;
use super::zone::Worker;
use crate::{ClusterError, DiskHarm, OnDisks, failed};
use futures::future::{join_all, try_join_all};
use harness_model::fault::SocketHarm;
use std::time::Duration;

/// Harms it on every node that is meant; what was measured, in words.
pub(super) async fn harm(
    engine: &Engine,
    workers: &[Worker],
    part: &OnDisks,
    duration: Duration,
) -> Result<String, ClusterError> {
    let path = &*part.path.display().to_string();
    let seconds = &*format!("{:.3}", duration.as_secs_f64());
    let broken = |harm| {
        vec![
            "sh",
            "-c",
            socket::BREAK,
            "break",
            path,
            harm,
            seconds,
            socket::MEND,
        ]
    };
    let arguments = &match part.harm {
        DiskHarm::Socket(SocketHarm::Unlinked) => broken("unlinked"),
        DiskHarm::Socket(SocketHarm::Forbidden) => broken("forbidden"),
        DiskHarm::Full => vec!["sh", "-c", full::FILL, "fill", path, seconds, full::EMPTY],
    };
    let harmed = nodes(workers, part)?.into_iter().map(|node| async move {
        let measured = engine.in_node(node, arguments, None).await;
        let measured = measured.map_err(failed(format!("{}, on node {node}", part.act())))?;
        Ok::<_, ClusterError>(format!("{path} on {node}: {}", measured.trim()))
    });
    Ok(try_join_all(harmed).await?.join("; "))
}

/// Undoes what is left of it, on every node that is meant.
pub(super) async fn mend(
    engine: &Engine,
    workers: &[Worker],
    part: &OnDisks,
) -> Result<(), ClusterError> {
    let path = &*part.path.display().to_string();
    let script = match part.harm {
        DiskHarm::Socket(_) => socket::MEND,
        DiskHarm::Full => full::EMPTY,
    };
    let arguments = &["sh", "-c", script, "mend", path, "0"];
    let mended = nodes(workers, part)?.into_iter().map(|node| async move {
        let mended = engine.in_node(node, arguments, None).await;
        mended
            .map(drop)
            .map_err(failed(format!("{}, on node {node}", part.undo())))
    });
    join_all(mended).await.into_iter().collect()
}

fn nodes<'a>(workers: &'a [Worker], part: &OnDisks) -> Result<Vec<&'a str>, ClusterError> {
    let all = workers.iter();
    part.among(all.map(|worker| (worker.data_center.as_str(), worker.name.as_str())))
}
