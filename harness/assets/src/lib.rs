//! The programs of other projects that a local cluster runs: where they are, or how they come to this machine.
//!
//! Looked for in this order, each by itself: folders the user gives, the cache, made from pinned sources
//! ([`recipe`]). Whoever adds another way to get them (official downloads) adds a kind of recipe.
//!
//! Invariant: what [`obtain`] returns is whole: a cached program has the size and hash that were noted when it was
//! made.

mod cache;
mod command;
mod error;
mod make;
mod recipe;

pub use error::AssetError;

use cache::{Cache, State};
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A program of another project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asset {
    /// The sidecar proxy.
    Envoy,
    /// The store behind the API server.
    Etcd,
    /// The Kubernetes API server.
    KubeApiserver,
    /// The Kubernetes controllers.
    KubeControllerManager,
    /// The Kubernetes scheduler.
    KubeScheduler,
}

impl Asset {
    /// All of them, in the order in which they are made: what needs the network most comes first.
    pub const ALL: [Self; 5] = [
        Self::Envoy,
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
    ];

    /// The name of the file, in given folders and in the cache.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Envoy => "envoy",
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
        }
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.file_name())
    }
}

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
    /// `envoy`.
    pub envoy: PathBuf,
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
}

impl AssetOptions {
    /// `folder` (from `--assets`), then `MESHPROOF_ASSETS`, then `KUBEBUILDER_ASSETS`; the cache as
    /// [`cache_folder`] says.
    ///
    /// # Errors
    ///
    /// When there is no place for a cache.
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
        })
    }
}

/// What is going on while assets are obtained. `Display` gives a line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A program is taken from a folder the user gave.
    Given {
        /// The program.
        asset: Asset,
        /// The folder.
        folder: PathBuf,
    },
    /// A folder the user gave lacks these.
    Lacking {
        /// The folder.
        folder: PathBuf,
        /// What is not in it.
        missing: Vec<Asset>,
    },
    /// A cached program is damaged and is made again.
    Damaged {
        /// The program.
        asset: Asset,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process is making the programs; we wait for it.
    Waiting {
        /// The other process, where it said so.
        process: Option<u32>,
    },
    /// Making a program begins.
    Making {
        /// The program.
        asset: Asset,
        /// Which one of those that are made now, from 1.
        number: usize,
        /// How many are made now.
        count: usize,
        /// How long or how large, for people.
        note: &'static str,
    },
    /// The making goes on; shown in a spinner, not as a line.
    Activity {
        /// The program.
        asset: Asset,
        /// What is being done.
        detail: String,
    },
    /// A program is in the cache now.
    Made {
        /// The program.
        asset: Asset,
        /// How long it took, in seconds.
        seconds: u64,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given { asset, folder } => {
                write!(formatter, "using {asset} from {}", folder.display())
            }
            Self::Lacking { folder, missing } => {
                let names: Vec<&str> = missing.iter().map(|asset| asset.file_name()).collect();
                write!(
                    formatter,
                    "{} has no {}; looking elsewhere",
                    folder.display(),
                    names.join(", ")
                )
            }
            Self::Damaged { asset, reason } => {
                write!(
                    formatter,
                    "{asset} in the cache is damaged ({reason}); making it again"
                )
            }
            Self::Waiting {
                process: Some(process),
            } => {
                write!(
                    formatter,
                    "process {process} is making the assets; waiting for it"
                )
            }
            Self::Waiting { process: None } => {
                formatter.write_str("another process is making the assets; waiting for it")
            }
            Self::Making {
                asset,
                number,
                count,
                note,
            } => write!(formatter, "making {asset} ({number} of {count}), {note}"),
            Self::Activity { asset, detail } => write!(formatter, "{asset}: {detail}"),
            Self::Made { asset, seconds } => write!(formatter, "{asset} is ready ({seconds} s)"),
        }
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

/// Finds every program, and makes those that are nowhere. The first time this takes minutes and needs the network;
/// later it takes a moment and needs nothing. It blocks: call it from a thread that may.
///
/// Two processes that call it at once share the work. A process that dies leaves what it had finished; its children
/// end with it.
///
/// # Errors
///
/// When a given folder does not exist, the cache cannot be used, or a program cannot be made.
pub fn obtain(options: &AssetOptions, progress: &dyn Fn(&Progress)) -> Result<Assets, AssetError> {
    let mut found: Vec<(Asset, PathBuf)> = Vec::new();
    for folder in &options.folders {
        look_in(folder, &mut found, progress)?;
    }
    let cache = Cache::new(&options.cache);
    let missing = look_in_cache(&cache, &mut found)?;
    if options.offline && !missing.is_empty() {
        return Err(AssetError::NotHere { missing });
    }
    if !missing.is_empty() {
        found.extend(make::make(&cache, &missing, progress)?);
    }
    let path = |asset| {
        found
            .iter()
            .find(|(other, _)| *other == asset)
            .map(|(_, path)| path.clone())
            .ok_or(AssetError::NotMade { asset })
    };
    Ok(Assets {
        etcd: path(Asset::Etcd)?,
        kube_apiserver: path(Asset::KubeApiserver)?,
        kube_controller_manager: path(Asset::KubeControllerManager)?,
        kube_scheduler: path(Asset::KubeScheduler)?,
        envoy: path(Asset::Envoy)?,
    })
}

/// What [`obtain`] would have to make.
///
/// # Errors
///
/// When a given folder does not exist or the cache cannot be read.
pub fn missing(options: &AssetOptions) -> Result<Vec<Asset>, AssetError> {
    let mut found = Vec::new();
    for folder in &options.folders {
        look_in(folder, &mut found, &|_| ())?;
    }
    look_in_cache(&Cache::new(&options.cache), &mut found)
}

/// Removes what processes that were killed while making assets left in the cache, and says what was removed. Does
/// nothing while another process is making assets.
///
/// # Errors
///
/// When the cache is there but cannot be read or written.
pub fn clean(cache: &Path) -> Result<Vec<PathBuf>, AssetError> {
    Cache::new(cache).clean()
}

fn lacking(found: &[(Asset, PathBuf)]) -> Vec<Asset> {
    let is_found = |asset: &Asset| found.iter().any(|(other, _)| other == asset);
    Asset::ALL
        .into_iter()
        .filter(|asset| !is_found(asset))
        .collect()
}

fn look_in(
    folder: &Path,
    found: &mut Vec<(Asset, PathBuf)>,
    progress: &dyn Fn(&Progress),
) -> Result<(), AssetError> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    if !folder.is_dir() {
        return Err(AssetError::NoSuchFolder { folder });
    }
    let mut missing = Vec::new();
    for asset in lacking(found) {
        let path = folder.join(asset.file_name());
        if is_program(&path) {
            progress(&Progress::Given {
                asset,
                folder: folder.clone(),
            });
            found.push((asset, path));
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
    found: &mut Vec<(Asset, PathBuf)>,
) -> Result<Vec<Asset>, AssetError> {
    let mut missing = Vec::new();
    for asset in lacking(found) {
        match cache.state(asset)? {
            State::Whole(path) => found.push((asset, path)),
            State::Absent | State::Damaged(_) => missing.push(asset),
        }
    }
    Ok(missing)
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
