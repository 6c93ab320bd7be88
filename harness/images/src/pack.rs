//! Packing files into an image archive.
//!
//! Invariant: the same specification and the same file contents give the same bytes, on every machine and at every
//! time: entries are sorted, belong to uid 0 and carry time 0.

use crate::digest::{Hasher, of_bytes};
use crate::reference;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// What an image consists of.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ImageSpec {
    /// The name it is known by, such as `meshproof/probe-app:dev`.
    pub reference: String,
    /// Its files; the folders above them are made.
    pub files: Vec<FileSpec>,
    /// Folders that are empty in the image, with their permission bits.
    pub folders: Vec<(PathBuf, u32)>,
    /// The command that always runs.
    pub entrypoint: Vec<String>,
    /// The default arguments.
    pub cmd: Vec<String>,
    /// `NAME=VALUE` lines.
    pub env: Vec<String>,
}

/// One file of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct FileSpec {
    /// Where it stands in the image; absolute.
    pub target: PathBuf,
    /// The file on this machine that it is copied from; links are followed.
    pub source: PathBuf,
    /// Permission bits.
    pub mode: u32,
}

/// An image could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file that belongs into the image cannot be read.
    #[error("read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
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

/// Writes the archive to `archive`, atomically, and returns the digest of its configuration (the image's identity).
///
/// # Errors
///
/// When a source file cannot be read or the archive cannot be written.
pub fn pack(spec: &ImageSpec, archive: &Path) -> Result<String, PackError> {
    let write_error = |source| PackError::Write {
        path: archive.to_owned(),
        source,
    };
    let folder = archive.parent().unwrap_or(Path::new("."));
    let mut layer_file = tempfile::tempfile_in(folder).map_err(write_error)?;
    let (layer_digest, layer_size) = write_layer(spec, &mut layer_file, archive)?;
    let config = config_json(spec, &layer_digest);
    let layer = json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "digest": format!("sha256:{layer_digest}"),
        "size": layer_size,
    });
    layer_file.rewind().map_err(write_error)?;
    let blob = (layer_digest, layer_size, layer_file);
    write(&spec.reference, config, &[layer], vec![blob], archive).map_err(write_error)
}

/// Writes an archive of one image, atomically: its configuration, what its manifest says of its layers, and the layers
/// (hexadecimal digest, bytes, contents), each of them once. Returns the digest of the configuration.
pub(crate) fn write<R: Read>(
    reference: &str,
    config: Vec<u8>,
    layers: &[Value],
    blobs: Vec<(String, u64, R)>,
    archive: &Path,
) -> io::Result<String> {
    let folder = archive.parent().unwrap_or(Path::new("."));
    let config_digest = of_bytes(&config);
    let manifest = to_json(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": format!("sha256:{config_digest}"),
            "size": config.len(),
        },
        "layers": layers,
    }));
    let manifest_digest = of_bytes(&manifest);
    let entries: Vec<String> = layers
        .iter()
        .filter_map(|layer| layer["digest"].as_str()?.strip_prefix("sha256:"))
        .map(|hex| format!("blobs/sha256/{hex}"))
        .collect();
    let mut small = BTreeMap::new();
    small.insert(
        "oci-layout".to_owned(),
        to_json(&json!({"imageLayoutVersion": "1.0.0"})),
    );
    small.insert(
        "index.json".to_owned(),
        index_json(reference, &manifest_digest, manifest.len()),
    );
    small.insert(
        "manifest.json".to_owned(),
        to_json(&json!([{
            "Config": format!("blobs/sha256/{config_digest}"),
            "RepoTags": [reference::normalize(reference)],
            "Layers": entries,
        }])),
    );
    small.insert(format!("blobs/sha256/{config_digest}"), config);
    small.insert(format!("blobs/sha256/{manifest_digest}"), manifest);

    let temporary = tempfile::Builder::new()
        .prefix(".packing-")
        .tempfile_in(folder)?;
    let mut outer = tar::Builder::new(BufWriter::with_capacity(1 << 20, temporary.as_file()));
    for (name, bytes) in &small {
        append(
            &mut outer,
            Path::new(name),
            0o644,
            bytes.len() as u64,
            &mut bytes.as_slice(),
        )?;
    }
    for (hex, size, mut contents) in blobs {
        let name = format!("blobs/sha256/{hex}");
        append(&mut outer, Path::new(&name), 0o644, size, &mut contents)?;
    }
    outer.into_inner()?.flush()?;
    make_readable(temporary.as_file())?;
    temporary.persist(archive).map_err(|error| error.error)?;
    Ok(format!("sha256:{config_digest}"))
}

/// Temporary files are private; images are not secret.
fn make_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

