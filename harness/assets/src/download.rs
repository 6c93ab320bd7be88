//! Official releases: where each program is published, with the checksum beside it.
//!
//! ```text
//! CACHE/assets/downloads.json     address → SHA-256, from the first use on
//! ```
//!
//! Invariant: a file is used only when its hash is the one that is published beside it, and the one that was noted when it
//! was first used. What cannot be reached is no error: programs are made from their sources then.

use crate::error::AssetError;
use crate::recipe::{KIND_VERSION, KUBERNETES_VERSION};
use crate::{Asset, Progress};
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The etcd release of the module that is built otherwise.
pub(crate) const ETCD_VERSION: &str = "v3.6.8";

/// How long a connection may take: who is not reached by then is taken for not being there, and sources are used.
const CONNECT: Duration = Duration::from_secs(3);

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Where hashes are noted, in the folder of assets.
const NOTES: &str = "downloads.json";

/// Where official releases come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Downloads {
    /// From where they are published.
    #[default]
    Official,
    /// From a server that has them below `BASE/HOST/PATH`, for example `https://mirror.example/dl.k8s.io/v1.36.3/...`.
    Mirror(String),
    /// From nowhere: everything is made from sources.
    Off,
}

impl Downloads {
    /// `MESHPROOF_DOWNLOADS`: absent or `official`, `off`, or the address of a mirror.
    ///
    /// # Errors
    ///
    /// Another word: whoever wrote it did not mean to download from where releases are published.
    pub fn from_environment() -> Result<Self, AssetError> {
        let word = std::env::var("MESHPROOF_DOWNLOADS").unwrap_or_default();
        Self::from_word(&word).ok_or(AssetError::Downloads { word })
    }

    fn from_word(word: &str) -> Option<Self> {
        match word {
            "" | "official" => Some(Self::Official),
            "off" => Some(Self::Off),
            mirror if mirror.contains("://") => Some(Self::Mirror(mirror.to_owned())),
            _ => None,
        }
    }

    fn address(&self, place: &str) -> Option<String> {
        match self {
            Self::Official => Some(format!("https://{place}")),
            Self::Mirror(base) => Some(format!("{}/{place}", base.trim_end_matches('/'))),
            Self::Off => None,
        }
    }
}

/// A published file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    /// Host and path.
    place: String,
    /// Host and path of the file with its SHA-256: the hash alone, or lines of hashes and names.
    checksums: String,
    /// The file in the archive; none where the published file is the program.
    member: Option<String>,
}

/// Where an asset is published for this machine; none where it is not.
pub(crate) fn release(asset: Asset) -> Option<Release> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        _ => return None,
    };
    match asset {
        Asset::KubeApiserver
        | Asset::KubeControllerManager
        | Asset::KubeScheduler
        | Asset::Kubelet
        | Asset::Kubeadm
        | Asset::Kubectl
        | Asset::KubeProxy => {
            let place = format!("dl.k8s.io/{KUBERNETES_VERSION}/bin/linux/{architecture}/{asset}");
            Some(Release {
                checksums: format!("{place}.sha256"),
                place,
                member: None,
            })
        }
        Asset::Etcd => {
            let folder = format!("github.com/etcd-io/etcd/releases/download/{ETCD_VERSION}");
            let name = format!("etcd-{ETCD_VERSION}-linux-{architecture}");
            Some(Release {
                place: format!("{folder}/{name}.tar.gz"),
                checksums: format!("{folder}/SHA256SUMS"),
                member: Some(format!("{name}/etcd")),
            })
        }
        Asset::Kind => {
            let folder = "github.com/kubernetes-sigs/kind/releases/download";
            let place = format!("{folder}/{KIND_VERSION}/kind-linux-{architecture}");
            Some(Release {
                checksums: format!("{place}.sha256sum"),
                place,
                member: None,
            })
        }
        // Envoy comes as a wheel whose hash is pinned here, which says more than a checksum that comes from where the file
        // comes from; the others are built in seconds.
        _ => None,
    }
}

/// Fetches releases for one call of [`crate::obtain_each`].
pub(crate) struct Downloader<'a> {
    downloads: &'a Downloads,
    notes: PathBuf,
    runtime: Option<tokio::runtime::Runtime>,
    client: Option<reqwest::Client>,
    /// A server was not reached: the others are not tried either.
    is_sealed: bool,
}

/// Why a release was not fetched.
enum Refusal {
    /// There is no way to it, or it is not there.
    NotReached(String),
    /// It is there, and must not be used.
    Wrong(AssetError),
}

impl<'a> Downloader<'a> {
    /// Notes hashes in `folder`, which is that of the assets.
    pub(crate) fn new(downloads: &'a Downloads, folder: &Path) -> Self {
        Self {
            downloads,
            notes: folder.join(NOTES),
            runtime: None,
            client: None,
            is_sealed: false,
        }
    }

    /// Fetches the program into `workshop`; none where it is not published or not reached.
    ///
    /// # Errors
    ///
    /// When what came is not what is published, or is not what came the first time.
    pub(crate) fn fetch(
        &mut self,
        asset: Asset,
        workshop: &Path,
        progress: &dyn Fn(&Progress),
    ) -> Result<Option<PathBuf>, AssetError> {
        let Some(release) = release(asset).filter(|_| !self.is_sealed) else {
            return Ok(None);
        };
        let addresses = (
            self.downloads.address(&release.place),
            self.downloads.address(&release.checksums),
        );
        let (Some(address), Some(checksums)) = addresses else {
            return Ok(None);
        };
        let told = |detail: String| progress(&Progress::Activity { asset, detail });
        told(format!("downloading {address}"));
        match self.fetch_release(asset, &release, &address, &checksums, workshop) {
            Ok(program) => Ok(Some(program)),
            Err(Refusal::NotReached(reason)) => {
                self.is_sealed = true;
                progress(&Progress::NotReached {
                    asset,
                    address,
                    reason,
                });
                Ok(None)
            }
            Err(Refusal::Wrong(error)) => Err(error),
        }
    }

