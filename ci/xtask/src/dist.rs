//! The archive for machines without Rust and without this repository.
//!
//! One folder with the program, its images beside it (where it looks for them), completions, manual pages, README, LICENSE
//! and the checksums of all of them; as a tar, compressed, with a checksum beside it.

mod attempt;

use crate::{images, workspace};
use anyhow::{Context as _, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Shells that completions are written for.
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Files of the repository that belong to it.
const DOCUMENTS: [&str; 3] = ["README.md", "LICENSE", "CHANGELOG.md"];

/// Name of the file with the checksums, as `sha256sum --check` reads it.
const CHECKSUMS: &str = "SHA256SUMS";

/// Writes the archive; with `try_it` it is used as somebody would who has nothing else.
///
/// # Errors
///
/// When something cannot be built or written, or the archive does not work.
pub(crate) fn dist(try_it: bool) -> anyhow::Result<bool> {
    let program = workspace::build_program("meshproof")?;
    let images = images::images()?;
    let name = format!(
        "meshproof-{}-{}",
        env!("CARGO_PKG_VERSION"),
        target(&program)?
    );
    let dist = workspace::root().join("target/dist");
    let folder = dist.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder.join("images"))
        .with_context(|| format!("make {}", folder.display()))?;
    let mut copies = vec![(program.clone(), PathBuf::from("meshproof"))];
    for image in &images {
        let file = PathBuf::from(format!("images/{}.tar", image.name));
        copies.push((image.archive.clone(), file));
    }
    for document in DOCUMENTS {
        copies.push((workspace::root().join(document), PathBuf::from(document)));
    }
    for (from, to) in &copies {
        fs::copy(from, folder.join(to)).with_context(|| format!("copy {}", from.display()))?;
    }
    write_help(&folder)?;
    write_checksums(&folder)?;
    let archive = dist.join(format!("{name}.tar.gz"));
    pack(&folder, &name, &archive)?;
    let sum = format!("{}  {name}.tar.gz\n", sha256(&archive)?);
    let sums = dist.join(format!("{name}.tar.gz.sha256"));
    fs::write(&sums, sum).with_context(|| format!("write {}", sums.display()))?;
    println!("{}", archive.display());
    if try_it {
        attempt::attempt(&archive, &name)?;
    }
    Ok(true)
}

/// The target triple, from the folder that Cargo built the program into.
fn target(program: &Path) -> anyhow::Result<String> {
    let release = program.parent().and_then(Path::parent);
    release
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned())
        .context("find out for which target the program was built")
}

/// Manual pages and completions, as the program itself writes them.
fn write_help(folder: &Path) -> anyhow::Result<()> {
    let program = folder.join("meshproof");
    let completions = folder.join("completions");
    fs::create_dir_all(&completions).context("make the folder of completions")?;
    for shell in SHELLS {
        let script = output(Command::new(&program).args(["completions", shell]))?;
        let file = completions.join(format!("meshproof.{shell}"));
        fs::write(&file, script).with_context(|| format!("write {}", file.display()))?;
    }
    output(Command::new(&program).arg("man").arg(folder.join("man"))).map(drop)
}

fn output(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = command
        .output()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output.stdout)
}

/// Every file of the folder with its checksum.
fn write_checksums(folder: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    for file in files(folder, Path::new(""))? {
        let sum = sha256(&folder.join(&file))?;
        text.push_str(&format!("{sum}  {}\n", file.display()));
    }
    fs::write(folder.join(CHECKSUMS), text).context("write the checksums")
}

/// Files below a folder, relative to it, sorted.
fn files(folder: &Path, below: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let here = folder.join(below);
    let entries = fs::read_dir(&here).with_context(|| format!("read {}", here.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("read {}", here.display()))?;
        let path = below.join(entry.file_name());
        if entry.path().is_dir() {
            found.extend(files(folder, &path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn sha256(file: &Path) -> anyhow::Result<String> {
    let content = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let mut text = String::new();
    for byte in Sha256::digest(content) {
        text.push_str(&format!("{byte:02x}"));
    }
    Ok(text)
}

/// Packs the folder: the same content gives the same archive.
fn pack(folder: &Path, name: &str, archive: &Path) -> anyhow::Result<()> {
    let failed = || format!("write {}", archive.display());
    let file = File::create(archive).with_context(failed)?;
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    tar.mode(tar::HeaderMode::Deterministic);
    for file in files(folder, Path::new(""))? {
        tar.append_path_with_name(folder.join(&file), Path::new(name).join(&file))
            .with_context(failed)?;
    }
    let mut file = tar
        .into_inner()
        .and_then(GzEncoder::finish)
        .with_context(failed)?;
    file.flush().with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_name_every_file_and_the_archive_is_the_same_again() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let content = folder.path().join("content");
        fs::create_dir_all(content.join("b")).expect("it can be made");
        fs::write(content.join("b/c"), "abc").expect("it can be written");
        fs::write(content.join("a"), "").expect("it can be written");
        write_checksums(&content).expect("files can be read");
        let sums = fs::read_to_string(content.join(CHECKSUMS)).expect("it was written");
        assert_eq!(
            sums,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
             ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b/c\n"
        );
        let [one, other] = ["1", "2"].map(|name| folder.path().join(name));
        pack(&content, "x", &one).expect("it can be packed");
        pack(&content, "x", &other).expect("it can be packed again");
        assert_eq!(
            fs::read(one).expect("it is there"),
            fs::read(other).expect("it is there")
        );
    }
}
