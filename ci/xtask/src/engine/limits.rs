//! The machine's limit of inotify instances, which is too low for several kind clusters: raised while an engine of ours
//! runs, and put back afterwards.

use anyhow::Context as _;
use std::fs;
use std::path::{Path, PathBuf};

const LIMIT: &str = "/proc/sys/fs/inotify/max_user_instances";

/// Enough for eight nodes and their sidecars, several times over; what kind recommends.
const ENOUGH: u64 = 512;

/// Where the limit that was there before is noted.
fn note(folder: &Path) -> PathBuf {
    folder.join("inotify-instances")
}

/// Raises the limit, once it is noted in the engine's folder what it was. A machine that does not let us goes on with
/// what it has.
pub(super) fn raise(folder: &Path) -> anyhow::Result<()> {
    let before = fs::read_to_string(LIMIT).unwrap_or_default();
    if before
        .trim()
        .parse()
        .is_ok_and(|limit: u64| limit >= ENOUGH)
    {
        return Ok(());
    }
    let note = note(folder);
    fs::write(&note, &before).with_context(|| format!("write {}", note.display()))?;
    if let Err(error) = fs::write(LIMIT, ENOUGH.to_string()) {
        eprintln!("engine: {LIMIT} stays {}: {error}", before.trim());
    }
    Ok(())
}

/// Puts back what was noted.
pub(super) fn restore(folder: &Path) -> anyhow::Result<()> {
    match fs::read_to_string(note(folder)) {
        Ok(before) => fs::write(LIMIT, before).with_context(|| format!("write {LIMIT}")),
        // It was not raised.
        Err(_) => Ok(()),
    }
}
