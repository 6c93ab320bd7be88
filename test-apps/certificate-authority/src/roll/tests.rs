//! Rolling from the first start to the last old root, with certificates of one key, since nobody looks at them here.

use super::*;
use crate::certificate::Draft;
use crate::public_key::PublicKey;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use std::collections::BTreeSet;
use std::time::SystemTime;

fn certificate() -> Arc<Authority> {
    let pair = KeyPair::generate().expect("a key");
    let key = PublicKey::read(&pair.subject_public_key_info()).expect("accepted");
    let draft = Draft::root("root", key, SystemTime::now());
    let signature = pair.sign(&draft.message().expect("a message"));
    let certificate = draft.signed(&signature.expect("a signature"));
    let pem = certificate.expect("a certificate").pem();
    Arc::new(Authority::read(&pem).expect("a root"))
}

fn place(root: u32, intermediate: u32) -> Place {
    Place { root, intermediate }
}

fn desired(root: u32, intermediate: u32, trust: &[u32]) -> Option<Desired> {
    Some(Desired {
        root,
        intermediate,
        trust: trust.iter().copied().collect(),
        partners: BTreeSet::new(),
    })
}

/// Does what is next until there is nothing to do.
fn settle(ledger: &mut Ledger, has_spread: bool) -> Vec<Step> {
    let mut done = Vec::new();
    loop {
        let step = next(ledger, |_| has_spread);
        done.push(step);
        match step {
            Step::Begin => ledger.desired = desired(1, 1, &[1]),
            Step::Root(version) => {
                ledger.roots.insert(version, certificate());
            }
            Step::Intermediate(place) => {
                ledger.intermediates.insert(place, certificate());
            }
            Step::Issue(place) => {
                // What the whole module is for.
                assert!(trusted(ledger).contains_key(&place.root));
                ledger.issuing = Some(place);
            }
            Step::Wait(_) | Step::Rest => return done,
        }
    }
}

fn trust(ledger: &Ledger) -> Vec<u32> {
    trusted(ledger).into_keys().collect()
}

#[test]
fn at_first_everything_is_made_and_nothing_is_waited_for() {
    let mut ledger = Ledger::default();
    assert!(trust(&ledger).is_empty());
    assert_eq!(
        settle(&mut ledger, false),
        [
            Step::Begin,
            Step::Root(1),
            Step::Intermediate(place(1, 1)),
            Step::Issue(place(1, 1)),
            Step::Rest
        ]
    );
    assert_eq!(trust(&ledger), [1]);
}

#[test]
fn a_new_root_is_trusted_first_and_the_old_one_until_it_is_taken_out() {
    let mut ledger = Ledger::default();
    settle(&mut ledger, false);
    ledger.desired = desired(2, 1, &[1]);
    assert_eq!(
        settle(&mut ledger, false),
        [
            Step::Root(2),
            Step::Intermediate(place(2, 1)),
            Step::Wait(2)
        ]
    );
    assert_eq!(trust(&ledger), [1, 2], "both, and the old one issues");
    assert_eq!(ledger.issuing, Some(place(1, 1)));
    assert_eq!(
        settle(&mut ledger, true),
        [Step::Issue(place(2, 1)), Step::Rest]
    );
    assert_eq!(
        trust(&ledger),
        [1, 2],
        "certificates of the old one are out"
    );
    ledger.desired = desired(2, 1, &[2]);
    assert_eq!(settle(&mut ledger, true), [Step::Rest]);
    assert_eq!(trust(&ledger), [2]);
}

#[test]
fn an_old_root_that_is_taken_out_too_early_stays_while_it_issues() {
    let mut ledger = Ledger::default();
    settle(&mut ledger, false);
    ledger.desired = desired(2, 1, &[]);
    settle(&mut ledger, false);
    assert_eq!(trust(&ledger), [1, 2]);
    settle(&mut ledger, true);
    assert_eq!(trust(&ledger), [2]);
}

#[test]
fn a_root_that_is_brought_back_must_spread_again() {
    let mut ledger = Ledger::default();
    settle(&mut ledger, false);
    ledger.desired = desired(2, 1, &[]);
    settle(&mut ledger, true);
    ledger.desired = desired(1, 1, &[2]);
    assert_eq!(settle(&mut ledger, false), [Step::Wait(1)]);
    assert_eq!(trust(&ledger), [1, 2]);
}

#[test]
fn an_intermediate_is_replaced_at_once() {
    let mut ledger = Ledger::default();
    settle(&mut ledger, false);
    ledger.desired = desired(1, 2, &[1]);
    assert_eq!(
        settle(&mut ledger, false),
        [
            Step::Intermediate(place(1, 2)),
            Step::Issue(place(1, 2)),
            Step::Rest
        ]
    );
}

#[test]
fn trust_in_what_is_not_there_is_no_trust() {
    let mut ledger = Ledger::default();
    settle(&mut ledger, false);
    ledger.desired = desired(1, 1, &[1, 7]);
    assert_eq!(settle(&mut ledger, false), [Step::Rest]);
    assert_eq!(trust(&ledger), [1]);
}

#[test]
fn whatever_the_operator_writes_the_issuing_root_is_trusted() {
    let mut ledger = Ledger::default();
    settle(&mut ledger, false);
    for root in [1, 2, 3] {
        for set in [&[][..], &[1], &[1, 2, 3]] {
            for has_spread in [false, true] {
                ledger.desired = desired(root, 1, set);
                settle(&mut ledger, has_spread);
                let issuing = ledger.issuing.expect("there").root;
                let trusted: BTreeSet<u32> = trust(&ledger).into_iter().collect();
                assert!(trusted.contains(&issuing) && trusted.contains(&root));
            }
        }
    }
}

#[test]
fn versions_of_keys_have_no_gaps() {
    assert_eq!(key_step(0, 1), Ok(KeyStep::Create));
    assert_eq!(key_step(1, 1), Ok(KeyStep::Have));
    assert_eq!(key_step(5, 2), Ok(KeyStep::Have));
    assert_eq!(key_step(1, 2), Ok(KeyStep::Rotate(1)));
    for (newest, wanted) in [(0, 0), (3, 0), (0, 2), (1, 3), (1, u32::MAX)] {
        assert!(key_step(newest, wanted).is_err(), "{newest} {wanted}");
    }
}
