//! A dynamic program and the files found for it are all that an image needs.

use harness_images::closure::closure;
use harness_images::pack::{FileSpec, ImageSpec, pack};
use harness_images::store::Store;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packs a program of this machine, unpacks it, and runs it with that folder as its root.
fn run_in_image(program: &Path, arguments: &[&str]) -> std::process::Output {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut files = closure(program).expect("its libraries are on this machine");
    files.push(FileSpec {
        target: "/program".into(),
        source: program.to_owned(),
        mode: 0o755,
    });
    let archive = folder.path().join("image.tar");
    let spec = ImageSpec {
        reference: "meshproof/example:dev".to_owned(),
        files,
        folders: Vec::new(),
        entrypoint: vec!["/program".to_owned()],
        cmd: Vec::new(),
        env: Vec::new(),
    };
    pack(&spec, &archive).expect("pack");
    let store = Store::open(&folder.path().join("store")).expect("open");
    store.load(&archive).expect("load");
    let image = store.resolve("meshproof/example:dev").expect("resolve");
    Command::new("unshare")
        .args(["--user", "--map-root-user", "chroot"])
        .arg(&image.rootfs)
        .arg(&image.entrypoint[0])
        .args(arguments)
        .output()
        .expect("start unshare")
}

#[test]
fn a_shell_runs_with_nothing_but_its_closure() {
    let shell = PathBuf::from("/bin/sh").canonicalize().expect("a shell");
    let output = run_in_image(&shell, &["-c", "echo it runs"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "it runs\n",
        "{output:?}"
    );
}
