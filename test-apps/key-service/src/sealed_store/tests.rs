//! The store in a folder of a real disk: closed and opened again, with the wrong key, damaged, and what its signatures are worth.

use super::*;
use crate::behaviour::Faithful;
use crate::keep::folder::{FILE, Folder, TEMPORARY};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use x509_parser::prelude::FromDer as _;

fn open(folder: &Path, byte: u8) -> Result<SealedStore<Folder>, OpenStoreError> {
    let master = MasterKey::new(vec![byte; 32]).expect("long enough");
    SealedStore::open(Folder::take(folder)?, master, &Faithful)
}

fn name(name: &str) -> KeyName {
    name.parse().expect("a name")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn keys_are_there_when_the_store_is_opened_again() {
    let folder = folder();
    let store = open(folder.path(), 1).expect("a new store");
    store.create(&name("root")).expect("made");
    store.rotate(&name("root"), 1).expect("made");
    store.create(&name("intermediate")).expect("made");
    let before = store.list().expect("a list");
    let told: Vec<_> = before
        .iter()
        .map(|key| (key.name.as_str(), key.version))
        .collect();
    assert_eq!(told, [("intermediate", 1), ("root", 1), ("root", 2)]);
    drop(store);
    let store = open(folder.path(), 1).expect("the same store");
    assert_eq!(store.list().expect("a list"), before);
}

#[test]
fn a_signature_verifies_with_the_public_key_of_its_version_alone() {
    let folder = folder();
    let store = open(folder.path(), 1).expect("a new store");
    let first = store.create(&name("root")).expect("made");
    let second = store.rotate(&name("root"), 1).expect("made");
    let signature = store.sign(&name("root"), 1, b"message").expect("signed");
    let verifies = |key: &KeyVersion, message: &[u8]| {
        let point = &key.public_key[P256_HEADER.len()..];
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, &signature)
    };
    assert!(verifies(&first, b"message").is_ok());
    assert!(verifies(&first, b"another").is_err());
    assert!(verifies(&second, b"message").is_err());
    let (rest, read) = x509_parser::x509::SubjectPublicKeyInfo::from_der(&first.public_key)
        .expect("a public key as RFC 5280 has it");
    assert!(rest.is_empty() && read.parsed().is_ok());
}

#[test]
fn asking_twice_for_a_version_makes_one() {
    let folder = folder();
    let store = open(folder.path(), 1).expect("a new store");
    let first = store.create(&name("root")).expect("made");
    assert_eq!(store.create(&name("root")).expect("the same"), first);
    let second = store.rotate(&name("root"), 1).expect("made");
    assert_eq!(second.version, 2);
    assert_eq!(store.rotate(&name("root"), 1).expect("the same"), second);
    assert_eq!(store.create(&name("root")).expect("the newest"), second);
    assert_eq!(store.list().expect("a list").len(), 2);
}

#[test]
fn what_is_not_there_is_told() {
    let folder = folder();
    let store = open(folder.path(), 1).expect("a new store");
    let table = [
        store.rotate(&name("root"), 0).map(drop),
        store.sign(&name("root"), 1, b"").map(drop),
    ];
    for outcome in table {
        let error = outcome.expect_err("no key").to_string();
        assert_eq!(error, "find key `root`: there is none");
    }
    store.create(&name("root")).expect("made");
    let table = [
        store.rotate(&name("root"), 2).map(drop),
        store.sign(&name("root"), 0, b"").map(drop),
        store.sign(&name("root"), 2, b"").map(drop),
    ];
    for outcome in table {
        let error = outcome.expect_err("no version").to_string();
        assert!(error.ends_with("the newest is 1"), "{error}");
    }
}

#[test]
fn another_master_key_or_a_damaged_file_is_refused_and_the_file_stays() {
    let folder = folder();
    let store = open(folder.path(), 1).expect("a new store");
    store.create(&name("root")).expect("made");
    drop(store);
    let path = folder.path().join(FILE);
    let before = std::fs::read(&path).expect("the file");

    let refused = |byte: u8| match open(folder.path(), byte) {
        Err(OpenStoreError::Sealed { source, .. }) => source,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it opened"),
    };
    assert_eq!(refused(2), OpenError::Seal);
    assert_eq!(std::fs::read(&path).expect("the file"), before);

    let mut damaged = before.clone();
    *damaged.last_mut().expect("not empty") ^= 1;
    std::fs::write(&path, &damaged).expect("written");
    assert_eq!(refused(1), OpenError::Seal);
    std::fs::write(&path, b"").expect("written");
    assert_eq!(refused(1), OpenError::Form);
    assert_eq!(std::fs::read(&path).expect("the file"), b"");

    std::fs::write(&path, before).expect("written");
    assert_eq!(
        open(folder.path(), 1)
            .expect("whole again")
            .list()
            .expect("a list")
            .len(),
        1
    );
}

#[test]
fn the_file_is_for_its_owner_alone_and_what_a_crash_left_is_written_over() {
    let folder = folder();
    let inner = folder.path().join("keys");
    std::fs::create_dir(&inner).expect("made");
    std::fs::write(inner.join(TEMPORARY), b"half").expect("written");
    let store = open(&inner, 1).expect("a new store");
    store.create(&name("root")).expect("made");
    let mode = |file: &str| {
        let metadata = std::fs::metadata(inner.join(file)).expect("a file");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(FILE), 0o600);
    assert!(!inner.join(TEMPORARY).exists());
}

#[test]
fn a_folder_has_one_user() {
    let folder = folder();
    let store = open(folder.path(), 1).expect("a new store");
    assert!(matches!(
        open(folder.path(), 1),
        Err(OpenStoreError::Keep(KeepError::Locked(_)))
    ));
    drop(store);
    assert!(open(folder.path(), 1).is_ok());
}

#[test]
fn a_key_that_cannot_be_kept_is_not_told_of() {
    let folder = folder();
    let inner = folder.path().join("keys");
    let store = open(&inner, 1).expect("a new store");
    store.create(&name("root")).expect("made");
    // The temporary file cannot be made where a folder has its name.
    std::fs::create_dir(inner.join(TEMPORARY)).expect("made");
    assert!(matches!(
        store.rotate(&name("root"), 1),
        Err(KeyStoreError::Keep(_))
    ));
    assert_eq!(store.list().expect("a list").len(), 1);
}
