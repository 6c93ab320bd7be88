//! What the cache notices and what it forgets.

use super::{Cache, Content, Entry, State, read_manifest};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

fn entry(fingerprint: &str) -> Entry {
    Entry {
        file_name: "etcd".to_owned(),
        fingerprint: fingerprint.to_owned(),
        content: Content::Program,
    }
}

fn adopt(cache: &Cache, entry: &Entry) -> PathBuf {
    let lock = cache.lock(|_| ()).unwrap();
    let program = cache.folder.join("made");
    fs::write(&program, "program").unwrap();
    cache.adopt(entry, &program, &lock).unwrap()
}

fn adopted(folder: &Path) -> (Cache, PathBuf) {
    let cache = Cache::new(folder, "assets");
    let path = adopt(&cache, &entry("inputs"));
    (cache, path)
}

fn damage(cache: &Cache) -> String {
    match cache.state(&entry("inputs")).unwrap() {
        State::Damaged(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_program_is_whole_until_it_is_touched_and_after_a_harmless_touch() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, path) = adopted(folder.path());
    assert_eq!(
        cache.state(&entry("inputs")).unwrap(),
        State::Whole(path.clone())
    );
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(
        cache.state(&entry("inputs")).unwrap(),
        State::Whole(path.clone())
    );
    let manifest = read_manifest(path.parent().unwrap()).unwrap();
    assert_eq!(
        manifest.modified_seconds, 0,
        "the hash is not computed each time"
    );
}

#[test]
fn truncated_changed_removed_and_half_written_entries_are_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, path) = adopted(folder.path());
    fs::write(&path, "pro").unwrap();
    assert_eq!(damage(&cache), "it has 3 bytes instead of 7");
    fs::write(&path, "PROGRAM").unwrap();
    assert_eq!(damage(&cache), "its contents have changed");
    fs::remove_file(&path).unwrap();
    assert_eq!(damage(&cache), "the file is not there");
    fs::write(path.with_file_name("manifest.json"), "{").unwrap();
    assert_eq!(damage(&cache), "its manifest is not readable");
    let (cache, path) = adopted(folder.path());
    assert_eq!(
        cache.state(&entry("inputs")).unwrap(),
        State::Whole(path),
        "a new one takes its place"
    );
}

#[test]
fn rubbish_is_removed_only_while_nobody_is_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, _) = adopted(folder.path());
    let lock = cache.lock(|_| ()).unwrap();
    let rubbish = cache.workshop(&lock).unwrap().keep();
    assert!(cache.clean().unwrap().is_empty());
    assert!(rubbish.exists());
    drop(lock);
    assert_eq!(cache.clean().unwrap(), std::slice::from_ref(&rubbish));
    assert!(!rubbish.exists());
}

#[test]
fn data_need_not_be_executable() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path(), "data");
    let data = Entry {
        content: Content::Data,
        ..entry("inputs")
    };
    let path = adopt(&cache, &data);
    assert_eq!(cache.state(&data).unwrap(), State::Whole(path));
    assert_eq!(damage(&cache), "it is not executable");
}

#[test]
fn the_newest_stay() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path(), "assets");
    let paths = ["a", "b", "c"].map(|fingerprint| adopt(&cache, &entry(fingerprint)));
    for (path, age) in paths.iter().zip([2, 1, 3]) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(age);
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    }
    let lock = cache.lock(|_| ()).unwrap();
    cache.keep_newest("etcd", 2, &lock).unwrap();
    cache.keep_newest("another", 0, &lock).unwrap();
    assert_eq!(paths.map(|path| path.exists()), [true, false, true]);
    assert!(cache.clean().unwrap().is_empty(), "and no rubbish");
}

#[test]
fn contents_that_changed_behind_the_back_of_the_clock_are_found_out_by_reading() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, path) = adopted(folder.path());
    let whole = State::Whole(path.clone());
    assert_eq!(cache.verify(&entry("inputs")).unwrap(), whole);
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "PROGRAM").unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(time).unwrap();
    assert_eq!(cache.state(&entry("inputs")).unwrap(), whole, "at a glance");
    let damaged = State::Damaged("its contents have changed".to_owned());
    assert_eq!(cache.verify(&entry("inputs")).unwrap(), damaged);
    assert_eq!(
        damage(&cache),
        "its manifest is not readable",
        "and it stays so"
    );
}
