//! Reading an image archive: an OCI layout, or what `docker save` writes.

mod content;
mod manifest;

pub use content::{Blob, Content};

use crate::{digest, pack, reference};
use manifest::{Descriptor, DockerImage, ImageConfig, Index, Manifest};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// An opened image archive. Opening reads the small parts only.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    file: File,
    entries: HashMap<String, Span>,
    /// `sha256:...` of the image's configuration: its identity.
    pub digest: String,
    /// Names the archive gives the image, in the store's form.
    pub references: Vec<String>,
    /// How it is started.
    pub config: Config,
    layers: Vec<Layer>,
    /// The entry of the manifest, where the archive has one.
    manifest: Option<String>,
    /// The entry of the configuration.
    config_entry: String,
}

/// How an image is started, as its author says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The command that always runs.
    pub entrypoint: Vec<String>,
    /// The default arguments.
    pub cmd: Vec<String>,
    /// Environment variables in their order.
    pub env: Vec<(String, String)>,
    /// The folder it starts in.
    pub working_dir: String,
    /// `user`, `uid` or `uid:gid`; empty means root.
    pub user: String,
}

/// A file is not an image this crate can read.
#[derive(Debug, thiserror::Error)]
pub enum ReadArchiveError {
    /// The file cannot be opened or read.
    #[error("read image archive `{}`", path.display())]
    Read {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is readable, but is no image or one of a kind that is not supported.
    #[error("`{}` is not an image that can be used: {reason}", path.display())]
    Invalid {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Clone, Debug)]
struct Span {
    offset: u64,
    size: u64,
}

#[derive(Clone, Debug)]
struct Layer {
    entry: String,
    /// The digest that its bytes in the archive must have, where the archive says one.
    blob_digest: Option<String>,
}

impl Archive {
    /// Opens an archive and finds the image in it: the first one for this machine's architecture.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is compressed as a whole, or holds no image.
    pub fn open(path: &Path) -> Result<Self, ReadArchiveError> {
        let read_error = |source| ReadArchiveError::Read {
            path: path.to_owned(),
            source,
        };
        let invalid = |reason: String| ReadArchiveError::Invalid {
            path: path.to_owned(),
            reason,
        };
        let mut file = File::open(path).map_err(read_error)?;
        let mut start = [0; 4];
        let length = file.read(&mut start).map_err(read_error)?;
        if start[..length].starts_with(&[0x1f, 0x8b]) || start[..length] == [0x28, 0xb5, 0x2f, 0xfd]
        {
            return Err(invalid(
                "the archive is compressed; unpack it to a plain tar first".to_owned(),
            ));
        }
        file.rewind().map_err(read_error)?;
        let entries = index(&file).map_err(read_error)?;
        let mut archive = Self {
            path: path.to_owned(),
            file,
            entries,
            digest: String::new(),
            references: Vec::new(),
            config: Config::default(),
            layers: Vec::new(),
            manifest: None,
            config_entry: String::new(),
        };
        if archive.entries.contains_key("index.json") {
            archive.read_layout()?;
        } else if archive.entries.contains_key("manifest.json") {
            archive.read_docker()?;
        } else {
            return Err(invalid(
                "it has neither `index.json` nor `manifest.json`".to_owned(),
            ));
        }
        Ok(archive)
    }

    /// How many layers the image has.
    #[must_use]
    pub fn layer_count(&self) -> usize {
        self.layers.len()
    }

    /// Whether the archive has a manifest, whose digest names the image wherever it is brought; what older engines save
    /// has none.
    #[must_use]
    pub fn has_manifest(&self) -> bool {
        self.manifest.is_some()
    }

