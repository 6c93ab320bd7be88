//! Building the images that meshproof deploys, from this workspace and from assets.
//!
//! Invariant: what is in an image is written in [`spec_of`] and nowhere else.

mod programs;

pub use programs::forget_outer_cargo;

use crate::archive::{Archive, ReadArchiveError};
use crate::closure::{ClosureError, closure};
use crate::input::Inputs;
use crate::pack::{FileSpec, ImageSpec, PackError, pack};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The images, in the order they are built. In manifests each is `meshproof/NAME:dev`.
pub const NAMES: [&str; 6] = [
    "control-plane",
    "control-plane-mutants",
    "identity",
    "probe-app",
    "sidecar",
    "capture-init",
];

/// Where the workspace was when this crate was compiled.
const CRATE_FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// How images are obtained.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// A folder with a `NAME.tar` for each image; nothing is built then (`--images`, `MESHPROOF_IMAGES`).
    pub prebuilt: Option<PathBuf>,
    /// Archives that replace single images, by name (`--image NAME=TAR`).
    pub replacements: BTreeMap<String, PathBuf>,
    /// The Envoy program for the sidecar image.
    pub envoy: PathBuf,
}

/// An image archive on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltImage {
    /// Its name in [`NAMES`].
    pub name: &'static str,
    /// The name manifests use. An archive that replaces an image may carry another one: load it with
    /// [`Store::load_as`](crate::store::Store::load_as) and this.
    pub reference: String,
    /// The archive.
    pub archive: PathBuf,
}

/// Images could not be obtained.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// `--image` names no image of ours.
    #[error("there is no image `{name}`; the images are {}", NAMES.join(", "))]
    UnknownImage {
        /// The name that was given.
        name: String,
    },
    /// A folder of prebuilt images lacks some.
    #[error("`{}` has no {}", folder.display(), missing.join(", "))]
    PrebuiltMissing {
        /// The folder.
        folder: PathBuf,
        /// File names that were looked for.
        missing: Vec<String>,
    },
    /// A given archive is not usable.
    #[error("use a given image")]
    Archive(#[from] ReadArchiveError),
    /// This program was moved away from the sources it was built from.
    #[error("the sources this program was built from are not at `{}` any more", folder.display())]
    NoWorkspace {
        /// Where they were.
        folder: PathBuf,
    },
    /// Cargo could not be started.
    #[error("start `cargo`")]
    StartCargo(#[source] io::Error),
    /// The programs do not compile.
    #[error("build the programs of the images\n{output}")]
    Cargo {
        /// The end of what Cargo said.
        output: String,
    },
    /// Cargo said that it had built, but named no executable.
    #[error("Cargo built no program `{program}`")]
    NoProgram {
        /// The program.
        program: &'static str,
    },
    /// `nft` is not installed.
    #[error("`nft` is not on this machine")]
    NoNft,
    /// Libraries of a program are missing.
    #[error("collect the libraries of `{program}`")]
    Closure {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: ClosureError,
    },
    /// An archive could not be written.
    #[error("pack image `{name}`")]
    Pack {
        /// The image.
        name: &'static str,
        /// Why.
        #[source]
        source: PackError,
    },
    /// The folder for archives cannot be used.
    #[error("use `{}` for images", folder.display())]
    Folder {
        /// The folder or file.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BuildError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoWorkspace { .. } => Some(
                "run from a clone, or pass a folder of images made by `cargo xtask images` with --images",
            ),
            Self::StartCargo(_) => {
                Some("install a Rust toolchain, or pass ready images with --images")
            }
            Self::PrebuiltMissing { .. } => Some("make them with `cargo xtask images`"),
            Self::NoNft => Some("install the package `nftables`"),
            Self::Archive(_) => {
                Some("an image is a tar as `docker save` or `cargo xtask images` writes it")
            }
            _ => None,
        }
    }
}

/// The name manifests use for an image.
#[must_use]
pub fn reference_of(name: &str) -> String {
    format!("meshproof/{name}:dev")
}

