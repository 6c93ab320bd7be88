//! The lock that makes key services on one token make keys one after the other.

use super::TokenError;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;
use tokio::time::{interval, timeout};

/// Between two tries: the system tells nobody when a file lock is free, but a thread that would hang with it.
const PAUSE: Duration = Duration::from_millis(5);

/// Takes the lock, which is free again when all copies of the file are closed, those of other processes too.
pub(super) async fn take(path: &Path, limit: Duration) -> Result<File, TokenError> {
    let unusable = |source| TokenError::Lock {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(folder);
        made.map_err(unusable)?;
    }
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).mode(0o600);
    let file = options.open(path).map_err(unusable)?;
    let locked = async {
        let mut tries = interval(PAUSE);
        loop {
            tries.tick().await;
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    };
    match timeout(limit, locked).await {
        Ok(locked) => locked.map_err(unusable)?,
        Err(_) => {
            let path = path.to_owned();
            return Err(TokenError::Locked { path, limit });
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_has_it_until_the_last_copy_is_closed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("inner/lock");
        let limit = Duration::from_secs(1);
        let held = take(&path, limit).await.expect("free");
        let copy = held.try_clone().expect("a copy");
        drop(held);
        let refused = take(&path, limit).await.expect_err("held");
        assert!(matches!(refused, TokenError::Locked { .. }), "{refused}");
        drop(copy);
        take(&path, limit).await.expect("free again");
        let other = take(&folder.path().join("inner"), limit).await;
        assert!(matches!(other, Err(TokenError::Lock { .. })), "a folder");
    }
}
