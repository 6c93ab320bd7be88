//! Packed images, loaded into a store: what a kubelet sees, and what a damaged store does.

use harness_images::pack::{FileSpec, ImageSpec, pack};
use harness_images::store::{Store, StoreError};
use std::fs;
use std::path::{Path, PathBuf};

fn packed(folder: &Path, contents: &str) -> PathBuf {
    let source = folder.join(format!("program-{contents}"));
    fs::write(&source, contents).expect("write the program");
    let archive = folder.join(format!("image-{contents}.tar"));
    let spec = ImageSpec {
        reference: "meshproof/example:dev".to_owned(),
        files: vec![FileSpec {
            target: "/usr/bin/example".into(),
            source,
            mode: 0o755,
        }],
        folders: vec![("/tmp".into(), 0o1777)],
        entrypoint: vec!["/usr/bin/example".to_owned()],
        cmd: vec!["--flag".to_owned()],
        env: vec!["A=b=c".to_owned()],
    };
    pack(&spec, &archive).expect("pack");
    archive
}

fn program(store: &Store) -> String {
    let image = store.resolve("meshproof/example:dev").expect("resolve");
    fs::read_to_string(image.rootfs.join("usr/bin/example")).expect("read the program")
}

#[test]
fn a_loaded_image_is_found_by_any_form_of_its_name() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = Store::open(&folder.path().join("store")).expect("open");
    let digest = store.load(&packed(folder.path(), "one")).expect("load");
    let image = store
        .resolve("docker.io/meshproof/example:dev")
        .expect("resolve");
    assert_eq!(image.digest, digest);
    assert_eq!(image.entrypoint, ["/usr/bin/example"]);
    assert_eq!(image.cmd, ["--flag"]);
    assert_eq!(image.env, [("A".to_owned(), "b=c".to_owned())]);
    assert_eq!(image.working_dir, "/");
    assert!(matches!(
        store.resolve("meshproof/other:dev"),
        Err(StoreError::Unknown { reference }) if reference == "meshproof/other:dev"
    ));
}

#[test]
fn two_runs_may_mean_different_images_by_one_name() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = Store::open(&folder.path().join("store")).expect("open");
    let one = store.view(&folder.path().join("run-1")).expect("view");
    let two = store.view(&folder.path().join("run-2")).expect("view");
    one.load(&packed(folder.path(), "one")).expect("load");
    two.load_as(&packed(folder.path(), "two"), "meshproof/example:dev")
        .expect("load");
    assert_eq!(program(&one), "one");
    assert_eq!(
        program(&Store::open(&folder.path().join("run-2")).expect("open")),
        "two"
    );
    assert!(
        store.resolve("meshproof/example:dev").is_err(),
        "views name for themselves"
    );
}

#[test]
fn a_damaged_or_half_written_image_is_unpacked_again() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = Store::open(&folder.path().join("store")).expect("open");
    let archive = packed(folder.path(), "one");
    store.load(&archive).expect("load");
    let image = store.resolve("meshproof/example:dev").expect("resolve");

    fs::write(image.rootfs.join("usr/bin/example"), "").expect("truncate the program");
    store.load(&archive).expect("load over a truncated file");
    assert_eq!(program(&store), "one");

    let record = image.rootfs.with_file_name("config.json");
    fs::write(&record, "{").expect("truncate the record");
    let abandoned = folder.path().join("store/.unpacking-dead/rootfs");
    fs::create_dir_all(&abandoned).expect("leave a half-written image");
    store.load(&archive).expect("load over a truncated record");
    assert_eq!(program(&store), "one");
    assert!(!abandoned.exists(), "what a killed process left is removed");
}

#[test]
fn images_that_nobody_loads_any_more_are_removed_and_others_stay() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = Store::open(&folder.path().join("store")).expect("open");
    let mut records = Vec::new();
    for contents in ["old", "used"] {
        let archive = packed(folder.path(), contents);
        store.load(&archive).expect("load");
        let image = store.resolve("meshproof/example:dev").expect("resolve");
        records.push((archive, image.rootfs.with_file_name("config.json")));
    }
    for (_, record) in &records {
        let file = fs::File::open(record).expect("open");
        file.set_modified(std::time::SystemTime::UNIX_EPOCH)
            .expect("make it old");
    }
    store.load(&records[1].0).expect("load again");
    store
        .load(&packed(folder.path(), "new"))
        .expect("load another");
    assert!(!records[0].1.exists(), "nobody wanted it for a long time");
    assert!(records[1].1.exists(), "it was loaded again");
}

#[test]
fn a_damaged_archive_is_refused_and_leaves_no_image() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let archive = packed(folder.path(), "recognizable");
    let mut bytes = fs::read(&archive).expect("read the archive");
    let place = bytes
        .windows(12)
        .position(|part| part == b"recognizable")
        .expect("the layer is plain");
    bytes[place] ^= 1;
    fs::write(&archive, bytes).expect("damage the archive");
    let store = Store::open(&folder.path().join("store")).expect("open");
    let error = store.load(&archive).expect_err("a damaged archive");
    let source = std::error::Error::source(&error)
        .expect("a reason")
        .to_string();
    assert!(source.contains("damaged"), "{source}");
    assert!(store.resolve("meshproof/example:dev").is_err());
}

#[test]
fn what_is_no_archive_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = Store::open(&folder.path().join("store")).expect("open");
    for (name, contents) in [
        ("text.tar", &b"not a tar at all"[..]),
        ("image.tar.gz", &[0x1f, 0x8b, 8, 0, 0]),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, contents).expect("write");
        let error = store.load(&path).expect_err("no image");
        let source = std::error::Error::source(&error)
            .expect("a reason")
            .to_string();
        assert!(source.contains(name), "{source}");
    }
}