/// Obtains every image: given ones as they are, the others built where something changed. `progress` gets lines for
/// people.
///
/// # Errors
///
/// When a given archive is not usable, or an image cannot be built.
pub fn build(
    options: &BuildOptions,
    progress: &dyn Fn(&str),
) -> Result<Vec<BuiltImage>, BuildError> {
    for (name, archive) in &options.replacements {
        if !NAMES.contains(&name.as_str()) {
            return Err(BuildError::UnknownImage { name: name.clone() });
        }
        Archive::open(archive)?;
    }
    let mut archives: BTreeMap<&'static str, PathBuf> = NAMES
        .into_iter()
        .filter_map(|name| Some((name, options.replacements.get(name)?.clone())))
        .collect();
    let wanted: Vec<&'static str> = NAMES
        .into_iter()
        .filter(|name| !archives.contains_key(name))
        .collect();
    if let Some(folder) = &options.prebuilt {
        archives.extend(prebuilt(folder, &wanted)?);
    } else if !wanted.is_empty() {
        archives.extend(from_workspace(&wanted, &options.envoy, progress)?);
    }
    Ok(archives
        .into_iter()
        .map(|(name, archive)| BuiltImage {
            name,
            reference: reference_of(name),
            archive,
        })
        .collect())
}

fn prebuilt(
    folder: &Path,
    wanted: &[&'static str],
) -> Result<BTreeMap<&'static str, PathBuf>, BuildError> {
    let archives: BTreeMap<_, _> = wanted
        .iter()
        .map(|name| (*name, folder.join(format!("{name}.tar"))))
        .collect();
    let missing: Vec<String> = archives
        .iter()
        .filter(|(_, archive)| !archive.is_file())
        .map(|(name, _)| format!("{name}.tar"))
        .collect();
    if !missing.is_empty() {
        return Err(BuildError::PrebuiltMissing {
            folder: folder.to_owned(),
            missing,
        });
    }
    for archive in archives.values() {
        Archive::open(archive)?;
    }
    Ok(archives)
}

/// The root of the workspace this crate was compiled in, where it still exists.
///
/// # Errors
///
/// When the sources are not there any more.
pub fn workspace() -> Result<PathBuf, BuildError> {
    let root = Path::new(CRATE_FOLDER).join("../..");
    match fs::canonicalize(&root) {
        Ok(root) if root.join("Cargo.toml").is_file() && root.join("test-apps").is_dir() => {
            Ok(root)
        }
        _ => Err(BuildError::NoWorkspace { folder: root }),
    }
}

fn from_workspace(
    wanted: &[&'static str],
    envoy: &Path,
    progress: &dyn Fn(&str),
) -> Result<BTreeMap<&'static str, PathBuf>, BuildError> {
    let root = workspace()?;
    let folder = root.join("target/images");
    let folder_error = |source| BuildError::Folder {
        folder: folder.clone(),
        source,
    };
    fs::create_dir_all(&folder).map_err(folder_error)?;
    let lock = File::create(folder.join("lock")).map_err(folder_error)?;
    if lock.try_lock().is_err() {
        progress("another process is building the images; waiting for it");
        lock.lock().map_err(folder_error)?;
    }
    let needed: Vec<&'static str> = wanted
        .iter()
        .flat_map(|name| programs_of(name))
        .copied()
        .collect();
    let programs = programs::build(&root, &needed, progress)?;
    let mut archives = BTreeMap::new();
    for name in wanted {
        let spec = spec_of(name, &programs, envoy)?;
        let archive = folder.join(format!("{name}.tar"));
        let inputs = Inputs::of(&spec).map_err(folder_error)?;
        if !inputs.made(&archive) {
            progress(&format!("packing image {name}"));
            pack(&spec, &archive).map_err(|source| BuildError::Pack { name, source })?;
            inputs.record(&archive).map_err(folder_error)?;
        }
        archives.insert(*name, archive);
    }
    Ok(archives)
}

