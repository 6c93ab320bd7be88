//! What can be wrong with a token: each is an error that says what, and none says the PIN.

use crate::conformance::{name, verifies};
use crate::soft_hsm::{LABEL, PIN, SoftHsm};
use key_service::pkcs11::{TokenError, TokenSettings};
use key_service::store::KeyStoreError;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// An error with its causes, and as a programmer sees it.
fn all_of(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error} {error:?}");
        cause = error.source();
    }
    text
}

/// What opening says, which must be an error.
fn refusal(token: &SoftHsm, settings: &TokenSettings) -> String {
    let error = token.open(settings).err().expect("refused");
    let text = all_of(&error);
    assert!(!text.contains(PIN), "{text}");
    text
}

fn cause<T: std::fmt::Debug>(outcome: Result<T, KeyStoreError>) -> String {
    let text = all_of(&outcome.expect_err("refused"));
    assert!(!text.contains(PIN), "{text}");
    text
}

#[test]
fn wrong_settings_are_told() {
    let token = SoftHsm::new();
    std::fs::write(token.path("no-module"), "text").expect("written");
    std::fs::write(token.path("empty"), "\n").expect("written");
    std::fs::write(token.path("two-lines"), format!("{PIN}\n{PIN}\n")).expect("written");
    type Mistake<'a> = &'a dyn Fn(&mut TokenSettings);
    let table: [(&str, Mistake<'_>); 8] = [
        (
            "find the token `others`: the PKCS #11 module shows none",
            &|s| {
                s.token = "others".to_owned();
            },
        ),
        ("find the PKCS #11 module /nowhere.so", &|s| {
            s.module = "/nowhere.so".into();
        }),
        ("load the PKCS #11 module", &|s| {
            s.module = token.path("no-module");
        }),
        ("start the helper program /nowhere", &|s| {
            s.tool = "/nowhere".into();
        }),
        ("start the helper program", &|s| s.tool = token.path("pin")),
        ("read the PIN from", &|s| s.pin_file = token.path("nowhere")),
        ("it must be one line", &|s| s.pin_file = token.path("empty")),
        ("it must be one line", &|s| {
            s.pin_file = token.path("two-lines");
        }),
    ];
    for (wanted, change) in table {
        let mut settings = token.settings();
        change(&mut settings);
        let told = refusal(&token, &settings);
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let token = SoftHsm::new();
    let mut settings = token.settings();
    settings.pin_file = token.path("wrong-pin");
    let wrong = "40817-pin-of-nobody";
    std::fs::write(&settings.pin_file, wrong).expect("written");
    let told = refusal(&token, &settings);
    assert!(told.contains("CKR_PIN_INCORRECT"), "{told}");
    assert!(!told.contains(wrong), "{told}");
    assert_eq!(token.starts(), 2, "one looks for the token, one logs in");
}

#[test]
fn a_pin_that_is_refused_later_is_not_tried_again() {
    let token = SoftHsm::new();
    let store = token.store();
    store.create(&name("root")).expect("made");
    token.operator_does(&["--change-pin", "--new-pin=23675-another"]);
    let before = token.starts();
    for _ in 0..3 {
        let told = cause(store.sign(&name("root"), 1, b"message"));
        assert!(told.contains("CKR_PIN_INCORRECT"), "{told}");
    }
    assert!(cause(store.list()).contains("not tried again"));
    assert_eq!(token.starts() - before, 1);
}

#[test]
fn a_token_that_goes_is_told_and_may_come_back() {
    let token = SoftHsm::new();
    let store = token.store();
    let key = store.create(&name("root")).expect("made");
    let away = token.path("away");
    std::fs::rename(token.tokens(), &away).expect("moved");
    let gone = format!("find the token `{LABEL}`");
    std::fs::create_dir(token.tokens()).expect("made");
    assert!(cause(store.sign(&name("root"), 1, b"message")).contains(&gone));
    assert!(cause(store.list()).contains(&gone));
    assert!(cause(store.create(&name("root"))).contains(&gone));
    assert!(cause(store.rotate(&name("root"), 1)).contains(&gone));
    std::fs::remove_dir(token.tokens()).expect("removed");
    // The module itself does not start without the folder.
    let told = cause(store.sign(&name("root"), 1, b"message"));
    assert!(told.contains(&gone) || told.contains("CKR_"), "{told}");
    std::fs::rename(&away, token.tokens()).expect("moved back");
    let signature = store.sign(&name("root"), 1, b"message").expect("signed");
    assert!(verifies(&key, b"message", &signature));
}

#[test]
fn another_token_in_its_place_is_no_reason_to_make_other_keys() {
    let token = SoftHsm::new();
    let store = token.store();
    store.create(&name("root")).expect("made");
    token.make_token();
    let lost = "use version 1 of key `root`: the token had it";
    assert!(cause(store.create(&name("root"))).contains(lost));
    assert!(cause(store.list()).contains(lost));
    let told = cause(store.sign(&name("root"), 1, b"message"));
    assert!(told.contains("sign with the token"), "{told}");
}

#[test]
fn a_token_that_hangs_holds_nobody_up_for_ever() {
    let token = SoftHsm::new();
    let mut settings = token.settings();
    settings.limit = Duration::from_secs(3);
    let store = token.open(&settings).expect("opened");
    let key = store.create(&name("root")).expect("made");
    std::fs::write(token.path("hang"), "").expect("written");
    let told = cause(store.sign(&name("root"), 1, b"message"));
    assert!(told.contains("has not answered within 3s"), "{told}");
    std::fs::remove_file(token.path("hang")).expect("removed");
    let signature = store.sign(&name("root"), 1, b"message").expect("signed");
    assert!(verifies(&key, b"message", &signature));
}

#[test]
fn only_whole_pairs_that_cannot_leave_the_token_are_used() {
    const MAKE: [&str; 2] = ["--keypairgen", "--key-type=EC:prime256v1"];
    let make = |token: &SoftHsm, label: &str, id: &str, more: &[&str]| {
        let (label, id) = (format!("--label={label}"), format!("--id={id}"));
        token.operator_does(&[&MAKE[..], &[&label, &id], more].concat());
    };
    let ours = "meshproof/root/1";

    let token = SoftHsm::new();
    make(&token, ours, "01", &["--extractable"]);
    let told = refusal(&token, &token.settings());
    assert!(told.contains("was never extractable"), "{told}");

    let token = SoftHsm::new();
    make(&token, ours, "01", &["--sensitive"]);
    token.store();
    make(&token, ours, "02", &["--sensitive"]);
    let told = refusal(&token, &token.settings());
    assert!(told.contains("(CKA_ID 01, 02)"), "{told}");

    let token = SoftHsm::new();
    make(&token, "meshproof/root/2", "01", &["--sensitive"]);
    let told = refusal(&token, &token.settings());
    assert!(told.contains("but not version 1"), "{told}");

    let token = SoftHsm::new();
    token.operator_does(&[
        "--keypairgen",
        "--key-type=EC:secp384r1",
        "--sensitive",
        &format!("--label={ours}"),
        "--id=01",
    ]);
    let told = refusal(&token, &token.settings());
    assert!(told.contains("no key on P-256"), "{told}");

    // Only half of it: not there for who reads, and in the way of who makes it.
    let token = SoftHsm::new();
    make(&token, ours, "01", &["--sensitive"]);
    token.operator_does(&["--delete-object", "--type=privkey", "--id=01"]);
    let store = token.store();
    assert_eq!(store.list().expect("a list"), []);
    let told = cause(store.create(&name("root")));
    assert!(told.contains("only half of the pair"), "{told}");

    // The public key of another pair.
    let token = SoftHsm::new();
    make(&token, ours, "01", &["--sensitive"]);
    make(&token, "of somebody else", "02", &["--sensitive"]);
    let file = token.path("public");
    swap_public_keys(&token, &file, ours);
    let told = refusal(&token, &token.settings());
    assert!(told.contains("does not verify"), "{told}");
}

fn swap_public_keys(token: &SoftHsm, file: &Path, label: &str) {
    let file = file.display();
    let of = "--type=pubkey";
    token.operator_does(&["--delete-object", of, "--id=01"]);
    token.operator_does(&[
        "--read-object",
        of,
        "--id=02",
        &format!("--output-file={file}"),
    ]);
    token.operator_does(&[
        &format!("--write-object={file}"),
        of,
        "--id=01",
        &format!("--label={label}"),
    ]);
}

#[test]
fn a_pin_is_not_in_what_settings_and_errors_say() {
    let token = SoftHsm::new();
    let settings = format!("{:?}", token.settings());
    assert!(!settings.contains(PIN), "{settings}");
    let error = TokenError::NoToken(LABEL.to_owned());
    assert!(!all_of(&error).contains(PIN));
}
