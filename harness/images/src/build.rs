//! Building the images that meshproof deploys, from this workspace and from assets.
//!
//! Invariant: what is in an image is written in `contents` and nowhere else.

mod contents;
mod programs;

pub use programs::forget_outer_cargo;

use crate::archive::{Archive, ReadArchiveError};
use crate::closure::ClosureError;
use crate::input::Inputs;
use crate::pack::{PackError, pack};
use contents::{programs_of, spec_of};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The images, in the order they are built. In manifests each is `meshproof/NAME:dev`.
pub const NAMES: [&str; 8] = [
    "control-plane",
    "control-plane-mutants",
    "identity",
    "identity-mutants",
    "probe-app",
    "sidecar",
    "sidecar-mutants",
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
    /// Images, by name, that nobody needs.
    pub without: BTreeSet<String>,
    /// The Envoy program; none where no sidecar's image is built.
    pub envoy: Option<PathBuf>,
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
    /// A sidecar's image is to be built, and nobody has said where Envoy is: a bug here.
    #[error("build `{name}` without Envoy")]
    NoEnvoy {
        /// The image.
        name: &'static str,
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
                "run from a clone, keep the folder `images` of the archive beside the program, or pass images made by `cargo xtask images` with --images",
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
        .filter(|name| !archives.contains_key(name) && !options.without.contains(*name))
        .collect();
    if let Some(folder) = &options.prebuilt {
        archives.extend(prebuilt(folder, &wanted)?);
    } else if !wanted.is_empty() {
        archives.extend(from_workspace(&wanted, options.envoy.as_deref(), progress)?);
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

/// The folder `images` beside the running program, where it has images: so a program that was unpacked from an archive
/// brings its own.
#[must_use]
pub fn beside_program() -> Option<PathBuf> {
    let program = std::env::current_exe().and_then(fs::canonicalize).ok()?;
    let folder = program.parent()?.join("images");
    let has_one = NAMES
        .iter()
        .any(|name| folder.join(format!("{name}.tar")).is_file());
    has_one.then_some(folder)
}

/// Checks that a folder of ready images has all that are needed: those that `without` does not name.
///
/// # Errors
///
/// When one is missing or is no image.
pub fn check_prebuilt(folder: &Path, without: &BTreeSet<String>) -> Result<(), BuildError> {
    let wanted: Vec<&'static str> = NAMES
        .into_iter()
        .filter(|name| !without.contains(*name))
        .collect();
    prebuilt(folder, &wanted).map(drop)
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
    envoy: Option<&Path>,
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
    let needed: BTreeSet<&'static str> = wanted
        .iter()
        .flat_map(|name| programs_of(name))
        .map(|(program, _)| program)
        .collect();
    let needed: Vec<&'static str> = needed.into_iter().collect();
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
