//! The node image for kind, where no image registry can be reached: made of Debian packages and of programs built from
//! pinned Go modules (`kind-config/node-image`).
//!
//! Invariant: everything that decides what is in the image is in its key, which is part of its name: a changed recipe
//! is a new image, an unchanged one is never made twice.

mod archive;
mod build;
mod images;

use crate::engine::Engine;
use crate::{system, workspace};
use anyhow::{Context as _, bail};
use harness_assets::cache::{Cache, Content, Entry, State, hex};
use harness_assets::{Asset, KUBERNETES_VERSION};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The name without the tag.
const REPOSITORY: &str = "meshproof/node";

/// The archive in the cache.
const FILE_NAME: &str = "node.tar.zst";

/// How many archives are kept, so that branches with different recipes do not take turns in making them.
const KEPT: usize = 3;

/// What is in the key beside the files of the recipe: the order of things.
const SOURCES: [&str; 3] = [
    include_str!("node_image/archive.rs"),
    include_str!("node_image/build.rs"),
    include_str!("node_image/images.rs"),
];

/// What loads the image, and the Debian package that brings it.
const NEEDED_TO_LOAD: [(&str, &str); 1] = [("zstd", "zstd")];

/// What makes the image, and the Debian packages that bring it.
const NEEDED_TO_MAKE: [(&str, &str); 5] = [
    ("debootstrap", "debootstrap"),
    ("zstd", "zstd"),
    ("cc", "gcc"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
];

/// What the image is made of, and what it is therefore called.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// The folder with its files.
    folder: PathBuf,
    /// Stands for everything that decides what comes out.
    key: String,
    /// Stands for everything that decides what the root file system of Debian is.
    debian_key: String,
}

impl Recipe {
    fn read() -> anyhow::Result<Self> {
        const PATH: &str = "kind-config/node-image";
        let root = workspace::root();
        let mut all = Sha256::new();
        for file in workspace::tracked(PATH)? {
            let text =
                fs::read(root.join(&file)).with_context(|| format!("read {}", file.display()))?;
            all.update(format!("{} {}\n", file.display(), text.len()));
            all.update(text);
        }
        for source in SOURCES {
            all.update(source);
        }
        all.update(harness_assets::fingerprint(&Asset::NODE));
        all.update(std::env::consts::ARCH);
        let folder = root.join(PATH);
        let mut debian = Sha256::new();
        debian.update(fs::read(folder.join("debian.sh")).context("read debian.sh")?);
        debian.update(std::env::consts::ARCH);
        Ok(Self {
            folder,
            key: short_hex(all),
            debian_key: short_hex(debian),
        })
    }

    /// The name of the image.
    fn reference(&self) -> String {
        format!("{REPOSITORY}:{KUBERNETES_VERSION}-{}", self.key)
    }

    /// The archive in the cache.
    fn entry(&self) -> Entry {
        Entry {
            file_name: FILE_NAME.to_owned(),
            fingerprint: self.key.clone(),
            content: Content::Data,
        }
    }
}

/// Enough of a hash to never meet another.
fn short_hex(hash: Sha256) -> String {
    hex(&hash.finalize()[..6])
}

/// Makes sure that the engine has the node image and the cache the program `kind`, and says the image's name. The first
/// time this takes many minutes and the network; later it takes seconds, or nothing.
///
/// # Errors
///
/// [`CannotHere`](system::CannotHere) when the image is not there and this machine cannot make it; others when making
/// or loading it fails.
pub(crate) fn ensure(engine: &Engine, install: bool) -> anyhow::Result<String> {
    crate::images::kind()?;
    let recipe = Recipe::read()?;
    let reference = recipe.reference();
    if is_loaded(engine, &reference)? {
        return Ok(reference);
    }
    require_programs(&NEEDED_TO_LOAD, install)?;
    let archive = archive(&recipe, install)?;
    let Err(error) = load(engine, &archive, &reference) else {
        return Ok(reference);
    };
    // A disk that lost a piece of it is found out by reading all of it, which is not done each time.
    match cache()?.verify(&recipe.entry())? {
        State::Whole(_) => Err(error),
        State::Damaged(_) | State::Absent => {
            load(engine, &self::archive(&recipe, install)?, &reference)?;
            Ok(reference)
        }
    }
}

