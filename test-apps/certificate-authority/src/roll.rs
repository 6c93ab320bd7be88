//! How roots and intermediates come and go: what is trusted, and what is to be done next.
//!
//! To roll the root the operator raises `desired.root` by one and puts the present one into `desired.trust`. Then, one step
//! at a time and by whichever replica is first:
//!
//! 1. the new root is made, and with it in the ConfigMap it is in the trust bundle, beside the old one;
//! 2. an intermediate below it is made, which nobody uses yet;
//! 3. when the new bundle has been out for long enough and every node agent that watches has been sent it, `issuing` is
//!    changed, and from now on pods' certificates lead to the new root;
//! 4. the old root is trusted until the operator takes it out of `desired.trust`, which should be when no certificate that
//!    leads to it is valid any more. One that is not there goes out of trust as soon as `issuing` is changed.
//!
//! A root that is only brought back takes the same way. An intermediate is replaced at once: its certificate comes with
//! that of the pod, so nobody needs to know it before.
//!
//! Roots of others come into the bundle and go out of it as the operator says: nothing is issued below them, so nothing has
//! to wait for that.
//!
//! What one replica cannot see is the node agents that watch at another one. They are covered by the time, and by this: no
//! replica issues below a root before it has announced it to its own node agents.
//!
//! Invariant: what is issued below, and what is wanted, is always trusted; pure.

use crate::certificate::Authority;
use crate::ledger::{Desired, Ledger, Place};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Say what is wanted, since nobody has said so yet.
    Begin,
    /// Make the certificate of this version of the root.
    Root(u32),
    /// Make the certificate of this intermediate.
    Intermediate(Place),
    /// Issue below this one from now on.
    Issue(Place),
    /// Nothing, until the root of this version has spread.
    Wait(u32),
    /// Nothing: all is as it is wanted.
    Rest,
}

/// Tells the next step; `has_spread` tells whether a root that is in the bundle is known well enough.
pub fn next(ledger: &Ledger, has_spread: impl Fn(u32) -> bool) -> Step {
    let Some(Desired {
        root, intermediate, ..
    }) = ledger.desired
    else {
        return Step::Begin;
    };
    let wanted = Place { root, intermediate };
    if !ledger.roots.contains_key(&root) {
        return Step::Root(root);
    }
    if !ledger.intermediates.contains_key(&wanted) {
        return Step::Intermediate(wanted);
    }
    match ledger.issuing {
        Some(now) if now == wanted => Step::Rest,
        // With the first root nobody trusts another one yet.
        None => Step::Issue(wanted),
        Some(now) if now.root == root || has_spread(root) => Step::Issue(wanted),
        Some(_) => Step::Wait(root),
    }
}

/// The roots that are trusted, by version: what is wanted, what is issued below, and what the operator says besides. A
/// version that has no certificate is left out.
#[must_use]
pub fn trusted(ledger: &Ledger) -> BTreeMap<u32, Arc<Authority>> {
    let is_trusted = |version: &u32| {
        ledger
            .issuing
            .is_some_and(|issuing| issuing.root == *version)
            || ledger
                .desired
                .as_ref()
                .is_some_and(|desired| desired.root == *version || desired.trust.contains(version))
    };
    let roots = ledger.roots.iter();
    roots
        .filter(|(version, _)| is_trusted(version))
        .map(|(version, root)| (*version, root.clone()))
        .collect()
}

/// What is to be done for a version of a key to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStep {
    /// Nothing.
    Have,
    /// Make the first version.
    Create,
    /// Make the version after this one.
    Rotate(u32),
}

/// A version cannot be the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "make version {wanted} of a key whose newest version is {newest}: versions are raised by one"
)]
pub struct Skips {
    wanted: u32,
    newest: u32,
}

/// Tells what is to be done for version `wanted` to be there when `newest` is (0 when there is no key).
///
/// # Errors
///
/// When there would be a gap: a slip of the operator's hand must not make a million keys.
pub fn key_step(newest: u32, wanted: u32) -> Result<KeyStep, Skips> {
    match wanted.checked_sub(newest) {
        _ if wanted == 0 => Err(Skips { wanted, newest }),
        None | Some(0) => Ok(KeyStep::Have),
        Some(1) if newest == 0 => Ok(KeyStep::Create),
        Some(1) => Ok(KeyStep::Rotate(newest)),
        Some(_) => Err(Skips { wanted, newest }),
    }
}

#[cfg(test)]
mod tests;
