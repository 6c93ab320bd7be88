//! An image of ours as somebody else would have built it, to try what is done with the builds of others.

use crate::pack::{FileSpec, ImageSpec, PackError, pack};
use crate::store::{Store, StoreError};
use std::path::Path;

/// A candidate could not be built.
#[derive(Debug, thiserror::Error)]
pub enum CandidateError {
    /// There is no folder to unpack our image in.
    #[error("make a folder to unpack in")]
    Folder(#[source] std::io::Error),
    /// Our image cannot be unpacked.
    #[error("unpack our image")]
    Unpack(#[from] StoreError),
    /// Our image has no program.
    #[error("our image has no entrypoint")]
    NoEntrypoint,
    /// The candidate cannot be packed.
    #[error("pack the candidate")]
    Pack(#[from] PackError),
    /// The digest would not tell the two apart.
    #[error("the candidate is our own image")]
    OurOwn,
}

/// Packs the program of our image (the archive `ours`) once more, under another name and with an environment variable more,
/// so that its digest is another, which is returned.
///
/// # Errors
///
/// When our image cannot be unpacked or has no program, or the archive cannot be written.
pub fn build(ours: &Path, reference: &str, archive: &Path) -> Result<String, CandidateError> {
    let folder = tempfile::tempdir().map_err(CandidateError::Folder)?;
    let store = Store::open(folder.path())?;
    let digest = store.load_as(ours, reference)?;
    let image = store.resolve(reference)?;
    let program = image.entrypoint.first();
    let program = program.ok_or(CandidateError::NoEntrypoint)?;
    let env = image.env.iter();
    let env = env.map(|(name, value)| format!("{name}={value}"));
    let spec = ImageSpec {
        reference: reference.to_owned(),
        files: vec![FileSpec {
            target: program.into(),
            source: image.rootfs.join(program.trim_start_matches('/')),
            mode: 0o755,
        }],
        folders: vec![("/etc".into(), 0o755), ("/tmp".into(), 0o1777)],
        entrypoint: image.entrypoint.clone(),
        cmd: image.cmd.clone(),
        env: env.chain(["CANDIDATE=yes".to_owned()]).collect(),
    };
    let candidate = pack(&spec, archive)?;
    if candidate == digest {
        return Err(CandidateError::OurOwn);
    }
    Ok(candidate)
}