fn require_programs(needed: &[(&str, &str)], install: bool) -> anyhow::Result<()> {
    system::require_programs(needed, install).map_err(|error| {
        system::CannotHere::because(format!("there is no node image for kind, and {error:#}"))
    })
}

fn cache() -> anyhow::Result<Cache> {
    Ok(Cache::new(&harness_assets::cache_folder()?, "node-image"))
}

/// Does what [`ensure`] does by another process that gives way to all others, so that it can be done while scenarios run, for
/// `limit` at most. What keeps it from being made [`ensure`] says to whoever needs it.
pub(crate) fn make_in_background(install: bool, limit: Option<Duration>) {
    let Ok(this) = std::env::current_exe() else {
        return;
    };
    // No time at all would be no limit.
    let seconds = limit.map_or(0, |limit| limit.as_secs().max(1));
    let mut command = Command::new("timeout");
    command
        .arg(format!("{seconds}s"))
        .args(["nice", "-n", "19"])
        .arg(this)
        .arg("node-image");
    if !install {
        command.arg("--no-install");
    }
    match command.stdout(Stdio::null()).status() {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("node image: it was not made in the background: {status}"),
        Err(error) => eprintln!("node image: it was not made in the background: {error}"),
    }
}

/// `cargo xtask node-image`: loads the image, or writes its archive to a file.
pub(crate) fn node_image(output: Option<&Path>, install: bool) -> anyhow::Result<bool> {
    let Some(output) = output else {
        let engine = crate::engine::ensure(install)?;
        println!("{}", ensure(&engine, install)?);
        return Ok(true);
    };
    let recipe = Recipe::read()?;
    let archive = archive(&recipe, install)?;
    fs::copy(&archive, output).with_context(|| format!("write {}", output.display()))?;
    println!("{} {}", recipe.reference(), output.display());
    Ok(true)
}

/// The archive of the image: from the cache, else made. Processes that want it at once share the work.
fn archive(recipe: &Recipe, install: bool) -> anyhow::Result<PathBuf> {
    let cache = cache()?;
    if let State::Whole(archive) = cache.state(&recipe.entry())? {
        return Ok(archive);
    }
    system::require_rights("make a node image")?;
    require_programs(&NEEDED_TO_MAKE, install)?;
    let lock = cache.lock(|process| {
        let process = process.map_or("another process".to_owned(), |id| format!("process {id}"));
        eprintln!("node image: {process} is making it; waiting for it");
    })?;
    cache.sweep(&lock)?;
    match cache.state(&recipe.entry())? {
        // Whoever had the lock before us has made it.
        State::Whole(archive) => return Ok(archive),
        State::Damaged(reason) => {
            eprintln!("node image: the one in the cache is damaged ({reason}); making it again");
        }
        State::Absent => {}
    }
    let workshop = cache.workshop(&lock)?;
    let made = build::build(recipe, &cache, &lock, workshop.path())?;
    let archive = cache.adopt(&recipe.entry(), &made, &lock)?;
    cache.keep_newest(FILE_NAME, KEPT, &lock)?;
    Ok(archive)
}

fn is_loaded(engine: &Engine, reference: &str) -> anyhow::Result<bool> {
    let status = engine
        .docker()
        .args(["image", "inspect", reference])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("start docker")?;
    Ok(status.success())
}

fn load(engine: &Engine, archive: &Path, reference: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    eprintln!("node image: loading {reference}");
    let mut unpack = Command::new("zstd")
        .args(["--decompress", "--stdout", "--quiet"])
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn()
        .context("start zstd")?;
    let input = unpack.stdout.take().context("zstd has no output")?;
    let output = engine
        .docker()
        .args(["load", "--quiet"])
        .stdin(input)
        .output()
        .context("start docker")?;
    let unpacked = unpack.wait().context("wait for zstd")?;
    if !unpacked.success() || !output.status.success() {
        bail!(
            "load {}: zstd ended with {unpacked}, docker with {}: {}",
            archive.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    if !is_loaded(engine, reference)? {
        bail!("{} brought no {reference}", archive.display());
    }
    eprintln!(
        "node image: loaded [{:.1}s]",
        started.elapsed().as_secs_f32()
    );
    Ok(())
}
