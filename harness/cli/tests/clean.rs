//! `meshproof clean` where something cannot be removed.
//!
//! Folders in the shape of dead clusters stand for them: nothing here starts a cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Folders that nothing else uses, with the program to be run in them.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self { folder }
    }

    fn make(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = self.folder.path().join(path);
        fs::create_dir_all(&path).expect("a fresh folder can be written");
        path
    }

    /// The folder of a local cluster whose fabric is gone.
    fn dead_local(&self) -> PathBuf {
        let of_user = format!("tmp/meshproof-{}", nix::unistd::geteuid());
        self.make(Path::new(&of_user).join("old"))
    }

    /// `clean` on a machine without `kind`, or any other program.
    fn clean(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshproof"));
        for (name, _) in std::env::vars() {
            if name.starts_with("MESHPROOF_") || name == "KUBEBUILDER_ASSETS" {
                command.env_remove(name);
            }
        }
        let Output {
            status,
            stdout,
            stderr,
        } = command
            .arg("clean")
            .args(arguments)
            .env("TMPDIR", self.make("tmp"))
            .env("MESHPROOF_CACHE", self.make("cache"))
            .env("PATH", self.make("no-programs"))
            .output()
            .expect("the built program starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (status.code(), text(stdout), text(stderr))
    }
}

#[test]
fn a_kind_cluster_that_cannot_be_removed_holds_up_nothing_else_and_is_told() {
    let place = Place::new();
    let local = place.dead_local();
    let kind = [place.make("cache/kind/one"), place.make("cache/kind/two")];
    let (code, said, complaints) = place.clean(&[]);
    assert_eq!(code, Some(12), "{said}{complaints}");
    assert_eq!(said, format!("removed {}\n", local.display()));
    assert!(!local.exists());
    assert!(
        complaints.contains("\n  kind cluster one: "),
        "{complaints}"
    );
    assert!(
        complaints.contains("\n  kind cluster two: "),
        "{complaints}"
    );
    assert!(
        kind.iter().all(|folder| folder.exists()),
        "they say what is left"
    );

    let (code, said, _) = place.clean(&["-o", "json"]);
    assert_eq!(code, Some(12), "{said}");
    let told: serde_json::Value = serde_json::from_str(&said).expect("it is JSON");
    assert_eq!(told["left"].as_array().map(Vec::len), Some(2), "{told}");
}

#[test]
fn what_a_removal_on_kind_left_of_its_folder_goes_though_there_is_no_dead_cluster() {
    let place = Place::new();
    let discarded = place.make("cache/kind/.dead-1-one");
    let (code, said, complaints) = place.clean(&[]);
    assert_eq!(code, Some(0), "{said}{complaints}");
    assert!(!discarded.exists());
}
