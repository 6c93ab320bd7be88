//! The names that a certificate is asked for.

use harness_model::asking::Wish;

/// What is asked for with this wish by whom this is the name of; none where that name has no part that the wish is about.
pub(super) fn of(wish: Wish, own: &str) -> Option<Vec<String>> {
    // Any other name that is formed like a workload's.
    let other = format!("{own}-and-another");
    let own = own.to_owned();
    Some(match wish {
        Wish::OtherName => vec![other],
        Wish::TwoNames => vec![own, other],
        Wish::OtherDomain => vec![in_another_domain(&own)?],
        Wish::OtherNamespace => vec![in_another_namespace(&own)?],
        Wish::Right
        | Wish::Tampered
        | Wish::WeakKey
        | Wish::OtherCurve
        | Wish::Signer
        | Wish::LongLife => vec![own],
    })
}

/// The SPIFFE ID that is the same in another trust domain (SPIFFE-ID, section 2).
fn in_another_domain(own: &str) -> Option<String> {
    let (domain, path) = own.strip_prefix("spiffe://")?.split_once('/')?;
    Some(format!("spiffe://other.{domain}/{path}"))
}

/// The SPIFFE ID of the account that is called the same in another namespace; the path is the custom of meshes on Kubernetes.
fn in_another_namespace(own: &str) -> Option<String> {
    let (domain, path) = own.strip_prefix("spiffe://")?.split_once('/')?;
    let (namespace, account) = path.strip_prefix("ns/")?.split_once("/sa/")?;
    Some(format!(
        "spiffe://{domain}/ns/{namespace}-and-another/sa/{account}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "spiffe://mesh.local/ns/mesh-workloads/sa/frontend";

    #[test]
    fn one_part_of_a_name_is_another_one() {
        for (wish, expected) in [
            (Wish::Right, OWN),
            (
                Wish::OtherName,
                "spiffe://mesh.local/ns/mesh-workloads/sa/frontend-and-another",
            ),
            (
                Wish::OtherDomain,
                "spiffe://other.mesh.local/ns/mesh-workloads/sa/frontend",
            ),
            (
                Wish::OtherNamespace,
                "spiffe://mesh.local/ns/mesh-workloads-and-another/sa/frontend",
            ),
            (Wish::OtherCurve, OWN),
        ] {
            assert_eq!(of(wish, OWN).unwrap(), [expected], "{wish:?}");
        }
        assert_eq!(of(Wish::TwoNames, OWN).unwrap().len(), 2);
    }

    #[test]
    fn a_name_without_that_part_has_no_other() {
        let (host, flat) = ("frontend.mesh-workloads", "spiffe://mesh.local/frontend");
        assert_eq!(of(Wish::OtherDomain, host), None);
        assert!(of(Wish::OtherDomain, flat).is_some());
        assert_eq!(of(Wish::OtherNamespace, flat), None);
        assert!(of(Wish::OtherName, host).is_some());
    }
}
