//! Several key services on one token.

use crate::conformance::{at_once, distinct, name, verifies};
use crate::soft_hsm::SoftHsm;
use key_service::store::{KeyStoreError, KeyVersion};
use std::time::Duration;

#[test]
fn services_that_share_the_lock_answer_one_key_for_a_version() {
    let token = SoftHsm::new();
    let stores = [token.store(), token.store(), token.store()];
    let asked = at_once(&stores, |store| store.create(&name("root")));
    assert!(asked.iter().all(Result::is_ok), "{asked:?}");
    assert_eq!(distinct(&asked).len(), 1, "{asked:?}");
    let asked = at_once(&stores, |store| store.rotate(&name("root"), 1));
    assert!(asked.iter().all(Result::is_ok), "{asked:?}");
    assert_eq!(distinct(&asked).len(), 1, "{asked:?}");
    assert_eq!(stores[0].list().expect("a list").len(), 2);
}

#[test]
fn a_service_signs_with_what_another_has_made() {
    let token = SoftHsm::new();
    let (first, second) = (token.store(), token.store());
    let key = first.create(&name("root")).expect("made");
    let signature = second.sign(&name("root"), 1, b"message").expect("signed");
    assert!(verifies(&key, b"message", &signature));
    assert_eq!(second.create(&name("root")).expect("the same"), key);
}

/// As a key service does that has another lock file, which is a mistake of the operator.
#[test]
fn two_pairs_for_a_version_are_noticed_and_neither_is_answered() {
    let token = SoftHsm::new();
    let store = token.store();
    let first = store.create(&name("root")).expect("made");
    std::fs::write(token.path("rival"), "").expect("written");
    let error = first_error(&[store.rotate(&name("root"), 1)]).expect("two of them");
    assert!(!token.path("rival").exists(), "it has made one");
    let claimed = "use version 2 of key `root`: several key pairs";
    assert!(error.contains(claimed), "{error}");
    assert!(error.contains("PKCS11_LOCK_FILE"), "{error}");
    let error = first_error(&[store.rotate(&name("root"), 1)]).expect("still two");
    assert!(error.contains(claimed), "{error}");
    let error = token.open(&token.settings()).err().expect("still two");
    assert!(error.to_string().contains(claimed), "{error}");
    // What was answered before goes on.
    let signature = store.sign(&name("root"), 1, b"message").expect("signed");
    assert!(verifies(&first, b"message", &signature));

    for of in ["--type=privkey", "--type=pubkey"] {
        token.operator_does(&["--delete-object", of, "--id=00"]);
    }
    let second = store.rotate(&name("root"), 1).expect("one is left");
    let signature = store.sign(&name("root"), 2, b"message").expect("signed");
    assert!(verifies(&second, b"message", &signature));
}

fn first_error(asked: &[Result<KeyVersion, KeyStoreError>]) -> Option<String> {
    let mut errors = asked.iter().filter_map(|answer| answer.as_ref().err());
    errors.next().map(|error| {
        let cause = std::error::Error::source(error);
        cause.map(ToString::to_string).unwrap_or_default()
    })
}

#[test]
fn a_lock_that_is_held_is_told() {
    let token = SoftHsm::new();
    let mut settings = token.settings();
    settings.limit = Duration::from_secs(3);
    let store = token.open(&settings).expect("opened");
    let lock = std::fs::File::create(&settings.lock_file).expect("made");
    lock.lock().expect("locked");
    let asked = [store.create(&name("root"))];
    let error = first_error(&asked).expect("somebody else has it");
    assert!(
        error.contains("another key service on the token has held it"),
        "{error}"
    );
    drop(lock);
    store.create(&name("root")).expect("made");
}