/// The programs of this workspace that are in an image, the one that it starts first; none where all of it comes from
/// elsewhere.
fn programs_of(name: &str) -> &'static [&'static str] {
    match name {
        "control-plane" => &["control-plane"],
        "control-plane-mutants" => &["control-plane-mutants"],
        // One image for three who are deployed together; whoever starts it says which program.
        "identity" => &["key-service", "certificate-authority"],
        "probe-app" => &["probe-app"],
        "sidecar" => &["sidecar-launcher"],
        _ => &[],
    }
}

/// What is in an image.
fn spec_of(
    name: &'static str,
    programs: &BTreeMap<&'static str, PathBuf>,
    envoy: &Path,
) -> Result<ImageSpec, BuildError> {
    let own = programs_of(name);
    let mut files = own
        .iter()
        .map(|program| {
            let source = programs
                .get(program)
                .cloned()
                .ok_or(BuildError::NoProgram { program })?;
            Ok(executable(Path::new(&format!("/{program}")), source))
        })
        .collect::<Result<Vec<_>, BuildError>>()?;
    let mut entrypoint = own.first().map(|program| format!("/{program}"));
    match name {
        "sidecar" => files.extend(with_libraries("/usr/bin/envoy", envoy)?),
        "capture-init" => {
            let nft = find_nft().ok_or(BuildError::NoNft)?;
            files.extend(with_libraries("/usr/sbin/nft", &nft)?);
            entrypoint = Some("/usr/sbin/nft".to_owned());
        }
        _ => {}
    }
    Ok(ImageSpec {
        reference: reference_of(name),
        files,
        folders: ["/dev", "/etc", "/proc", "/run", "/sys", "/var"]
            .map(|path| (PathBuf::from(path), 0o755))
            .into_iter()
            .chain([(PathBuf::from("/tmp"), 0o1777)])
            .collect(),
        entrypoint: entrypoint.into_iter().collect(),
        cmd: Vec::new(),
        env: vec!["PATH=/usr/sbin:/usr/bin:/sbin:/bin:/".to_owned()],
    })
}

fn executable(target: &Path, source: PathBuf) -> FileSpec {
    FileSpec {
        target: target.to_owned(),
        source,
        mode: 0o755,
    }
}

fn with_libraries(target: &str, program: &Path) -> Result<Vec<FileSpec>, BuildError> {
    let mut files = closure(program).map_err(|source| BuildError::Closure {
        program: program.display().to_string(),
        source,
    })?;
    files.push(executable(Path::new(target), program.to_owned()));
    Ok(files)
}

/// `nft` is in a folder that is not on an ordinary user's path.
fn find_nft() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join("nft"))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_of_an_image_is_in_it_and_the_first_is_started() {
        let programs: BTreeMap<&'static str, PathBuf> = NAMES
            .into_iter()
            .flat_map(programs_of)
            .map(|program| (*program, PathBuf::from("/built").join(program)))
            .collect();
        for (name, entrypoint) in [
            ("control-plane", "/control-plane"),
            ("identity", "/key-service"),
            ("probe-app", "/probe-app"),
        ] {
            let spec = spec_of(name, &programs, Path::new("/nonexistent")).unwrap();
            assert_eq!(spec.entrypoint, [entrypoint]);
            let files: Vec<_> = spec.files.iter().map(|file| file.target.clone()).collect();
            let expected = programs_of(name).iter();
            let expected: Vec<_> = expected
                .map(|program| Path::new("/").join(program))
                .collect();
            assert_eq!(files, expected);
        }
    }

    #[test]
    fn a_program_that_was_not_built_is_told() {
        let built = BTreeMap::from([("key-service", PathBuf::from("/built/key-service"))]);
        assert!(matches!(
            spec_of("identity", &built, Path::new("/nonexistent")),
            Err(BuildError::NoProgram {
                program: "certificate-authority"
            })
        ));
    }
}
