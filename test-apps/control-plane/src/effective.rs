//! Which of the policies that address a sidecar win, key by key.
//!
//! Invariant: pure. The keys are toggle keys and rule names; policies are ranked by specificity of the scope's
//! matching entry, then priority (higher wins), then age (older wins), then name (lesser wins).

use crate::scope::{Specificity, specificity};
use crate::world::{Policy, Sidecar, World};
use mesh_api::{InboundTls, RoutingRule, ScopeConfigSpec, TlsPolicy};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What one sidecar is to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective {
    /// Toggle key → value.
    pub toggles: BTreeMap<String, String>,
    /// Rules, those of stronger policies first, within a policy as written.
    pub rules: Vec<RoutingRule>,
    /// TLS, field by field that of the strongest policy that has it.
    pub tls: TlsPolicy,
    /// Which generation of which policy this takes account of: name → (UID, generation).
    pub basis: Basis,
}

/// Policy name → UID and generation.
pub type Basis = BTreeMap<String, (String, i64)>;

/// A policy that addresses the sidecar.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// How narrowly its scope speaks of the sidecar.
    pub specificity: Specificity,
    /// The policy.
    pub policy: &'a Policy,
}

/// The two decisions of a resolution.
#[derive(Clone, Copy, Debug)]
pub struct Resolution {
    /// Whether and how narrowly a scope covers a sidecar.
    pub covers: fn(&ScopeConfigSpec, &Sidecar) -> Option<Specificity>,
    /// Orders candidates, the stronger one first.
    pub compare: fn(&Candidate<'_>, &Candidate<'_>) -> Ordering,
}

impl Resolution {
    /// As designed.
    pub const FAITHFUL: Self = Self {
        covers: specificity,
        compare: stronger_first,
    };
}

/// Resolves what the sidecar is to hold. A policy whose scope is missing addresses nobody.
#[must_use]
pub fn resolve(world: &World, sidecar: &Sidecar, resolution: Resolution) -> Effective {
    let mut candidates: Vec<_> = world
        .policies
        .values()
        .filter_map(|policy| {
            let scope = world.scopes.get(&policy.spec.scope_ref)?;
            let specificity = (resolution.covers)(&scope.spec, sidecar)?;
            Some(Candidate {
                specificity,
                policy,
            })
        })
        .collect();
    candidates.sort_by(resolution.compare);
    combine(candidates.iter().map(|candidate| candidate.policy))
}

/// The addresses of pods whose sidecars are to take TLS. What they have taken already is not looked at.
#[must_use]
pub fn takes_tls(world: &World) -> BTreeSet<IpAddr> {
    let mut policies = world.policies.values();
    if !policies.any(|policy| policy.spec.tls.is_some()) {
        return BTreeSet::new();
    }
    let takes = |sidecar: &&Arc<Sidecar>| {
        let effective = resolve(world, sidecar, Resolution::FAITHFUL);
        effective.tls.inbound.unwrap_or_default() != InboundTls::Plaintext
    };
    let members = world.sidecars.values().filter(|sidecar| sidecar.member);
    members.filter(takes).map(|sidecar| sidecar.ip).collect()
}

/// Combines policies, the strongest first: what an earlier one says stands.
#[must_use]
pub fn combine<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Effective {
    let mut effective = Effective::default();
    let mut names = BTreeSet::new();
    for policy in policies {
        for (key, value) in &policy.spec.toggles {
            if !effective.toggles.contains_key(key) {
                effective.toggles.insert(key.clone(), value.0.clone());
            }
        }
        for rule in &policy.spec.rules {
            if names.insert(rule.name.as_str()) {
                effective.rules.push(rule.clone());
            }
        }
        if let Some(tls) = &policy.spec.tls {
            let known = &mut effective.tls;
            known.inbound = known.inbound.or(tls.inbound);
            known.outbound = known.outbound.or(tls.outbound);
            known.allow = known.allow.take().or_else(|| tls.allow.clone());
        }
        effective
            .basis
            .insert(policy.name.clone(), (policy.uid.clone(), policy.generation));
    }
    effective
}

/// Orders candidates as designed, the stronger one first.
#[must_use]
pub fn stronger_first(a: &Candidate<'_>, b: &Candidate<'_>) -> Ordering {
    b.specificity
        .cmp(&a.specificity)
        .then_with(|| b.policy.spec.priority.cmp(&a.policy.spec.priority))
        .then_with(|| a.policy.created.cmp(&b.policy.created))
        .then_with(|| a.policy.name.cmp(&b.policy.name))
}

/// The world with one policy taken out.
#[must_use]
pub fn without(world: &World, policy: &str) -> World {
    let mut world = world.clone();
    world.policies.remove(policy);
    world
}

