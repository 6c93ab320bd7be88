//! What stands in the Lease, and what an observer makes of it.

use crate::RUN_LABEL;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use std::time::Duration;
use tokio::time::Instant;

pub(super) const NAMESPACE: &str = "default";
pub(super) const NAME: &str = "meshproof";
/// A holder that did not renew for so long is dead.
pub(super) const DURATION: Duration = Duration::from_secs(15);

/// The record of a new holder; it replaces that of a dead one.
pub(super) fn new(run: &str, dead: Option<&Lease>) -> Lease {
    let now = MicroTime(Timestamp::now());
    let transitions = dead
        .and_then(|dead| dead.spec.as_ref()?.lease_transitions)
        .map_or(0, |transitions| transitions.saturating_add(1));
    let mut lease = Lease {
        spec: Some(LeaseSpec {
            holder_identity: Some(identity(run)),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }),
        ..Lease::default()
    };
    lease.metadata.name = Some(NAME.to_owned());
    lease.metadata.labels = Some([(RUN_LABEL.to_owned(), run.to_owned())].into());
    // Whoever is faster has changed the version.
    lease.metadata.resource_version = dead.and_then(|dead| dead.metadata.resource_version.clone());
    lease
}

/// Who we are: unique, since a run's name is.
fn identity(run: &str) -> String {
    let host = nix::unistd::gethostname().map_or_else(
        |_| "an unknown host".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    format!("run {run} (process {} on {host})", std::process::id())
}

/// The same record, renewed now.
pub(super) fn renewed(lease: &Lease) -> Lease {
    let mut lease = lease.clone();
    if let Some(spec) = &mut lease.spec {
        spec.renew_time = Some(MicroTime(Timestamp::now()));
    }
    lease
}

/// Both are one Lease with one holder.
pub(super) fn is_same(one: &Lease, other: &Lease) -> bool {
    one.metadata.uid == other.metadata.uid && identity_of(one) == identity_of(other)
}

fn identity_of(lease: &Lease) -> Option<&str> {
    let identity = lease.spec.as_ref()?.holder_identity.as_deref()?;
    (!identity.is_empty()).then_some(identity)
}

/// Who holds it and since when, for people.
pub(super) fn holder(lease: &Lease) -> String {
    let who = identity_of(lease).unwrap_or("nobody");
    let since = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.acquire_time.as_ref());
    match since {
        Some(MicroTime(since)) => format!("{who} (since {})", since.strftime("%Y-%m-%d %H:%M:%SZ")),
        None => who.to_owned(),
    }
}

/// A record of another holder, and when we saw it change last.
pub(super) struct Observed {
    lease: Lease,
    at: Instant,
}

/// What a look at the record shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nobody has changed it.
    Silent,
    /// Its holder has renewed it, or there is another.
    Alive,
}

impl Observed {
    pub(super) fn new(lease: Lease, at: Instant) -> Self {
        Self { lease, at }
    }

    /// Nobody holds it, or its holder is dead: it did not change for as long as it lasts.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        identity_of(&self.lease).is_none() || now.duration_since(self.at) >= self.duration()
    }

    /// How long it lasts after a renewal, as its holder says.
    pub(super) fn duration(&self) -> Duration {
        let spec = self.lease.spec.as_ref();
        spec.and_then(|spec| spec.lease_duration_seconds)
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(DURATION, Duration::from_secs)
    }

    /// Compares with the record as it is now, and keeps that.
    pub(super) fn look(&mut self, now: Lease) -> Seen {
        let seen = if now.spec == self.lease.spec && now.metadata.uid == self.lease.metadata.uid {
            Seen::Silent
        } else {
            Seen::Alive
        };
        self.lease = now;
        seen
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(super) fn into_lease(self) -> Lease {
        self.lease
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_dead_when_its_record_did_not_change_whatever_the_clocks_say() {
        let start = Instant::now();
        let mut long_ago = new("a", None);
        long_ago.spec.as_mut().unwrap().renew_time = Some(MicroTime(Timestamp::UNIX_EPOCH));
        let mut observed = Observed::new(long_ago.clone(), start);
        assert!(!observed.is_free(start), "its clock may be wrong");
        assert!(!observed.is_free(start + DURATION - Duration::from_millis(1)));
        let mut relabelled = long_ago.clone();
        relabelled.metadata.resource_version = Some("2".to_owned());
        assert_eq!(observed.look(relabelled), Seen::Silent);
        assert!(observed.is_free(start + DURATION));
        assert_eq!(
            new("b", Some(&observed.into_lease()))
                .metadata
                .resource_version
                .as_deref(),
            Some("2"),
            "what is replaced is what was seen last"
        );
        let mut observed = Observed::new(long_ago.clone(), start);
        assert_eq!(observed.look(renewed(&long_ago)), Seen::Alive);
    }

    #[test]
    fn a_lease_that_nobody_holds_is_free_at_once() {
        let now = Instant::now();
        assert!(Observed::new(Lease::default(), now).is_free(now));
        let mut given_back = new("a", None);
        given_back.spec.as_mut().unwrap().holder_identity = Some(String::new());
        assert!(Observed::new(given_back, now).is_free(now));
    }

    #[test]
    fn the_lease_of_another_holder_or_one_that_was_made_anew_is_not_ours() {
        let mut ours = new("a", None);
        ours.metadata.uid = Some("1".to_owned());
        assert!(is_same(&renewed(&ours), &ours));
        let mut taken = ours.clone();
        taken.spec.as_mut().unwrap().holder_identity = Some("somebody".to_owned());
        assert!(!is_same(&taken, &ours));
        let mut anew = ours.clone();
        anew.metadata.uid = Some("2".to_owned());
        assert!(!is_same(&anew, &ours));
    }

    #[test]
    fn the_lease_carries_the_label_of_the_run_that_holds_it() {
        let dead = new("a", None);
        for (run, dead) in [("b", None), ("c", Some(&dead))] {
            let labels = new(run, dead).metadata.labels.unwrap();
            assert_eq!(labels[RUN_LABEL], run);
        }
    }

    #[test]
    fn the_holder_is_named_with_its_process_its_host_and_since_when() {
        let words = holder(&new("a", None));
        let host = nix::unistd::gethostname().unwrap();
        let process = format!(
            "run a (process {} on {}) (since 2",
            std::process::id(),
            host.display()
        );
        assert!(words.starts_with(&process), "{words}");
    }
}
