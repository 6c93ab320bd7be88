//! The archive used as on another machine: an empty folder, another home, no variables, nothing on the path but what the
//! system has, and folders that are empty where this repository and Rust are.

use super::{CHECKSUMS, SHELLS};
use crate::{images, workspace};
use anyhow::{Context as _, bail, ensure};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the system has its programs.
const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A scenario that takes seconds.
const SCENARIO: &str = "delivery-scope/data-center";

/// A script that puts empty folders over others and then becomes what follows `--`. A folder in another one that is hidden is
/// gone already.
const HIDE: &str = r#"
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then
        mount -t tmpfs -o ro nothing "$1"
        test -z "$(ls -A "$1")"
    fi
    shift
done
shift
exec "$@"
"#;

/// Unpacks the archive, checks its checksums, looks for what helps people, and runs a scenario. The programs of the cluster are
/// given by `--assets`; Envoy is not: the archive has it in the image of the sidecar.
///
/// # Errors
///
/// When anything of that fails.
pub(super) fn attempt(archive: &Path, name: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("make an empty folder")?;
    let hidden = of_repository_and_rust();
    ensure!(
        !is_below(folder.path(), &hidden),
        "{} is to be hidden with the repository and Rust",
        folder.path().display()
    );
    let home = folder.path().join("home");
    let assets = folder.path().join("assets");
    fs::create_dir_all(&home).context("make another home")?;
    give_assets(&assets, &hidden)?;
    let packed = File::open(archive).with_context(|| format!("open {}", archive.display()))?;
    tar::Archive::new(flate2::read::GzDecoder::new(packed))
        .unpack(folder.path())
        .context("unpack the archive")?;
    let unpacked = folder.path().join(name);
    run(
        "check the checksums",
        Command::new("sha256sum").args(["--check", "--quiet", CHECKSUMS]),
        &unpacked,
        &home,
    )?;
    look_for_help(&unpacked)?;
    run(
        "run a scenario",
        without(&hidden, &unpacked.join("meshproof"))
            .args(["run", SCENARIO, "--offline", "--assets"])
            .arg(&assets),
        folder.path(),
        &home,
    )?;
    println!("the archive works: {SCENARIO} passed");
    Ok(())
}

/// Completions for every shell and manual pages, with something in them and with their checksums.
fn look_for_help(unpacked: &Path) -> anyhow::Result<()> {
    let sums = fs::read_to_string(unpacked.join(CHECKSUMS)).context("read the checksums")?;
    let completions = SHELLS.map(|shell| format!("completions/meshproof.{shell}"));
    let pages = ["meshproof", "meshproof-run"].map(|page| format!("man/{page}.1"));
    for file in completions.iter().chain(&pages) {
        let text = fs::read_to_string(unpacked.join(file))
            .with_context(|| format!("read {file} of the archive"))?;
        ensure!(text.contains("meshproof"), "{file} says nothing of it");
        let sum = format!("  {file}");
        let has_sum = sums.lines().any(|line| line.ends_with(&sum));
        ensure!(has_sum, "{file} has no checksum");
    }
    Ok(())
}

fn run(what: &str, command: &mut Command, folder: &Path, home: &Path) -> anyhow::Result<()> {
    let status = command
        .env_clear()
        .env("PATH", SYSTEM_PATH)
        .env("HOME", home)
        .current_dir(folder)
        .status()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{what}: {status}");
    }
    Ok(())
}

/// Where this repository is, and Cargo and the toolchains as rustup keeps them.
fn of_repository_and_rust() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut folders = vec![workspace::root()];
    for (variable, usual) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        folders.extend(std::env::var_os(variable).map(PathBuf::from));
        folders.extend(home.as_ref().map(|home| home.join(usual)));
    }
    folders
}

/// The program where these folders are empty: in namespaces of its own for users and mounts, of which nothing is left when it ends.
fn without(folders: &[PathBuf], program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "--"])
        .args(["sh", "-e", "-c", HIDE, "sh"])
        .args(folders)
        .arg("--")
        .arg(program);
    command
}

fn is_below(path: &Path, folders: &[PathBuf]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

/// Links the programs of the cluster, and copies those that a link would lead to in vain.
fn give_assets(folder: &Path, hidden: &[PathBuf]) -> anyhow::Result<()> {
    let assets = images::assets()?;
    fs::create_dir_all(folder).context("make a folder of assets")?;
    for (name, program) in [
        ("etcd", assets.etcd),
        ("kube-apiserver", assets.kube_apiserver),
        ("kube-controller-manager", assets.kube_controller_manager),
        ("kube-scheduler", assets.kube_scheduler),
    ] {
        let place = folder.join(name);
        let given = if is_below(&program, hidden) {
            fs::copy(&program, place).map(drop)
        } else {
            symlink(&program, place)
        };
        given.with_context(|| format!("take {}", program.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_looked_for_file_by_file() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let unpacked = folder.path();
        let files = [
            "completions/meshproof.bash",
            "completions/meshproof.zsh",
            "completions/meshproof.fish",
            "man/meshproof.1",
            "man/meshproof-run.1",
        ];
        let write = |file: &str, text: &str| {
            fs::write(unpacked.join(file), text).expect("it can be written");
        };
        for sub in ["completions", "man"] {
            fs::create_dir(unpacked.join(sub)).expect("it can be made");
        }
        let sums = files.map(|file| format!("0  {file}\n")).concat();
        write(CHECKSUMS, &sums);
        for file in files {
            write(file, "about meshproof");
        }
        look_for_help(unpacked).expect("everything is there");
        for file in files {
            write(file, "");
            assert!(look_for_help(unpacked).is_err(), "{file} is empty");
            fs::remove_file(unpacked.join(file)).expect("it is there");
            assert!(look_for_help(unpacked).is_err(), "{file} is missing");
            write(file, "about meshproof");
            write(CHECKSUMS, &sums.replace(file, "other"));
            assert!(look_for_help(unpacked).is_err(), "{file} has no checksum");
            write(CHECKSUMS, &sums);
        }
    }

    #[test]
    fn a_path_is_below_a_folder_and_not_beside_it() {
        let hidden = [PathBuf::from("/home/me/mesh")];
        assert!(is_below(Path::new("/home/me/mesh/target/x"), &hidden));
        assert!(!is_below(Path::new("/home/me/meshproof"), &hidden));
    }
}