    /// Hands a layer's tar stream, decompressed, to `read`, and checks the layer's digest while it is read.
    pub(crate) fn read_layer<T>(
        &mut self,
        number: usize,
        read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
    ) -> Result<T, ReadArchiveError> {
        let layer = self.layers[number].clone();
        let span = self.span(&layer.entry)?;
        let path = self.path.clone();
        let read_error = |source| ReadArchiveError::Read {
            path: path.clone(),
            source,
        };
        self.file
            .seek(SeekFrom::Start(span.offset))
            .map_err(read_error)?;
        let mut hashing = HashingReader {
            reader: BufReader::with_capacity(1 << 20, (&self.file).take(span.size)),
            hasher: digest::Hasher::new(io::sink()),
        };
        let mut start = [0; 4];
        hashing.read_exact(&mut start).map_err(read_error)?;
        let mut whole = (&start[..]).chain(&mut hashing);
        let result = if start.starts_with(&[0x1f, 0x8b]) {
            read(&mut flate2::read::MultiGzDecoder::new(&mut whole)).map_err(read_error)?
        } else if start == [0x28, 0xb5, 0x2f, 0xfd] {
            return Err(
                self.invalid("a layer is compressed with zstd; save the image uncompressed")
            );
        } else {
            read(&mut whole).map_err(read_error)?
        };
        io::copy(&mut whole, &mut io::sink()).map_err(read_error)?;
        let (_, actual, _) = hashing.hasher.finish();
        match layer.blob_digest {
            Some(expected) if expected != actual => Err(self.invalid(&format!(
                "layer {expected} has the contents of {actual}: the file is damaged"
            ))),
            _ => Ok(result),
        }
    }

    fn read_layout(&mut self) -> Result<(), ReadArchiveError> {
        let index: Index = self.json("index.json")?;
        let mut descriptor = self.choose(index.manifests)?;
        let mut names: Vec<String> = descriptor.names();
        for _ in 0..2 {
            if !descriptor.media_type.contains("index") && !descriptor.media_type.contains("list") {
                break;
            }
            let nested: Index = self.blob_json(&descriptor.digest)?;
            descriptor = self.choose(nested.manifests)?;
            names.extend(descriptor.names());
        }
        let manifest: Manifest = self.blob_json(&descriptor.digest)?;
        self.manifest = Some(self.blob(&descriptor.digest)?.0);
        self.config_entry = self.blob(&manifest.config.digest)?.0;
        self.digest = manifest.config.digest.clone();
        self.config = self
            .blob_json::<ImageConfig>(&manifest.config.digest)?
            .config
            .into();
        for layer in manifest.layers {
            let (entry, hex) = self.blob(&layer.digest)?;
            self.layers.push(Layer {
                entry,
                blob_digest: Some(hex),
            });
        }
        if names.is_empty() && self.entries.contains_key("manifest.json") {
            let images: Vec<DockerImage> = self.json("manifest.json")?;
            names = images
                .into_iter()
                .next()
                .and_then(|image| image.tags)
                .unwrap_or_default();
        }
        self.references = names
            .iter()
            .map(|name| reference::normalize(name))
            .collect();
        Ok(())
    }

    fn read_docker(&mut self) -> Result<(), ReadArchiveError> {
        let images: Vec<DockerImage> = self.json("manifest.json")?;
        let Some(image) = images.into_iter().next() else {
            return Err(self.invalid("its `manifest.json` lists no image"));
        };
        let config = self.bytes(&image.config)?;
        self.digest = format!("sha256:{}", digest::of_bytes(&config));
        self.config_entry = image.config.clone();
        self.config = self
            .parse::<ImageConfig>(&image.config, &config)?
            .config
            .into();
        self.references = image
            .tags
            .unwrap_or_default()
            .iter()
            .map(|name| reference::normalize(name))
            .collect();
        self.layers = image
            .layers
            .into_iter()
            .map(|entry| Layer {
                entry,
                blob_digest: None,
            })
            .collect();
        Ok(())
    }

    /// The image for this machine among several; attestations and other platforms are passed over.
    fn choose(&self, descriptors: Vec<Descriptor>) -> Result<Descriptor, ReadArchiveError> {
        let fits = |descriptor: &Descriptor| {
            descriptor.platform.as_ref().is_none_or(|platform| {
                platform.os == "linux" && platform.architecture == pack::architecture()
            })
        };
        descriptors.into_iter().find(fits).ok_or_else(|| {
            self.invalid(&format!(
                "it holds no image for linux/{}",
                pack::architecture()
            ))
        })
    }

