//! The reference mesh's own Kubernetes resources: `ScopeConfig` (who) and `PolicyConfig` (what).
//!
//! The API server refuses a malformed resource by itself: every check that can be made without a sidecar is
//! part of the schema (OpenAPI and CEL) and its message names the field.
//!
//! Invariant: types and their schema only. Nothing here opens a socket or reads a clock.

#![expect(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "the schema derive repeats each struct inside a function, and printer columns have types"
)]

pub mod policy;
pub mod scope;

pub use policy::{
    Destination, HeaderMatch, InboundTls, OutboundTls, PolicyConfig, PolicyConfigSpec,
    PolicyConfigStatus, Rejection, RetryRule, RoutingRule, RuleMatch, SpiffeUri, TlsPolicy,
    ToggleValue,
};
pub use scope::{ScopeConfig, ScopeConfigSpec, ScopeConfigStatus, ScopeEntry};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The API group of both kinds.
pub const GROUP: &str = "mesh.meshproof.io";

/// Both definitions, with the name of the file that each is generated into (`fixtures/crds/NAME.yaml`).
#[must_use]
pub fn definitions() -> Vec<(&'static str, CustomResourceDefinition)> {
    vec![
        ("scopeconfigs", ScopeConfig::crd()),
        ("policyconfigs", PolicyConfig::crd()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_people_type() {
        let names: Vec<_> = definitions()
            .into_iter()
            .map(|(_, definition)| {
                let names = definition.spec.names;
                (
                    names.kind,
                    names.plural,
                    names.short_names.unwrap_or_default(),
                )
            })
            .collect();
        let owned = |text: &str| text.to_owned();
        assert_eq!(
            names,
            vec![
                (
                    owned("ScopeConfig"),
                    owned("scopeconfigs"),
                    vec![owned("scope")]
                ),
                (
                    owned("PolicyConfig"),
                    owned("policyconfigs"),
                    vec![owned("policy")]
                ),
            ]
        );
    }

    #[test]
    fn both_have_a_status_of_their_own() {
        for (_, definition) in definitions() {
            let version = definition.spec.versions.first().expect("one version");
            assert!(
                version
                    .subresources
                    .as_ref()
                    .is_some_and(|s| s.status.is_some())
            );
            assert_eq!(definition.spec.group, GROUP);
        }
    }
}
