//! The programs of other projects that clusters run: where they are, or how they come to this machine.
//!
//! Looked for in this order, each by itself: folders the user gives, the cache, official releases with the checksums that
//! are published beside them ([`download`]), made from pinned sources ([`recipe`]).
//!
//! Invariant: what [`obtain`] returns is whole: a cached program has the size and hash that were noted when it was
//! made.

mod asset;
pub mod cache;
mod command;
mod download;
mod error;
mod make;
mod progress;
mod recipe;

pub use asset::{Asset, ForImages};
pub use download::Downloads;
pub use error::AssetError;
pub use make::find_go;
pub use progress::Progress;
pub use recipe::{KIND_VERSION, KUBERNETES_VERSION};

use cache::{Cache, State};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the programs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assets {
    /// `etcd`.
    pub etcd: PathBuf,
    /// `kube-apiserver`.
    pub kube_apiserver: PathBuf,
    /// `kube-controller-manager`.
    pub kube_controller_manager: PathBuf,
    /// `kube-scheduler`.
    pub kube_scheduler: PathBuf,
    /// `envoy`, where images need it.
    pub envoy: Option<PathBuf>,
}

/// Where to look, and where to keep what is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetOptions {
    /// Folders to look in first, the most important first.
    pub folders: Vec<PathBuf>,
    /// The cache folder of meshproof ([`cache_folder`]).
    pub cache: PathBuf,
    /// Make nothing, since that may need the network: what is missing is an error.
    pub offline: bool,
    /// Where official releases come from.
    pub downloads: Downloads,
}

impl AssetOptions {
    /// `folder` (from `--assets`), then `MESHPROOF_ASSETS`, then `KUBEBUILDER_ASSETS`; the cache as
    /// [`cache_folder`] says.
    ///
    /// # Errors
    ///
    /// When there is no place for a cache, or `MESHPROOF_DOWNLOADS` is wrong.
    pub fn from_environment(folder: Option<PathBuf>) -> Result<Self, AssetError> {
        let variables = ["MESHPROOF_ASSETS", "KUBEBUILDER_ASSETS"];
        let named = variables
            .iter()
            .filter_map(std::env::var_os)
            .filter(|value| !value.is_empty());
        Ok(Self {
            folders: folder.into_iter().chain(named.map(PathBuf::from)).collect(),
            cache: cache_folder()?,
            offline: false,
            downloads: Downloads::from_environment()?,
        })
    }
}

/// The cache folder of meshproof: `MESHPROOF_CACHE`, else `meshproof` in `XDG_CACHE_HOME` or `~/.cache`.
///
/// # Errors
///
/// When none of the variables is set.
pub fn cache_folder() -> Result<PathBuf, AssetError> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    variable("MESHPROOF_CACHE")
        .or_else(|| {
            variable("XDG_CACHE_HOME")
                .filter(|folder| folder.is_absolute())
                .or_else(|| Some(variable("HOME")?.join(".cache")))
                .map(|folder| folder.join("meshproof"))
        })
        .ok_or(AssetError::NoCacheFolder)
}

/// Finds every program of a local cluster and what images need, and makes those that are nowhere. The first time this
/// takes minutes and needs the network; later it takes a moment and needs nothing. It blocks: call it from a thread
/// that may.
///
/// Two processes that call it at once share the work. A process that dies leaves what it had finished; its children
/// end with it.
///
/// # Errors
///
/// When a given folder does not exist, the cache cannot be used, or a program cannot be made.
pub fn obtain(
    options: &AssetOptions,
    for_images: ForImages,
    progress: &dyn Fn(&Progress),
) -> Result<Assets, AssetError> {
    let found = obtain_each(options, for_images.with_cluster(), progress)?;
    let path = |asset| {
        let path = found.get(&asset).cloned();
        path.ok_or(AssetError::NotMade { asset })
    };
    Ok(Assets {
        etcd: path(Asset::Etcd)?,
        kube_apiserver: path(Asset::KubeApiserver)?,
        kube_controller_manager: path(Asset::KubeControllerManager)?,
        kube_scheduler: path(Asset::KubeScheduler)?,
        envoy: found.get(&Asset::Envoy).cloned(),
    })
}

/// As [`obtain`], for a choice of programs.
///
/// # Errors
///
/// As [`obtain`].
pub fn obtain_each(
    options: &AssetOptions,
    wanted: &[Asset],
    progress: &dyn Fn(&Progress),
) -> Result<BTreeMap<Asset, PathBuf>, AssetError> {
    let mut found = BTreeMap::new();
    for folder in &options.folders {
        look_in(folder, wanted, &mut found, progress)?;
    }
    let cache = assets_in(&options.cache);
    let missing = look_in_cache(&cache, wanted, &mut found)?;
    if options.offline && !missing.is_empty() {
        return Err(AssetError::NotHere { missing });
    }
    if !missing.is_empty() {
        found.extend(make::make(&cache, &missing, &options.downloads, progress)?);
    }
    Ok(found)
}

