//! The Unix socket that sidecars dial.
//!
//! Invariant: the path is never without the right mode, since the socket is made under another name and moved there; and
//! nothing but a socket is ever replaced or removed.

use crate::behaviour::Behaviour;
use crate::metrics::Metrics;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often it is looked whether the path still leads here, with the mode that it was given. Whoever removes the socket or
/// changes its mode tells nobody, and a sidecar that dials in vain does not reach us. Looking is one system call a second;
/// inotify would need one of the machine's few instances on every node, and would not see a folder that is mounted over.
const LOOK: Duration = Duration::from_secs(1);

/// The socket cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Its folder cannot be made.
    #[error("make the folder {0}")]
    Folder(PathBuf, #[source] io::Error),
    /// Something else is in its place.
    #[error("replace {0}, which is no socket")]
    NoSocket(PathBuf),
    /// The path leads to no name.
    #[error("find a name in {0}")]
    NoName(PathBuf),
    /// It cannot be made, given its mode, or moved into place.
    #[error("bind {0}")]
    Bind(PathBuf, #[source] io::Error),
}

/// A bound socket, and which file it is.
struct Bound {
    listener: UnixListener,
    file: (u64, u64),
}

/// Serves at one path.
pub struct Socket {
    /// Where.
    pub path: PathBuf,
    /// Permission bits, as set.
    pub mode: u32,
    /// Whether a socket that is there at the start is replaced, which permission bits it is given, and whether one that is
    /// broken is made again.
    pub behaviour: Arc<dyn Behaviour>,
    /// Told whether the socket is bound.
    pub bound: watch::Sender<bool>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Socket {
    /// Hands out connections until `shutdown`, binding again whenever the path leads somewhere else. In the end the
    /// socket is removed, unless the path leads somewhere else by then.
    ///
    /// # Errors
    ///
    /// When the socket cannot be bound at the start. Later failures are logged, and tried again.
    pub async fn serve(
        self,
        connections: mpsc::Sender<io::Result<UnixStream>>,
        shutdown: CancellationToken,
    ) -> Result<(), BindError> {
        let mut bound = self.bind()?;
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = looks.tick() => if let Some(lost) = self.lost(&bound) {
                    warn!(path = %self.path.display(), lost, "nobody reaches the socket");
                    self.bound.send_replace(false);
                    match self.bind() {
                        Ok(anew) => bound = anew,
                        Err(error) => warn!(
                            error = &error as &dyn std::error::Error,
                            "the socket cannot be bound again yet"
                        ),
                    }
                },
                accepted = bound.listener.accept() => match accepted {
                    Ok((connection, _)) => if connections.send(Ok(connection)).await.is_err() {
                        break;
                    },
                    Err(error) => {
                        warn!(%error, "a connection could not be accepted");
                        // Such as too many open files: it does not get better by trying at once.
                        looks.tick().await;
                    }
                },
            }
        }
        self.bound.send_replace(false);
        if bound.is_at(&self.path)
            && let Err(error) = fs::remove_file(&self.path)
        {
            warn!(%error, path = %self.path.display(), "the socket could not be removed");
        }
        Ok(())
    }

    /// What the socket has lost so that it must be made again: connections that were accepted live on without it.
    fn lost(&self, bound: &Bound) -> Option<&'static str> {
        if !bound.is_at(&self.path) {
            return self.behaviour.restores_place().then_some("its place");
        }
        let mode = fs::symlink_metadata(&self.path).map(|metadata| metadata.mode() & 0o7777);
        let has_changed = mode.is_ok_and(|mode| mode != self.behaviour.socket_mode(self.mode));
        (has_changed && self.behaviour.restores_mode()).then_some("its mode")
    }

    fn bind(&self) -> Result<Bound, BindError> {
        let path = &self.path;
        let failed = |error| BindError::Bind(path.clone(), error);
        let name = path
            .file_name()
            .ok_or_else(|| BindError::NoName(path.clone()))?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(|error| BindError::Folder(folder.to_owned(), error))?;
        let mut first_name = name.to_owned();
        first_name.push(".new");
        let first_path = folder.join(first_name);
        // What an agent left that ended in between.
        remove_socket(&first_path)?;
        let listener = UnixListener::bind(&first_path).map_err(failed)?;
        let mode = Permissions::from_mode(self.behaviour.socket_mode(self.mode));
        fs::set_permissions(&first_path, mode).map_err(failed)?;
        let file = identify(&first_path).map_err(failed)?;
        // Moving replaces what is there in one step, so that nobody dials in vain in between.
        if is_something_else(path).map_err(failed)? {
            let _ = fs::remove_file(&first_path);
            return Err(BindError::NoSocket(path.clone()));
        }
        if self.behaviour.replaces_socket() || !path.exists() {
            fs::rename(&first_path, path).map_err(failed)?;
        }
        self.metrics.bound.fetch_add(1, Ordering::Relaxed);
        self.bound.send_replace(true);
        info!(path = %path.display(), "serving SDS");
        Ok(Bound { listener, file })
    }
}

impl Bound {
    /// Whether the path leads to this socket. As long as it is open its number is not given to another file.
    fn is_at(&self, path: &Path) -> bool {
        identify(path).is_ok_and(|file| file == self.file)
    }
}

fn identify(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn remove_socket(path: &Path) -> Result<(), BindError> {
    let failed = |error| BindError::Bind(path.to_owned(), error);
    if is_something_else(path).map_err(failed)? {
        return Err(BindError::NoSocket(path.to_owned()));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Whether there is something that is no socket.
fn is_something_else(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(!metadata.file_type().is_socket()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
