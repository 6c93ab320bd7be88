//! One process at a time starts or ends the engine.

use anyhow::Context as _;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;

/// Beside the run folder, which comes and goes.
const PATH: &str = "/run/meshproof-engine.lock";

/// The right to start or end the engine; others wait for its end.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Waits where another process has it.
    pub(super) fn take() -> anyhow::Result<Self> {
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(PATH)
                .with_context(|| format!("open {PATH}"))?;
            file.lock().with_context(|| format!("lock {PATH}"))?;
            // Whoever had it may have removed the file; a lock on a file that is nowhere excludes nobody.
            let own = file.metadata().context("look at the lock")?;
            if fs::metadata(PATH).is_ok_and(|there| there.ino() == own.ino()) {
                return Ok(Self { file });
            }
        }
    }

    /// Leaves no file behind.
    pub(super) fn remove(self) {
        let _ = fs::remove_file(PATH);
        drop(self.file);
    }
}