    fn blob(&self, digest: &str) -> Result<(String, String), ReadArchiveError> {
        let hex = digest
            .strip_prefix("sha256:")
            .filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .ok_or_else(|| self.invalid(&format!("digest `{digest}` is not sha256")))?;
        Ok((format!("blobs/sha256/{hex}"), hex.to_owned()))
    }

    fn blob_json<T: for<'de> Deserialize<'de>>(&self, digest: &str) -> Result<T, ReadArchiveError> {
        let (entry, hex) = self.blob(digest)?;
        let bytes = self.bytes(&entry)?;
        if digest::of_bytes(&bytes) != hex {
            return Err(self.invalid(&format!(
                "`{entry}` does not have the contents its name says"
            )));
        }
        self.parse(&entry, &bytes)
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, entry: &str) -> Result<T, ReadArchiveError> {
        let bytes = self.bytes(entry)?;
        self.parse(entry, &bytes)
    }

    fn parse<T: for<'de> Deserialize<'de>>(
        &self,
        entry: &str,
        bytes: &[u8],
    ) -> Result<T, ReadArchiveError> {
        serde_json::from_slice(bytes).map_err(|error| self.invalid(&format!("`{entry}`: {error}")))
    }

    fn bytes(&self, entry: &str) -> Result<Vec<u8>, ReadArchiveError> {
        /// Manifests and configurations are small; anything larger is not one.
        const LARGEST_JSON: u64 = 16 << 20;
        let span = self.span(entry)?;
        if span.size > LARGEST_JSON {
            return Err(self.invalid(&format!("`{entry}` is too large")));
        }
        let mut file = &self.file;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(span.offset))
            .and_then(|_| file.take(span.size).read_to_end(&mut bytes))
            .map_err(|source| ReadArchiveError::Read {
                path: self.path.clone(),
                source,
            })?;
        Ok(bytes)
    }

    fn span(&self, entry: &str) -> Result<Span, ReadArchiveError> {
        self.entries
            .get(entry)
            .cloned()
            .ok_or_else(|| self.invalid(&format!("`{entry}` is missing in it")))
    }

    fn invalid(&self, reason: &str) -> ReadArchiveError {
        ReadArchiveError::Invalid {
            path: self.path.clone(),
            reason: reason.to_owned(),
        }
    }
}

/// Where each entry's bytes are. Links between entries (older `docker save`) are followed.
fn index(file: &File) -> io::Result<HashMap<String, Span>> {
    let mut spans = HashMap::new();
    let mut links = BTreeMap::new();
    let mut tar = tar::Archive::new(BufReader::new(file));
    for entry in tar.entries_with_seek()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        let name = clean(&path);
        if let Some(target) = entry.link_name()? {
            let target = if entry.header().entry_type().is_symlink() {
                clean(&path.parent().unwrap_or(Path::new("")).join(target))
            } else {
                clean(&target)
            };
            links.insert(name, target);
        } else if entry.header().entry_type().is_file() {
            let span = Span {
                offset: entry.raw_file_position(),
                size: entry.size(),
            };
            spans.insert(name, span);
        }
    }
    for (name, target) in links {
        if let Some(span) = spans.get(&target).cloned() {
            spans.insert(name, span);
        }
    }
    Ok(spans)
}

/// An entry's path without `.` and with `..` resolved, as text.
fn clean(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for component in path.components() {
        match component {
            std::path::Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            std::path::Component::ParentDir => {
                parts.pop();
            }
            _ => {}
        }
    }
    parts.join("/")
}

struct HashingReader<R> {
    reader: R,
    hasher: digest::Hasher<io::Sink>,
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        use std::io::Write as _;
        let count = self.reader.read(buffer)?;
        self.hasher.write_all(&buffer[..count])?;
        Ok(count)
    }
}
