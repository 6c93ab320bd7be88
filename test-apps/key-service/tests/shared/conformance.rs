//! What every back end must do ([`key_service::store::KeyStore`]): each function takes a way to open a store, which is
//! always on the same place.

use key_service::store::{KeyName, KeyStore, KeyVersion};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Opens a store.
pub(crate) type Open<'a> = &'a dyn Fn() -> Arc<dyn KeyStore>;

/// Bytes of a point on P-256, with which a public key ends.
const POINT: usize = 65;

/// One test for each of the functions here. `$back_end` makes a new, empty place and answers how it is opened.
macro_rules! conformance {
    ($back_end:path) => {
        conformance!($back_end:
            keys_are_there_when_the_store_is_opened_again,
            a_signature_verifies_with_the_public_key_of_its_version_alone,
            asking_twice_for_a_version_makes_one,
            what_is_not_there_is_told,
            who_asks_at_once_gets_the_same_version,
        );
    };
    ($back_end:path: $($name:ident,)+) => {
        $(
            #[test]
            fn $name() {
                let back_end = $back_end();
                conformance::$name(&|| back_end.store());
            }
        )+
    };
}
pub(crate) use conformance;

pub(crate) fn name(name: &str) -> KeyName {
    name.parse().expect("a name")
}

/// Whether it is a signature of this message with this key.
pub(crate) fn verifies(key: &KeyVersion, message: &[u8], signature: &[u8]) -> bool {
    let point = &key.public_key[key.public_key.len() - POINT..];
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
    key.verify(message, signature).is_ok()
}

pub(crate) fn keys_are_there_when_the_store_is_opened_again(open: Open<'_>) {
    let store = open();
    assert_eq!(store.list().expect("a list"), []);
    let first = store.create(&name("root")).expect("made");
    store.rotate(&name("root"), 1).expect("made");
    store.create(&name("intermediate")).expect("made");
    let before = store.list().expect("a list");
    let told: Vec<_> = before
        .iter()
        .map(|key| (key.name.as_str(), key.version))
        .collect();
    assert_eq!(told, [("intermediate", 1), ("root", 1), ("root", 2)]);
    drop(store);
    let store = open();
    assert_eq!(store.list().expect("a list"), before);
    let signature = store.sign(&name("root"), 1, b"message").expect("signed");
    assert!(verifies(&first, b"message", &signature));
}

pub(crate) fn a_signature_verifies_with_the_public_key_of_its_version_alone(open: Open<'_>) {
    let store = open();
    let first = store.create(&name("root")).expect("made");
    let second = store.rotate(&name("root"), 1).expect("made");
    let signature = store.sign(&name("root"), 1, b"message").expect("signed");
    assert!(verifies(&first, b"message", &signature));
    assert!(!verifies(&first, b"another", &signature));
    assert!(!verifies(&second, b"message", &signature));
    let empty = store.sign(&name("root"), 2, b"").expect("signed");
    assert!(verifies(&second, b"", &empty));
    for key in [first, second] {
        let (rest, read) = SubjectPublicKeyInfo::from_der(&key.public_key)
            .expect("a public key as RFC 5280 has it");
        assert!(rest.is_empty() && read.parsed().is_ok());
    }
}

pub(crate) fn asking_twice_for_a_version_makes_one(open: Open<'_>) {
    let store = open();
    let first = store.create(&name("root")).expect("made");
    assert_eq!((first.name.as_str(), first.version), ("root", 1));
    assert_eq!(store.create(&name("root")).expect("the same"), first);
    let second = store.rotate(&name("root"), 1).expect("made");
    assert_eq!(second.version, 2);
    assert_ne!(second.public_key, first.public_key);
    assert_eq!(store.rotate(&name("root"), 1).expect("the same"), second);
    assert_eq!(store.create(&name("root")).expect("the newest"), second);
    assert_eq!(store.list().expect("a list"), [first, second]);
}

pub(crate) fn what_is_not_there_is_told(open: Open<'_>) {
    let store = open();
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

pub(crate) fn who_asks_at_once_gets_the_same_version(open: Open<'_>) {
    let stores = [open()];
    let asked = at_once(&stores, |store| store.create(&name("root")));
    assert_eq!(distinct(&asked).len(), 1, "{asked:?}");
    let asked = at_once(&stores, |store| store.rotate(&name("root"), 1));
    assert_eq!(distinct(&asked).len(), 1, "{asked:?}");
    assert_eq!(stores[0].list().expect("a list").len(), 2);
}

/// Asks the stores, each of them four times, all at the same time.
pub(crate) fn at_once<T: Send>(
    stores: &[Arc<dyn KeyStore>],
    ask: impl Fn(&dyn KeyStore) -> T + Sync,
) -> Vec<T> {
    const EACH: usize = 4;
    let start = Barrier::new(stores.len() * EACH);
    std::thread::scope(|scope| {
        let all = stores.iter().cycle().take(stores.len() * EACH);
        let threads: Vec<_> = all
            .map(|store| {
                scope.spawn(|| {
                    start.wait();
                    ask(&**store)
                })
            })
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        ended.map(|answer| answer.expect("no panic")).collect()
    })
}

/// The public keys of the answers, each once.
pub(crate) fn distinct<E>(answers: &[Result<KeyVersion, E>]) -> BTreeSet<&[u8]> {
    let answered = answers.iter().flatten();
    answered.map(|key| key.public_key.as_slice()).collect()
}