fn write_layer(
    spec: &ImageSpec,
    layer_file: &mut File,
    archive: &Path,
) -> Result<(String, u64), PackError> {
    let write_error = |source| PackError::Write {
        path: archive.to_owned(),
        source,
    };
    let mut layer = tar::Builder::new(Hasher::new(BufWriter::with_capacity(1 << 20, layer_file)));
    for (path, mode) in folders_of(spec) {
        append_folder(&mut layer, &path, mode).map_err(write_error)?;
    }
    let files: BTreeMap<&Path, &FileSpec> = spec
        .files
        .iter()
        .map(|file| (file.target.as_path(), file))
        .collect();
    for (target, file) in files {
        let read_error = |source| PackError::Read {
            path: file.source.clone(),
            source,
        };
        let mut contents = File::open(&file.source).map_err(read_error)?;
        let size = contents.metadata().map_err(read_error)?.len();
        append(&mut layer, relative(target), file.mode, size, &mut contents)
            .map_err(write_error)?;
    }
    let hasher = layer.into_inner().map_err(write_error)?;
    let (mut writer, digest, size) = hasher.finish();
    writer.flush().map_err(write_error)?;
    Ok((digest, size))
}

/// Every folder the image needs, parents first.
fn folders_of(spec: &ImageSpec) -> BTreeMap<PathBuf, u32> {
    let stated = spec
        .folders
        .iter()
        .map(|(path, mode)| (relative(path).to_owned(), *mode));
    let parents: BTreeSet<PathBuf> = spec
        .files
        .iter()
        .map(|file| &file.target)
        .chain(spec.folders.iter().map(|(path, _)| path))
        .flat_map(|path| relative(path).ancestors().skip(1))
        .filter(|path| !path.as_os_str().is_empty())
        .map(Path::to_owned)
        .collect();
    let mut folders: BTreeMap<PathBuf, u32> =
        parents.into_iter().map(|path| (path, 0o755)).collect();
    folders.extend(stated);
    folders
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn header(mode: u32, size: u64, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append<W: Write>(
    builder: &mut tar::Builder<W>,
    path: &Path,
    mode: u32,
    size: u64,
    contents: &mut dyn Read,
) -> io::Result<()> {
    let mut header = header(mode, size, tar::EntryType::Regular);
    // A file that changes while it is read must not push the entries behind it out of place.
    let mut exact = Counted {
        reader: contents.take(size),
        count: 0,
    };
    builder.append_data(&mut header, path, &mut exact)?;
    if exact.count == size {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "`{}` changed while it was read",
            path.display()
        )))
    }
}

fn append_folder<W: Write>(
    builder: &mut tar::Builder<W>,
    path: &Path,
    mode: u32,
) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push("/");
    builder.append_data(
        &mut header(mode, 0, tar::EntryType::Directory),
        name,
        io::empty(),
    )
}

struct Counted<R> {
    reader: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

fn config_json(spec: &ImageSpec, layer_digest: &str) -> Vec<u8> {
    to_json(&json!({
        "architecture": architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": spec.entrypoint,
            "Cmd": spec.cmd,
            "Env": spec.env,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "meshproof"}],
    }))
}

fn index_json(image: &str, manifest_digest: &str, manifest_size: usize) -> Vec<u8> {
    let name = reference::with_registry(image);
    let tag = name.rsplit(':').next().unwrap_or_default();
    to_json(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{manifest_digest}"),
            "size": manifest_size,
            "platform": {"architecture": architecture(), "os": "linux"},
            "annotations": {
                "io.containerd.image.name": name,
                "org.opencontainers.image.ref.name": tag,
            },
        }],
    }))
}

/// This machine's architecture in the words of images.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn to_json(value: &serde_json::Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{FileSpec, ImageSpec, pack};
    use std::path::{Path, PathBuf};
    use std::time::{Duration, SystemTime};

    fn spec(source: &Path) -> ImageSpec {
        ImageSpec {
            reference: "meshproof/example:dev".to_owned(),
            files: vec![FileSpec {
                target: PathBuf::from("/usr/bin/example"),
                source: source.to_owned(),
                mode: 0o755,
            }],
            folders: vec![(PathBuf::from("/tmp"), 0o1777)],
            entrypoint: vec!["/usr/bin/example".to_owned()],
            cmd: Vec::new(),
            env: vec!["PATH=/usr/bin".to_owned()],
        }
    }

    #[test]
    fn packing_twice_gives_the_same_bytes_whatever_the_file_times_are() {
        let folder = tempfile::tempdir().unwrap();
        let first_source = folder.path().join("first");
        let second_source = folder.path().join("second");
        std::fs::write(&first_source, b"contents").unwrap();
        std::fs::write(&second_source, b"contents").unwrap();
        std::fs::File::open(&second_source)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000))
            .unwrap();
        let first = folder.path().join("first.tar");
        let second = folder.path().join("second.tar");
        let digest = pack(&spec(&first_source), &first).unwrap();
        assert_eq!(digest, pack(&spec(&second_source), &second).unwrap());
        assert_eq!(
            std::fs::read(first).unwrap(),
            std::fs::read(second).unwrap()
        );
    }

    #[test]
    fn a_missing_file_is_named_and_no_archive_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("image.tar");
        let error = pack(&spec(&folder.path().join("absent")), &archive).unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