    fn fetch_release(
        &mut self,
        asset: Asset,
        release: &Release,
        address: &str,
        checksums: &str,
        workshop: &Path,
    ) -> Result<PathBuf, Refusal> {
        let published = String::from_utf8_lossy(&self.get(checksums)?).into_owned();
        let name = release.place.rsplit('/').next().unwrap_or_default();
        let wanted = hash_of(&published, name).ok_or_else(|| {
            Refusal::NotReached(format!("{checksums} does not tell the hash of {name}"))
        })?;
        let content = self.get(address)?;
        let actual = crate::cache::hex(&Sha256::digest(&content));
        let mut notes = self.notes();
        let noted = notes.get(&release.place).cloned();
        for expected in [Some(wanted), noted].into_iter().flatten() {
            if actual != expected {
                return Err(Refusal::Wrong(AssetError::WrongDownload {
                    asset,
                    address: address.to_owned(),
                    expected,
                    actual,
                }));
            }
        }
        let program = workshop.join(asset.file_name());
        write_program(&content, release.member.as_deref(), &program)
            .map_err(AssetError::cache(&program))
            .map_err(Refusal::Wrong)?;
        notes.insert(release.place.clone(), actual);
        self.note(&notes)
            .map_err(AssetError::cache(&self.notes))
            .map_err(Refusal::Wrong)?;
        Ok(program)
    }

    fn get(&mut self, address: &str) -> Result<Vec<u8>, Refusal> {
        if self.client.is_none() {
            // Fails only when a provider is installed already, which is what is wanted.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let client = reqwest::Client::builder()
                .connect_timeout(CONNECT)
                .read_timeout(SILENCE)
                .build();
            self.client = Some(client.map_err(|error| not_reached(&error))?);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            self.runtime = Some(runtime.map_err(|error| not_reached(&error))?);
        }
        let (Some(client), Some(runtime)) = (&self.client, &self.runtime) else {
            return Err(Refusal::NotReached("there is no client".to_owned()));
        };
        let answer = runtime.block_on(async {
            let response = client.get(address).send().await?.error_for_status()?;
            response.bytes().await
        });
        answer
            .map(|bytes| bytes.to_vec())
            .map_err(|error| not_reached(&error))
    }

    /// The hashes of what was used before; what is not readable was not written by us.
    fn notes(&self) -> BTreeMap<String, String> {
        fs::read_to_string(&self.notes)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default()
    }

    fn note(&self, notes: &BTreeMap<String, String>) -> io::Result<()> {
        let new = self.notes.with_extension("new");
        fs::write(&new, serde_json::to_string_pretty(notes)? + "\n")?;
        fs::rename(new, &self.notes)
    }
}

/// An error with its causes.
fn not_reached(error: &dyn std::error::Error) -> Refusal {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    Refusal::NotReached(text)
}

/// The hash of a file in a list of hashes and names, or the one hash that is all there is.
fn hash_of(text: &str, name: &str) -> Option<String> {
    let is_hash = |word: &str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let hash = match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        [hash] => Some(*hash),
        _ => text.lines().find_map(|line| {
            let (hash, file) = line.split_once(char::is_whitespace)?;
            (file.trim_start_matches([' ', '*']) == name).then_some(hash)
        }),
    };
    hash.filter(|hash| is_hash(hash)).map(str::to_lowercase)
}

fn write_program(content: &[u8], member: Option<&str>, program: &Path) -> io::Result<()> {
    let Some(member) = member else {
        return fs::write(program, content);
    };
    let mut archive = tar::Archive::new(GzDecoder::new(content));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.path()?.as_ref() == Path::new(member) {
            let mut file = fs::File::create(program)?;
            return io::copy(&mut entry, &mut file).map(drop);
        }
    }
    let reason = format!("there is no `{member}` in the archive");
    Err(io::Error::new(io::ErrorKind::InvalidData, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_found_by_name_or_alone() {
        let (one, other) = ("a".repeat(64), "B".repeat(64));
        assert_eq!(hash_of(&format!("{one}\n"), "x"), Some(one.clone()));
        let list = format!("{one}  x.zip\n{other} *x\n");
        assert_eq!(hash_of(&list, "x"), Some("b".repeat(64)));
        assert_eq!(hash_of(&list, "y"), None);
        assert_eq!(hash_of("<html>", "x"), None);
    }

    #[test]
    fn a_word_that_is_not_known_is_no_leave_to_download() {
        let of = Downloads::from_word;
        assert_eq!(of(""), Some(Downloads::Official));
        assert_eq!(of("official"), Some(Downloads::Official));
        assert_eq!(of("off"), Some(Downloads::Off));
        let mirror = "https://mirror.example".to_owned();
        assert_eq!(of(&mirror), Some(Downloads::Mirror(mirror)));
        assert_eq!(
            (of("OFF"), of("none"), of("mirror.example")),
            (None, None, None)
        );
    }

    #[test]
    fn the_versions_are_those_that_are_built() {
        let go_mod = include_str!("../go/kubernetes/go.mod");
        assert!(go_mod.contains(&format!("go.etcd.io/etcd/server/v3 {ETCD_VERSION} ")));
    }
}