/// The program `kind`: from a given folder, else from the path where its version is [`KIND_VERSION`], else as
/// [`obtain`] does. It blocks.
///
/// # Errors
///
/// As [`obtain`].
pub fn kind(options: &AssetOptions, progress: &dyn Fn(&Progress)) -> Result<PathBuf, AssetError> {
    let asset = Asset::Kind;
    let given = options
        .folders
        .iter()
        .map(|folder| folder.join(asset.file_name()));
    if let Some(program) = given.into_iter().find(|program| is_program(program)) {
        return Ok(program);
    }
    if let Some(program) = which::which(asset.file_name())
        .ok()
        .filter(|program| is_the_pinned_kind(program))
    {
        return Ok(program);
    }
    let options = AssetOptions {
        folders: Vec::new(),
        ..options.clone()
    };
    obtain_one(&options, asset, progress)
}

/// What a kind cluster needs on this machine.
#[derive(Clone, Debug)]
pub struct KindPrograms {
    /// The program `kind`.
    pub kind: PathBuf,
    /// Envoy, where images need it.
    pub envoy: Option<PathBuf>,
}

/// As [`kind`] and [`obtain`], for [`KindPrograms`]. It blocks.
///
/// # Errors
///
/// As [`obtain`].
pub fn kind_programs(
    options: &AssetOptions,
    for_images: ForImages,
    progress: &dyn Fn(&Progress),
) -> Result<KindPrograms, AssetError> {
    Ok(KindPrograms {
        kind: kind(options, progress)?,
        envoy: match for_images {
            ForImages::Envoy => Some(envoy(options, progress)?),
            ForImages::Nothing => None,
        },
    })
}

/// As [`obtain`], for Envoy alone, which is what images need. It blocks.
///
/// # Errors
///
/// As [`obtain`].
pub fn envoy(options: &AssetOptions, progress: &dyn Fn(&Progress)) -> Result<PathBuf, AssetError> {
    obtain_one(options, Asset::Envoy, progress)
}

fn obtain_one(
    options: &AssetOptions,
    asset: Asset,
    progress: &dyn Fn(&Progress),
) -> Result<PathBuf, AssetError> {
    obtain_each(options, &[asset], progress)?
        .remove(&asset)
        .ok_or(AssetError::NotMade { asset })
}

/// `kind version` says `kind v0.33.0 go1.26.8 linux/amd64`.
fn is_the_pinned_kind(program: &Path) -> bool {
    let Ok(output) = Command::new(program).arg("version").output() else {
        return false;
    };
    String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .any(|word| word == KIND_VERSION)
}

/// Stands for everything that decides what the programs are that [`obtain_each`] makes: another pinned source,
/// another compiler flag or another machine gives another fingerprint.
#[must_use]
pub fn fingerprint(assets: &[Asset]) -> String {
    let mut hash = Sha256::new();
    for asset in assets {
        let recipe = recipe::recipe(*asset).map(|recipe| recipe.fingerprint());
        hash.update(recipe.unwrap_or_default());
    }
    cache::hex(&hash.finalize())
}

/// What [`obtain`] would have to make.
///
/// # Errors
///
/// When a given folder does not exist or the cache cannot be read.
pub fn missing(options: &AssetOptions, for_images: ForImages) -> Result<Vec<Asset>, AssetError> {
    let wanted = for_images.with_cluster();
    let mut found = BTreeMap::new();
    for folder in &options.folders {
        look_in(folder, wanted, &mut found, &|_| ())?;
    }
    look_in_cache(&assets_in(&options.cache), wanted, &mut found)
}

/// Removes what processes that were killed while making assets left in the cache, and says what was removed. Does
/// nothing while another process is making assets.
///
/// # Errors
///
/// When the cache is there but cannot be read or written.
pub fn clean(cache: &Path) -> Result<Vec<PathBuf>, AssetError> {
    assets_in(cache).clean()
}

fn assets_in(cache: &Path) -> Cache {
    Cache::new(cache, "assets")
}

fn lacking(wanted: &[Asset], found: &BTreeMap<Asset, PathBuf>) -> Vec<Asset> {
    let wanted = wanted.iter().copied();
    wanted.filter(|asset| !found.contains_key(asset)).collect()
}

fn look_in(
    folder: &Path,
    wanted: &[Asset],
    found: &mut BTreeMap<Asset, PathBuf>,
    progress: &dyn Fn(&Progress),
) -> Result<(), AssetError> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    if !folder.is_dir() {
        return Err(AssetError::NoSuchFolder { folder });
    }
    let mut missing = Vec::new();
    for asset in lacking(wanted, found) {
        let path = folder.join(asset.file_name());
        if is_program(&path) {
            progress(&Progress::Given {
                asset,
                folder: folder.clone(),
            });
            found.insert(asset, path);
        } else {
            missing.push(asset);
        }
    }
    if !missing.is_empty() {
        progress(&Progress::Lacking { folder, missing });
    }
    Ok(())
}

/// Adds what the cache has whole; returns what is still lacking.
fn look_in_cache(
    cache: &Cache,
    wanted: &[Asset],
    found: &mut BTreeMap<Asset, PathBuf>,
) -> Result<Vec<Asset>, AssetError> {
    let mut missing = Vec::new();
    for asset in lacking(wanted, found) {
        match make::state(cache, asset)? {
            State::Whole(path) => {
                found.insert(asset, path);
            }
            State::Absent | State::Damaged(_) => missing.push(asset),
        }
    }
    Ok(missing)
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
