//! The status of policies and scopes, from the world and what all replicas report.
//!
//! Invariant: pure.

use crate::acknowledgements::{RecipientReport, Report, State};
use crate::scope::specificity;
use crate::world::{Policy, Scope, Sidecar, World};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use mesh_api::{PolicyConfigStatus, Rejection, ScopeConfigStatus};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The newest stream of each pod, over all replicas.
#[must_use]
pub fn newest<'a>(
    reports: impl IntoIterator<Item = &'a Report>,
) -> BTreeMap<&'a str, &'a RecipientReport> {
    let mut newest: BTreeMap<&str, &RecipientReport> = BTreeMap::new();
    for recipient in reports.into_iter().flat_map(|report| &report.recipients) {
        newest
            .entry(recipient.uid.as_str())
            .and_modify(|known| {
                if recipient.since > known.since {
                    *known = recipient;
                }
            })
            .or_insert(recipient);
    }
    newest
}

/// The status of a policy. Conditions keep the time of their last change from `before`.
#[must_use]
pub fn of_policy(
    world: &World,
    policy: &Policy,
    recipients: &BTreeMap<&str, &RecipientReport>,
    before: Option<&PolicyConfigStatus>,
    now: &Time,
) -> PolicyConfigStatus {
    let scope = world.scopes.get(&policy.spec.scope_ref);
    let mut status = PolicyConfigStatus {
        observed_generation: policy.generation,
        ..PolicyConfigStatus::default()
    };
    for sidecar in scope
        .into_iter()
        .flat_map(|scope| covered(world, scope, recipients))
    {
        status.matched += 1;
        let standing = recipients
            .get(sidecar.uid.as_str())
            .and_then(|recipient| recipient.policies.get(&policy.name))
            .filter(|standing| {
                standing.uid == policy.uid && standing.generation == policy.generation
            });
        match standing.map(|standing| &standing.state) {
            None | Some(State::Pending) => {}
            Some(State::Delivered) => status.delivered += 1,
            Some(State::Acknowledged) => {
                status.delivered += 1;
                status.acknowledged += 1;
            }
            Some(State::Rejected { kind, message }) => {
                status.delivered += 1;
                status.rejected.push(Rejection {
                    pod: sidecar.pod.clone(),
                    kind: kind.clone(),
                    message: message.clone(),
                });
            }
        }
    }
    status.rejected.sort();
    let resolved = match scope {
        Some(_) => (true, "Found", String::new()),
        None => {
            let name = &policy.spec.scope_ref;
            (
                false,
                "Missing",
                format!("scope `{name}` does not exist, so nobody receives the policy"),
            )
        }
    };
    let ready = if let Some(first) = status.rejected.first() {
        (
            false,
            "Rejected",
            format!("{} rejects {}: {}", first.pod, first.kind, first.message),
        )
    } else if status.acknowledged < status.matched {
        let (of, have) = (status.matched, status.acknowledged);
        (
            false,
            "Pending",
            format!("{have} of {of} sidecars acknowledged"),
        )
    } else {
        (true, "Acknowledged", String::new())
    };
    let before = before.map_or(&[][..], |status| &status.conditions);
    status.conditions = vec![
        condition("ScopeResolved", resolved, policy.generation, before, now),
        condition("Ready", ready, policy.generation, before, now),
    ];
    status
}

/// The status of a scope.
#[must_use]
pub fn of_scope(
    world: &World,
    scope: &Scope,
    recipients: &BTreeMap<&str, &RecipientReport>,
    before: Option<&ScopeConfigStatus>,
    now: &Time,
) -> ScopeConfigStatus {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let matched = count(covered(world, scope, recipients).count());
    let effective = if matched > 0 {
        (true, "Matched", String::new())
    } else {
        (false, "Nobody", "no sidecar is within the scope".to_owned())
    };
    let before = before.map_or(&[][..], |status| &status.conditions);
    ScopeConfigStatus {
        observed_generation: scope.generation,
        matched,
        policies: count(
            world
                .policies
                .values()
                .filter(|p| p.spec.scope_ref == scope.name)
                .count(),
        ),
        conditions: vec![condition(
            "Effective",
            effective,
            scope.generation,
            before,
            now,
        )],
    }
}

/// The members within a scope, and whoever else is connected.
fn covered<'a>(
    world: &'a World,
    scope: &'a Scope,
    recipients: &'a BTreeMap<&str, &RecipientReport>,
) -> impl Iterator<Item = &'a Arc<Sidecar>> {
    world
        .sidecars
        .values()
        .filter(|sidecar| sidecar.member || recipients.contains_key(sidecar.uid.as_str()))
        .filter(|sidecar| specificity(&scope.spec, sidecar).is_some())
}

fn condition(
    kind: &str,
    (status, reason, message): (bool, &str, String),
    generation: i64,
    before: &[Condition],
    now: &Time,
) -> Condition {
    let status = if status { "True" } else { "False" };
    let since = before
        .iter()
        .find(|condition| condition.type_ == kind && condition.status == status)
        .map_or(now, |condition| &condition.last_transition_time);
    Condition {
        type_: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message,
        observed_generation: Some(generation),
        last_transition_time: since.clone(),
    }
}

#[cfg(test)]
mod tests;
