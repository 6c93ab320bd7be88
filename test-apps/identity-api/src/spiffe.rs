//! SPIFFE IDs of workloads.

use std::fmt;
use std::str::FromStr;

/// `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT`, the name in a workload's certificate (SPIFFE-ID, section 2;
/// the path is the custom of meshes on Kubernetes).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// The trust domain.
    pub trust_domain: String,
    /// The namespace of the service account.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trust_domain,
            namespace,
            service_account,
        } = self;
        write!(
            f,
            "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"
        )
    }
}

/// A text is no workload's SPIFFE ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/SERVICE-ACCOUNT")]
pub struct ParseSpiffeIdError(String);

impl FromStr for SpiffeId {
    type Err = ParseSpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text
            .strip_prefix("spiffe://")
            .map(|rest| rest.split('/').collect())
            .unwrap_or_default();
        match parts[..] {
            [trust_domain, "ns", namespace, "sa", service_account]
                if [trust_domain, namespace, service_account]
                    .iter()
                    .all(|part| is_name(part)) =>
            {
                Ok(Self {
                    trust_domain: trust_domain.to_owned(),
                    namespace: namespace.to_owned(),
                    service_account: service_account.to_owned(),
                })
            }
            _ => Err(ParseSpiffeIdError(text.to_owned())),
        }
    }
}

/// What trust domains and Kubernetes names consist of.
fn is_name(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        let text = "spiffe://mesh.local/ns/mesh-workloads/sa/checkout";
        let id: SpiffeId = text.parse().expect("an identity");
        assert_eq!(id.service_account, "checkout");
        assert_eq!(id.to_string(), text);
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "spiffe://mesh.local",
            "spiffe://mesh.local/ns/a/sa/",
            "spiffe://mesh.local/ns/a/sa/b/c",
            "spiffe://mesh.local/ns/a%2f/sa/b",
            "https://mesh.local/ns/a/sa/b",
            "spiffe:///ns/a/sa/b",
        ] {
            assert!(text.parse::<SpiffeId>().is_err(), "{text}");
        }
    }
}
