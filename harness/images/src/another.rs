//! Another build of an image: the same programs, another image.
//!
//! A rollout that puts it in place replaces an image and not just pods, and somebody else's build of ours is tried with it.

use crate::archive::{Archive, ReadArchiveError};
use crate::pack;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read as _, Take};
use std::path::{Path, PathBuf};

/// Another build could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AnotherError {
    /// The image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadArchiveError),
    /// Its configuration is not what the OCI image specification says.
    #[error("read the configuration of the image in `{}`", path.display())]
    Configuration {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The archive cannot be written.
    #[error("write `{}`", path.display())]
    Write {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Writes the image that is in the archive `of` to `archive` under another name and with one more environment variable
/// (`NAME=VALUE`), so that its digest is another, which is returned. Its layers are the same.
///
/// # Errors
///
/// When the image cannot be read, or the archive cannot be written.
pub fn build(
    of: &Path,
    reference: &str,
    variable: &str,
    archive: &Path,
) -> Result<String, AnotherError> {
    let malformed = |source| AnotherError::Configuration {
        path: of.to_owned(),
        source,
    };
    let original = Archive::open(of)?;
    let content = original.content()?;
    let read_error = |source| ReadArchiveError::Read {
        path: of.to_owned(),
        source,
    };
    let mut config = Vec::new();
    // The configuration is the first, as `content` says.
    let (first, layers) = content.blobs.split_at(1);
    for blob in first {
        let mut bytes = original.open_blob(blob).map_err(read_error)?;
        bytes.read_to_end(&mut config).map_err(read_error)?;
    }
    let manifest: Value = serde_json::from_slice(&content.manifest).map_err(malformed)?;
    let descriptors = manifest["layers"].as_array().cloned().unwrap_or_default();
    let config = with_variable(&config, variable).map_err(malformed)?;
    let blobs: Vec<(String, u64, Take<File>)> = layers
        .iter()
        .map(|blob| {
            let hex = blob.digest.strip_prefix("sha256:").unwrap_or(&blob.digest);
            Ok((hex.to_owned(), blob.size, original.open_blob(blob)?))
        })
        .collect::<io::Result<_>>()
        .map_err(read_error)?;
    pack::write(reference, config, &descriptors, blobs, archive).map_err(|source| {
        AnotherError::Write {
            path: archive.to_owned(),
            source,
        }
    })
}

/// The configuration of an image with one more environment variable (OCI image specification 1.1, `config.Env`).
fn with_variable(config: &[u8], variable: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut config: Value = serde_json::from_slice(config)?;
    // `null` is what engines write for none.
    match &mut config["config"]["Env"] {
        Value::Array(env) => env.push(json!(variable)),
        env => *env = json!([variable]),
    }
    serde_json::to_vec(&config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::{FileSpec, ImageSpec};
    use crate::store::Store;

    #[test]
    fn another_build_has_the_same_files_and_another_digest() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path().join("program");
        std::fs::write(&source, "what it does").expect("written");
        let file = |target: &str| FileSpec {
            target: target.into(),
            source: source.clone(),
            mode: 0o755,
        };
        let spec = ImageSpec {
            reference: "meshproof/a:dev".to_owned(),
            files: vec![file("/first"), file("/second")],
            folders: Vec::new(),
            entrypoint: vec!["/first".to_owned()],
            cmd: vec!["serve".to_owned()],
            env: vec!["MODE=sound".to_owned()],
        };
        let of = folder.path().join("a.tar");
        let sound = pack::pack(&spec, &of).expect("packed");
        let archive = folder.path().join("b.tar");
        let digest = build(&of, "somebody/b:1", "BUILD=before", &archive).expect("built");
        assert_ne!(digest, sound);
        let again = folder.path().join("c.tar");
        let same = build(&of, "somebody/b:1", "BUILD=before", &again).expect("built");
        assert_eq!(same, digest);

        let store = Store::open(&folder.path().join("store")).expect("a store");
        assert_eq!(store.load(&archive).expect("loaded"), digest);
        let image = store.resolve("somebody/b:1").expect("it is there");
        for program in ["first", "second"] {
            let text = std::fs::read_to_string(image.rootfs.join(program)).expect("a file");
            assert_eq!(text, "what it does");
        }
        assert_eq!(image.entrypoint, spec.entrypoint);
        assert_eq!(image.cmd, spec.cmd);
        let env: Vec<String> = image
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(env, ["MODE=sound", "BUILD=before"]);
    }

    #[test]
    fn an_image_without_variables_gets_its_first() {
        for config in ["{}", r#"{"config":{"Env":null}}"#] {
            let made = with_variable(config.as_bytes(), "A=1").expect("it is JSON");
            let made: Value = serde_json::from_slice(&made).expect("it is JSON");
            assert_eq!(made["config"]["Env"], json!(["A=1"]));
        }
    }
}
