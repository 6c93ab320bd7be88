//! Keys on a real token, one of SoftHSM, asked through OpenSC's `pkcs11-tool`.
//!
//! `cargo xtask test token` installs both where it can; where it cannot, it tells that this is not tested.

#[path = "../shared/conformance.rs"]
mod conformance;
mod mistakes;
mod over_grpc;
#[path = "../shared/service.rs"]
mod service;
mod sharing;
mod soft_hsm;

use conformance::{at_once, conformance, name, verifies};
use soft_hsm::{PIN, SoftHsm};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

conformance!(SoftHsm::new);

#[test]
fn private_keys_are_made_on_the_token_and_never_leave_it() {
    let token = SoftHsm::new();
    token.store().create(&name("root")).expect("made");
    let list = token.operator_does(&["--list-objects", "--type=privkey"]);
    assert!(
        list.contains("sensitive, always sensitive, never extractable, local"),
        "{list}"
    );
    assert!(list.contains("meshproof/root/1"), "{list}");
}

#[test]
fn the_pin_is_on_no_command_line() {
    let token = SoftHsm::new();
    let store = token.store();
    store.create(&name("root")).expect("made");
    store.sign(&name("root"), 1, b"message").expect("signed");
    let log = token.tool_log().join("\n");
    for wanted in [
        "--list-token-slots",
        "--list-objects",
        "--keypairgen",
        "--sign",
        "--pin=env:",
    ] {
        assert!(log.contains(wanted), "{wanted} is not in {log}");
    }
    assert!(!log.contains(PIN), "{log}");
}

#[test]
fn signatures_at_once_are_right_and_one_at_a_time() {
    const EACH: usize = 16;
    let token = SoftHsm::new();
    let store = token.store();
    let key = store.create(&name("root")).expect("made");
    let started = Instant::now();
    for _ in 0..EACH {
        store.sign(&name("root"), 1, b"message").expect("signed");
    }
    println!("one by one: {:.0} a second", rate(EACH, started.elapsed()));
    let before = token.tool_log().len();
    let started = Instant::now();
    // Two key services, each asked four times at once.
    let signed = at_once(&[store, token.store()], |store| {
        let sign = |_| store.sign(&name("root"), 1, b"message").expect("signed");
        (0..EACH).map(sign).collect::<Vec<_>>()
    });
    let elapsed = started.elapsed();
    let signed: Vec<_> = signed.into_iter().flatten().collect();
    assert!(signed.iter().all(|one| verifies(&key, b"message", one)));
    println!("together: {:.0} a second", rate(signed.len(), elapsed));
    assert_eq!(most_at_once(&token.tool_log()[before..]), 1);
}

#[test]
fn more_at_once_where_settings_say_so_and_never_more() {
    let token = SoftHsm::new();
    let mut settings = token.settings();
    settings.at_once = NonZeroUsize::new(3).expect("not zero");
    let store = token.open(&settings).expect("opened");
    store.create(&name("root")).expect("made");
    let before = token.tool_log().len();
    let stores = [store.clone(), store.clone(), store];
    at_once(&stores, |store| {
        for _ in 0..8 {
            // SoftHSM is not made for it and may say anything: only how often it is asked counts here.
            let _ = store.sign(&name("root"), 1, b"message");
        }
    });
    let most = most_at_once(&token.tool_log()[before..]);
    assert!((2..=3).contains(&most), "{most} at once");
}

/// How many helper programs ran at the same time.
fn most_at_once(log: &[String]) -> usize {
    let (mut running, mut most) = (0_usize, 0);
    for line in log {
        if line.starts_with('+') {
            running += 1;
        } else {
            running -= 1;
        }
        most = most.max(running);
    }
    most
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn rate(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}