/// The world with one policy put in or replaced.
#[must_use]
pub fn with(world: &World, policy: Arc<Policy>) -> World {
    let mut world = world.clone();
    world.policies.insert(policy.name.clone(), policy);
    world
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Scope;
    use mesh_api::{InboundTls, OutboundTls, PolicyConfigSpec, ScopeEntry};

    fn policy(name: &str, scope: &str, priority: i32, created: i64) -> Policy {
        Policy {
            name: name.into(),
            uid: name.into(),
            generation: 1,
            created,
            spec: PolicyConfigSpec {
                scope_ref: scope.into(),
                priority,
                toggles: [("key".to_owned(), name.into())].into(),
                rules: vec![RoutingRule {
                    name: "rule".into(),
                    service: name.into(),
                    ..RoutingRule::default()
                }],
                tls: None,
            },
        }
    }

    fn world(policies: Vec<Policy>) -> World {
        let entry =
            |data_center: Option<&str>, application: Option<&str>, ip: Option<&str>| ScopeEntry {
                data_center: data_center.map(str::to_owned),
                application: application.map(str::to_owned),
                ip: ip.map(str::to_owned),
                ..ScopeEntry::default()
            };
        let scopes = [
            ("everybody", entry(None, None, None)),
            ("east", entry(Some("east"), None, None)),
            ("checkout", entry(None, Some("checkout"), None)),
            ("block", entry(None, None, Some("10.0.0.0/8"))),
            ("address", entry(None, None, Some("10.1.1.1"))),
            ("elsewhere", entry(Some("west"), None, None)),
        ];
        World {
            policies: policies
                .into_iter()
                .map(|p| (p.name.clone(), Arc::new(p)))
                .collect(),
            scopes: scopes
                .into_iter()
                .map(|(name, entry)| {
                    let scope = Scope {
                        name: name.into(),
                        uid: name.into(),
                        generation: 1,
                        spec: ScopeConfigSpec {
                            entries: vec![entry],
                            except: vec![],
                        },
                    };
                    (name.to_owned(), Arc::new(scope))
                })
                .collect(),
            ..World::default()
        }
    }

    fn winner(policies: Vec<Policy>) -> Option<String> {
        let sidecar = Sidecar {
            data_center: "east".into(),
            application: "checkout".into(),
            ip: "10.1.1.1".parse().expect("an address"),
            ..Sidecar::default()
        };
        let effective = resolve(&world(policies), &sidecar, Resolution::FAITHFUL);
        let toggle = effective.toggles.get("key").cloned();
        let rule = effective.rules.first().map(|rule| rule.service.clone());
        assert_eq!(toggle, rule, "toggles and rules are decided alike");
        assert!(effective.rules.len() <= 1, "one rule of a name");
        toggle
    }

    #[test]
    fn the_narrower_scope_wins_whatever_the_priority() {
        for pair in ["everybody", "east", "checkout", "block", "address"].windows(2) {
            let (wide, narrow) = (pair[0], pair[1]);
            assert_eq!(
                winner(vec![policy("a", wide, 9, 1), policy("b", narrow, 0, 2)]).as_deref(),
                Some("b"),
                "{narrow} beats {wide}"
            );
        }
    }

    #[test]
    fn then_priority_then_age_then_name() {
        assert_eq!(
            winner(vec![policy("a", "east", 1, 1), policy("b", "east", 2, 2)]).as_deref(),
            Some("b")
        );
        assert_eq!(
            winner(vec![policy("a", "east", 1, 2), policy("b", "east", 1, 1)]).as_deref(),
            Some("b")
        );
        assert_eq!(
            winner(vec![policy("a", "east", 1, 1), policy("b", "east", 1, 1)]).as_deref(),
            Some("a")
        );
    }

    #[test]
    fn a_missing_scope_and_another_zone_is_nobody() {
        assert_eq!(winner(vec![policy("a", "missing", 0, 1)]), None);
        assert_eq!(winner(vec![policy("a", "elsewhere", 0, 1)]), None);
    }

    #[test]
    fn tls_is_decided_field_by_field() {
        let with = |name: &str, tls: TlsPolicy| {
            let mut policy = policy(name, "east", 0, 1);
            policy.spec.tls = Some(tls);
            policy
        };
        let strong = with(
            "strong",
            TlsPolicy {
                inbound: Some(InboundTls::Strict),
                ..TlsPolicy::default()
            },
        );
        let weak = with(
            "weak",
            TlsPolicy {
                inbound: Some(InboundTls::Plaintext),
                outbound: Some(OutboundTls::Strict),
                allow: Some(vec![]),
            },
        );
        let effective = combine([&strong, &weak]);
        assert_eq!(
            effective.tls,
            TlsPolicy {
                inbound: Some(InboundTls::Strict),
                outbound: Some(OutboundTls::Strict),
                allow: Some(vec![]),
            }
        );
    }

    #[test]
    fn keys_are_decided_one_by_one() {
        let mut weak = policy("weak", "everybody", 0, 1);
        weak.spec.toggles.insert("other".into(), "weak".into());
        let effective = combine([&policy("strong", "east", 0, 1), &weak]);
        assert_eq!(
            effective.toggles.get("key").map(String::as_str),
            Some("strong")
        );
        assert_eq!(
            effective.toggles.get("other").map(String::as_str),
            Some("weak")
        );
        assert_eq!(effective.basis.len(), 2, "both are taken account of");
    }
}
