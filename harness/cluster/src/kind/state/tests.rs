//! Whose a cluster is, told from its folder.

use super::*;

fn states(cache: &Path) -> Vec<(String, State)> {
    list(cache)
        .into_iter()
        .map(|listed| (listed.name, listed.state))
        .collect()
}

fn engine() -> Identity {
    Identity {
        program: "docker".to_owned(),
        address: None,
        id: Some("one".to_owned()),
    }
}

fn keep(folder: &Folder) {
    let description = Description {
        topology: crate::topology::load("one-zone").unwrap(),
        started: jiff::Timestamp::now(),
        part_of: None,
    };
    folder.keep(&description).unwrap();
}

#[test]
fn a_cluster_is_in_use_then_kept_or_dead() {
    let cache = tempfile::tempdir().unwrap();
    let one = Folder::create(cache.path(), "one").unwrap();
    let two = Folder::create(cache.path(), "two").unwrap();
    assert_eq!(
        states(cache.path()),
        [
            ("one".to_owned(), State::InUse),
            ("two".to_owned(), State::InUse)
        ]
    );
    assert!(Folder::create(cache.path(), "one").is_err(), "it is taken");
    keep(&one);
    drop((one, two));
    assert_eq!(
        states(cache.path()),
        [
            ("one".to_owned(), State::Kept),
            ("two".to_owned(), State::Dead)
        ]
    );
    let error = Folder::create(cache.path(), "one").unwrap_err();
    assert!(error.hint.unwrap().contains("cluster down one"));
    let two = Folder::create(cache.path(), "two").unwrap();
    assert!(
        Folder::take_dead(two.path()).is_none(),
        "it has an owner again"
    );
    drop(two);
    let dead = list(cache.path()).remove(1);
    Folder::take_dead(&dead.folder).unwrap().remove();
    assert!(Folder::take_dead(&of(cache.path(), "one")).is_none());
    assert_eq!(states(cache.path()), [("one".to_owned(), State::Kept)]);
}

#[test]
fn a_kept_cluster_that_is_used_is_not_removed_and_one_whose_removal_was_broken_off_is_dead() {
    let cache = tempfile::tempdir().unwrap();
    let path = of(cache.path(), "one");
    let missing = Folder::use_kept(&path).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    let made = Folder::create(cache.path(), "one").unwrap();
    keep(&made);
    let busy = Folder::use_kept(&path).unwrap_err();
    assert_eq!(
        busy.kind(),
        io::ErrorKind::ResourceBusy,
        "its maker runs on it"
    );
    drop(made);
    let user = Folder::use_kept(&path).unwrap();
    let busy = Folder::use_kept(&path).unwrap_err();
    assert_eq!(
        busy.kind(),
        io::ErrorKind::ResourceBusy,
        "one at a time uses it"
    );
    let busy = Folder::end_kept(&path, &engine()).unwrap_err();
    assert!(busy.hint.unwrap().contains("wait"));
    assert_eq!(states(cache.path()), [("one".to_owned(), State::Kept)]);
    assert!(list(cache.path())[0].in_use);
    drop(user);
    assert!(!list(cache.path())[0].in_use);
    let ending = Folder::end_kept(&path, &engine()).unwrap();
    assert_eq!(states(cache.path()), [("one".to_owned(), State::Kept)]);
    ending.end();
    assert_eq!(states(cache.path()), [("one".to_owned(), State::InUse)]);
    drop(ending);
    assert_eq!(states(cache.path()), [("one".to_owned(), State::Dead)]);
}

#[test]
fn a_cluster_is_ours_once_what_kind_is_told_stands_in_its_folder() {
    let cache = tempfile::tempdir().unwrap();
    let folder = Folder::create(cache.path(), "one").unwrap();
    assert!(!folder.is_begun());
    folder.begin("kind: Cluster", &engine()).unwrap();
    drop(folder);
    let path = of(cache.path(), "one");
    let folder = Folder::take_dead(&path).unwrap();
    assert!(folder.is_begun());
    folder.must_be_of(&engine()).unwrap();
    // A folder where the file should be: it cannot be written.
    let other = Folder::create(cache.path(), "two").unwrap();
    fs::create_dir(other.path().join("kind.yaml.new")).unwrap();
    let error = other.begin("kind: Cluster", &engine()).unwrap_err();
    assert!(error.hint.unwrap().contains("MESHPROOF_CACHE"));
    assert!(!other.is_begun());
}

#[test]
fn a_removal_that_was_broken_off_is_no_cluster_and_is_swept() {
    let cache = tempfile::tempdir().unwrap();
    let left = base(cache.path()).join(".dead-1-one");
    fs::create_dir_all(&left).unwrap();
    assert_eq!(states(cache.path()), []);
    sweep_discarded(cache.path());
    assert!(!left.exists());
}
