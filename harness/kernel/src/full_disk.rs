//! A file system in memory (tmpfs) that is full for a while: its size is made what is used of it, so that no memory is taken
//! for that.
//!
//! Invariant: only a file system that is mounted at or below the folder that the caller names is ever touched.

use crate::KernelError;
use crate::mount::remount_tmpfs;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::statvfs;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How often the size is tried to be set: somebody may write meanwhile.
const ATTEMPTS: usize = 8;

/// Most blocks that are written to fill what is left between what is used and the size.
const BLOCKS_LEFT: usize = 64;

/// A file system that is full.
#[derive(Debug)]
pub struct Full {
    mount: PathBuf,
    /// In bytes, as it was.
    size: u64,
    filler: PathBuf,
}

/// Makes the file system full that a folder is on, and says what was measured: before, a block could be written to the
/// folder, and now there is no space for one (ENOSPC). What needs no block, such as a folder or a socket, can be made still.
///
/// # Errors
///
/// When the file system is no tmpfs with a size, is mounted above `top`, has no room, or has room still (then it is as before).
pub fn fill(folder: &Path, top: &Path) -> Result<(Full, String), KernelError> {
    let act = || format!("fill the file system of {}", folder.display());
    let failed = |error: io::Error| KernelError::new(act(), error);
    let refused = |reason: &str| failed(io::Error::other(reason.to_owned()));
    let mount = mount_of(folder).map_err(failed)?;
    if !mount.starts_with(fs::canonicalize(top).map_err(failed)?) {
        return Err(refused("it is not ours"));
    }
    let kind = statfs(&mount).map_err(|error| failed(error.into()))?;
    if kind.filesystem_type() != TMPFS_MAGIC {
        return Err(refused("it is not in memory"));
    }
    let measure = || statvfs(&mount).map_err(|error| failed(error.into()));
    let before = measure()?;
    let block = before.fragment_size();
    if before.blocks() == 0 {
        return Err(refused("it has no size that could be changed"));
    }
    write_block(folder, block)
        .map_err(|error| KernelError::new(format!("{}, which has no room", act()), error))?;
    let full = Full {
        filler: mount.join(".meshproof-full"),
        size: before.blocks() * block,
        mount: mount.clone(),
    };
    let mut sized = Ok(());
    for _ in 0..ATTEMPTS {
        let now = measure()?;
        // One block more than is used: a size of nothing would be no limit.
        let size = (now.blocks() - now.blocks_free() + 1) * block;
        sized = remount_tmpfs(&mount, &format!("size={size}"));
        if sized.is_ok() {
            break;
        }
    }
    sized?;
    match full.use_up(block).and_then(|()| measured(folder, block)) {
        Ok(measured) => Ok((full, measured)),
        Err(error) => {
            full.undo()?;
            Err(failed(error))
        }
    }
}

impl Full {
    /// Gives it the size back that it had.
    ///
    /// # Errors
    ///
    /// When it is not mounted any more.
    pub fn undo(&self) -> Result<(), KernelError> {
        let removed = fs::remove_file(&self.filler);
        remount_tmpfs(&self.mount, &format!("size={}", self.size))?;
        removed
            .map_err(|error| KernelError::new(format!("remove {}", self.filler.display()), error))
    }

    /// Writes the blocks that are left.
    fn use_up(&self, block: u64) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.filler)?;
        for _ in 0..BLOCKS_LEFT {
            match file.write_all(&zeros(block)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("it takes more than its size"))
    }
}

/// What a write says that must not succeed any more.
fn measured(folder: &Path, block: u64) -> io::Result<String> {
    match write_block(folder, block) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            Ok(format!("{block} bytes could be written, and then: {error}"))
        }
        Err(error) => Err(error),
        Ok(()) => Err(io::Error::other("it can be written to though it is full")),
    }
}

/// Writes a block to a file of its own, which is removed again.
fn write_block(folder: &Path, block: u64) -> io::Result<()> {
    let path = folder.join(".meshproof-room");
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)?;
    let written = file.write_all(&zeros(block));
    fs::remove_file(&path)?;
    written
}

fn zeros(block: u64) -> Vec<u8> {
    vec![0; usize::try_from(block).unwrap_or(4096)]
}

/// Where the file system of a folder is mounted.
fn mount_of(folder: &Path) -> io::Result<PathBuf> {
    let mut mount = fs::canonicalize(folder)?;
    let device = fs::metadata(&mount)?.dev();
    while let Some(parent) = mount.parent()
        && fs::metadata(parent)?.dev() == device
    {
        mount = parent.to_owned();
    }
    Ok(mount)
}
