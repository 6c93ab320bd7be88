//! What an archive was made from, kept beside it, so that it is made again only when something changed.

use crate::pack::ImageSpec;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Changes when the packing itself changes.
const FORMAT: u32 = 1;

#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Inputs {
    format: u32,
    spec: serde_json::Value,
    sources: Vec<Stamp>,
}

/// Tells whether a file is the one that was seen before, without reading it.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Stamp {
    path: PathBuf,
    size: u64,
    inode: u64,
    modified_seconds: i64,
    modified_nanoseconds: i64,
}

impl Inputs {
    pub(crate) fn of(spec: &ImageSpec) -> io::Result<Self> {
        let sources = spec.files.iter().map(|file| Stamp::of(&file.source));
        Ok(Self {
            format: FORMAT,
            spec: serde_json::to_value(spec)?,
            sources: sources.collect::<io::Result<_>>()?,
        })
    }

    /// Whether the archive was made from exactly these.
    pub(crate) fn made(&self, archive: &Path) -> bool {
        let Ok(text) = fs::read(record_of(archive)) else {
            return false;
        };
        let Ok(record) = serde_json::from_slice::<Record>(&text) else {
            return false;
        };
        record.inputs == *self && Stamp::of(archive).is_ok_and(|stamp| stamp == record.archive)
    }

    /// Notes that the archive was made from these.
    pub(crate) fn record(self, archive: &Path) -> io::Result<()> {
        let record = Record {
            inputs: self,
            archive: Stamp::of(archive)?,
        };
        fs::write(record_of(archive), serde_json::to_vec_pretty(&record)?)
    }
}

#[derive(Deserialize, Serialize)]
struct Record {
    inputs: Inputs,
    archive: Stamp,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            size: metadata.size(),
            inode: metadata.ino(),
            modified_seconds: metadata.mtime(),
            modified_nanoseconds: metadata.mtime_nsec(),
        })
    }
}

fn record_of(archive: &Path) -> PathBuf {
    archive.with_extension("inputs.json")
}

#[cfg(test)]
mod tests {
    use super::Inputs;
    use crate::pack::{FileSpec, ImageSpec};

    #[test]
    fn a_changed_source_or_archive_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        let archive = folder.path().join("image.tar");
        std::fs::write(&source, "1").unwrap();
        std::fs::write(&archive, "archive").unwrap();
        let spec = ImageSpec {
            reference: "meshproof/example:dev".to_owned(),
            files: vec![FileSpec {
                target: "/example".into(),
                source: source.clone(),
                mode: 0o755,
            }],
            folders: Vec::new(),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            env: Vec::new(),
        };
        let inputs = || Inputs::of(&spec).unwrap();
        assert!(!inputs().made(&archive));
        inputs().record(&archive).unwrap();
        assert!(inputs().made(&archive));
        std::fs::write(&archive, "half").unwrap();
        assert!(
            !inputs().made(&archive),
            "a truncated archive must be made again"
        );
        inputs().record(&archive).unwrap();
        std::fs::write(&source, "22").unwrap();
        assert!(!inputs().made(&archive), "a new program must be packed");
    }
}
