//! Images that a container engine of this machine holds: found by their names, and saved as archives.
//!
//! Invariant: nothing of a saved image outlives us. Its file has no name, so the kernel frees it with us, however we end.

use super::engine::{CHOICE, ENGINES, Engine};
use crate::{ClusterError, failed};
use harness_model::causes::chain;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

/// An image that an engine holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The engine's program.
    pub engine: String,
    /// The name by which it is saved.
    pub reference: String,
}

/// Looks for an image in the engines of this machine, that of `KIND_EXPERIMENTAL_PROVIDER` first.
///
/// # Errors
///
/// When none has it: what was tried, a line for each engine.
pub async fn held(reference: &str) -> Result<Held, Vec<String>> {
    let chosen = std::env::var(CHOICE).ok();
    let first = ENGINES
        .into_iter()
        .filter(|program| chosen.as_deref() == Some(program));
    let others = ENGINES
        .into_iter()
        .filter(|program| chosen.as_deref() != Some(program));
    let mut tried = Vec::new();
    for program in first.chain(others) {
        if which::which(program).is_err() {
            tried.push(format!("{program} is not installed"));
            continue;
        }
        match Engine::of(program.to_owned()).tags_of(reference).await {
            Ok(tags) => {
                return Ok(Held {
                    engine: program.to_owned(),
                    reference: name_to_save_by(reference, tags),
                });
            }
            Err(error) => tried.push(format!("{program} did not give it: {}", chain(&error))),
        }
    }
    Err(tried)
}

/// An archive that is saved by a digest has no name for its image, which nodes of kind want; so a tag is taken where the
/// image has one.
fn name_to_save_by(reference: &str, tags: Vec<String>) -> String {
    let by_digest = reference.contains('@');
    let tag = tags.into_iter().find(|_| by_digest);
    tag.unwrap_or_else(|| reference.to_owned())
}

/// The archive of an image, as long as this lives.
#[derive(Debug)]
pub struct Saved {
    file: File,
}

impl Saved {
    /// What is in this file, which may have no name any more.
    #[must_use]
    pub fn of(file: File) -> Self {
        Self { file }
    }

    /// Where this process and those that it starts find it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let (process, file) = (std::process::id(), self.file.as_raw_fd());
        PathBuf::from(format!("/proc/{process}/fd/{file}"))
    }
}

/// Saves an image as an archive on the file system of `folder`, which is made where it is not there.
///
/// # Errors
///
/// When no file can be made, or the engine does not give the image out.
pub async fn save(held: &Held, folder: &Path) -> Result<Saved, ClusterError> {
    let act = format!("make a file in {}", folder.display());
    std::fs::create_dir_all(folder).map_err(failed(act.clone()))?;
    let file = tempfile::tempfile_in(folder).map_err(failed(act.clone()))?;
    let to = file.try_clone().map_err(failed(act))?;
    let engine = Engine::of(held.engine.clone());
    engine.save(&held.reference, to).await?;
    Ok(Saved { file })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_named_by_its_digest_is_saved_by_a_tag_where_it_has_one() {
        let tags = || vec!["team/app:1".to_owned()];
        assert_eq!(name_to_save_by("team/app@sha256:00", tags()), "team/app:1");
        let nameless = name_to_save_by("team/app@sha256:00", Vec::new());
        assert_eq!(nameless, "team/app@sha256:00");
        // The others may have become names of it by chance.
        assert_eq!(name_to_save_by("team/app:2", tags()), "team/app:2");
    }

    /// A program that behaves as an engine does towards us.
    fn engine(folder: &Path, script: &str) -> String {
        let program = folder.join("engine");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        program.display().to_string()
    }

    #[tokio::test]
    async fn a_saved_image_can_be_read_by_its_path_and_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let held = Held {
            engine: engine(folder.path(), r#"printf '%s' "$*""#),
            reference: "team/app:1".to_owned(),
        };
        // With ready programs nobody has made it.
        let cache = folder.path().join("cache/meshproof");
        let saved = save(&held, &cache).await.unwrap();
        let text = std::fs::read_to_string(saved.path()).unwrap();
        assert_eq!(text, "save team/app:1");
        assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn an_engine_that_does_not_give_an_image_out_is_told_with_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let held = Held {
            engine: engine(folder.path(), "echo no such image >&2; exit 1"),
            reference: "team/app:1".to_owned(),
        };
        let error = save(&held, folder.path()).await.unwrap_err();
        assert!(chain(&error).contains("no such image"), "{error:?}");
    }
}
