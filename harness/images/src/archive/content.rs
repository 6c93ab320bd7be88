//! An image as a registry keeps it: a manifest, and the blobs that it names.

use super::manifest::Manifest;
use super::{Archive, Layer, ReadArchiveError};
use crate::digest::{self, Hasher};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What a registry keeps of an image. The same archive gives the same manifest, so its digest names the contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// What the manifest is.
    pub media_type: String,
    /// `sha256:...` of the manifest.
    pub digest: String,
    /// What the manifest names: the configuration first, then the layers. Each blob is there once.
    pub blobs: Vec<Blob>,
}

/// Bytes that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// `sha256:...` of the bytes.
    pub digest: String,
    /// How many bytes there are.
    pub size: u64,
    offset: u64,
}

impl Archive {
    /// The image as a registry keeps it. What an archive of `docker save` lacks, the manifest, is made.
    ///
    /// # Errors
    ///
    /// When a blob is not in the archive, or it cannot be read.
    pub fn content(&self) -> Result<Content, ReadArchiveError> {
        let mut blobs = vec![self.blob_at(&self.config_entry, &self.digest)?];
        let mut layers = Vec::new();
        for layer in &self.layers {
            let blob = self.layer_blob(layer)?;
            layers.push(self.layer_json(&blob)?);
            if !blobs.iter().any(|known| known.digest == blob.digest) {
                blobs.push(blob);
            }
        }
        let (manifest, media_type) = match &self.manifest {
            Some(entry) => {
                let bytes = self.bytes(entry)?;
                let stated = self.parse::<Manifest>(entry, &bytes)?.media_type;
                (bytes, stated)
            }
            None => {
                let made = json!({
                    "schemaVersion": 2,
                    "mediaType": OCI_MANIFEST,
                    "config": {
                        "mediaType": "application/vnd.oci.image.config.v1+json",
                        "digest": blobs[0].digest,
                        "size": blobs[0].size,
                    },
                    "layers": layers,
                });
                (made.to_string().into_bytes(), OCI_MANIFEST.to_owned())
            }
        };
        Ok(Content {
            digest: format!("sha256:{}", digest::of_bytes(&manifest)),
            // In OCI manifests the field is optional, in those of Docker it is not.
            media_type: if media_type.is_empty() {
                OCI_MANIFEST.to_owned()
            } else {
                media_type
            },
            manifest,
            blobs,
        })
    }

    /// A blob's bytes, by a file handle of their own.
    ///
    /// # Errors
    ///
    /// When the archive cannot be opened any more.
    pub fn open_blob(&self, blob: &Blob) -> io::Result<io::Take<File>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(blob.offset))?;
        Ok(file.take(blob.size))
    }

    fn blob_at(&self, entry: &str, digest: &str) -> Result<Blob, ReadArchiveError> {
        let span = self.span(entry)?;
        Ok(Blob {
            digest: digest.to_owned(),
            size: span.size,
            offset: span.offset,
        })
    }

    fn layer_blob(&self, layer: &Layer) -> Result<Blob, ReadArchiveError> {
        let mut blob = self.blob_at(&layer.entry, "")?;
        let hex = match &layer.blob_digest {
            Some(hex) => hex.clone(),
            None => self.hash(&blob).map_err(|source| self.read_error(source))?,
        };
        blob.digest = format!("sha256:{hex}");
        Ok(blob)
    }

    fn hash(&self, blob: &Blob) -> io::Result<String> {
        let mut hasher = Hasher::new(io::sink());
        io::copy(&mut self.open_blob(blob)?, &mut hasher)?;
        Ok(hasher.finish().1)
    }

    fn layer_json(&self, blob: &Blob) -> Result<Value, ReadArchiveError> {
        let mut start = Vec::new();
        self.open_blob(blob)
            .and_then(|bytes| bytes.take(2).read_to_end(&mut start))
            .map_err(|source| self.read_error(source))?;
        let compression = if start == [0x1f, 0x8b] { "+gzip" } else { "" };
        Ok(json!({
            "mediaType": format!("application/vnd.oci.image.layer.v1.tar{compression}"),
            "digest": blob.digest,
            "size": blob.size,
        }))
    }

    fn read_error(&self, source: io::Error) -> ReadArchiveError {
        ReadArchiveError::Read {
            path: self.path.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::{FileSpec, ImageSpec, pack};
    use std::path::Path;

    fn packed(folder: &Path) -> Archive {
        let source = folder.join("file");
        std::fs::write(&source, "what is in it").unwrap();
        let spec = ImageSpec {
            reference: "meshproof/a:dev".to_owned(),
            files: vec![FileSpec {
                target: "/file".into(),
                source,
                mode: 0o644,
            }],
            folders: Vec::new(),
            entrypoint: vec!["/file".to_owned()],
            cmd: Vec::new(),
            env: Vec::new(),
        };
        let archive = folder.join("a.tar");
        pack(&spec, &archive).unwrap();
        Archive::open(&archive).unwrap()
    }

    fn bytes_of(archive: &Archive, blob: &Blob) -> Vec<u8> {
        let mut bytes = Vec::new();
        archive
            .open_blob(blob)
            .and_then(|mut blob| blob.read_to_end(&mut bytes))
            .unwrap();
        bytes
    }

    #[test]
    fn every_blob_of_the_manifest_has_the_bytes_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let archive = packed(folder.path());
        let content = archive.content().unwrap();
        let manifest: Value = serde_json::from_slice(&content.manifest).unwrap();
        let named = [
            &manifest["config"]["digest"],
            &manifest["layers"][0]["digest"],
        ];
        let blobs: Vec<&str> = content.blobs.iter().map(|b| b.digest.as_str()).collect();
        assert_eq!(named, blobs.as_slice());
        for blob in &content.blobs {
            let bytes = bytes_of(&archive, blob);
            assert_eq!(bytes.len() as u64, blob.size);
            assert_eq!(format!("sha256:{}", digest::of_bytes(&bytes)), blob.digest);
        }
        assert_eq!(content.media_type, OCI_MANIFEST);
    }

    #[test]
    fn an_archive_without_a_manifest_gets_one_that_names_the_same_blobs() {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = packed(folder.path());
        let stated = archive.content().unwrap();
        archive.manifest = None;
        for layer in &mut archive.layers {
            layer.blob_digest = None;
        }
        let made = archive.content().unwrap();
        assert_eq!(made.blobs, stated.blobs);
        let manifests = [made.manifest, stated.manifest]
            .map(|bytes| serde_json::from_slice::<Value>(&bytes).unwrap());
        assert_eq!(manifests[0], manifests[1]);
    }
}
