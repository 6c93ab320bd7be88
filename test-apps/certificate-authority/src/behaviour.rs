//! Where the authority takes its decisions, so that another binary can take wrong ones on purpose.
//!
//! Invariant: every method's default is the faithful behaviour, and nothing here knows of any other.

use crate::keys::Connection;
use crate::ledger::{Desired, Ledger};
use crate::pods::PodFacts;
use crate::public_key::RSA_LEAST;
use crate::settings::Settings;
use api_client::{BoundToken, ReadTokenError};
use identity_api::SpiffeId;
use std::time::{Duration, SystemTime};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_EC_P256, Oid};

/// The shortest that a pod's certificate is valid: whoever asked needs some time to ask again.
pub const LEAST_LIFETIME: Duration = Duration::from_secs(2);

/// How far a root has spread since it came into the trust bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// For how long it has been published.
    pub since: Duration,
    /// Every node agent that watches the bundle at this replica has been sent it.
    pub is_everywhere: bool,
}

/// The decisions of the authority.
pub trait Behaviour: Send + Sync + 'static {
    /// Whom a token is taken to be of, when the API server says this of it.
    ///
    /// # Errors
    ///
    /// When it does not count.
    fn vouched(
        &self,
        _token: &str,
        said: Result<BoundToken, ReadTokenError>,
    ) -> Result<BoundToken, ReadTokenError> {
        said
    }

    /// Whether a service account (`NAMESPACE/NAME`) may ask for certificates; `expected` is that of node agents.
    fn accepts_account(&self, account: &str, expected: &str) -> bool {
        account == expected
    }

    /// Whether the agent of a node may have certificates for a pod.
    fn accepts_place(&self, node: &str, pod: &PodFacts) -> bool {
        pod.node == node
    }

    /// The least bits of an RSA key that a certificate is for.
    fn least_rsa_bits(&self) -> usize {
        RSA_LEAST
    }

    /// Whether a certificate may be for a key of ECDSA on this curve.
    fn accepts_curve(&self, curve: &Oid<'_>) -> bool {
        *curve == OID_EC_P256
    }

    /// Whether the signature of a request is of the key in it.
    fn accepts_signature(&self, request: &X509CertificationRequest<'_>) -> bool {
        request.verify_signature().is_ok()
    }

    /// Whether a request may say that its certificate is to sign others.
    fn accepts_signers(&self) -> bool {
        false
    }

    /// Whether a pod of this identity may have a certificate for these names, each with its kind (`URI:spiffe://...`).
    fn accepts_names(&self, names: &[String], identity: &SpiffeId) -> bool {
        matches!(names, [name] if *name == format!("URI:{identity}"))
    }

    /// How the key service is asked; `remote` is the connection to it.
    fn asks_keys(&self, remote: Connection) -> Connection {
        remote
    }

    /// How long a certificate is valid when this is asked for, and that is the most.
    fn lifetime(&self, asked: Duration, most: Duration) -> Duration {
        asked.min(most).max(LEAST_LIFETIME)
    }

    /// The ledger was read at this time, and is about to be followed. Tells when it is to be read again though nobody writes to
    /// it; none: that is early enough when roots and intermediates are looked after anyway.
    fn read(&self, _ledger: &mut Ledger, _now: SystemTime) -> Option<Duration> {
        None
    }

    /// Whether certificates may lead to a root that came into the bundle after another one, or is not in it yet (`spread` is
    /// none); `roll_after` is how long that takes at least.
    fn accepts_root(&self, spread: Option<Spread>, roll_after: Duration) -> bool {
        spread.is_some_and(|spread| spread.is_everywhere && spread.since >= roll_after)
    }

    /// Whether a root is put into the bundle; `is_trusted` tells whether the ledger calls it trusted.
    fn trusts(&self, _root: u32, is_trusted: bool, _desired: &Desired) -> bool {
        is_trusted
    }

    /// Whether a root of somebody else's is put into the bundle; `is_trusted` tells whether the operator wants it.
    fn trusts_partner(&self, is_trusted: bool) -> bool {
        is_trusted
    }

    /// Where the ConfigMaps are: the namespace that must take one, and the label selector of the others, an empty one for all.
    fn publishes_in(&self, settings: &Settings) -> (String, String) {
        let home = settings.workload_namespace.clone();
        (home, settings.trust_bundle_namespaces.clone())
    }

    /// What the ConfigMaps are to say when this is the bundle, PEM; `published` is what they say now, if anything.
    fn publishes(&self, bundle: String, _published: Option<&str>) -> String {
        bundle
    }
}

/// As designed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faithful;

impl Behaviour for Faithful {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_one_name() {
        let identity: SpiffeId = "spiffe://mesh.local/ns/a/sa/b"
            .parse()
            .expect("an identity");
        let accepts = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            Faithful.accepts_names(&names, &identity)
        };
        let own = "URI:spiffe://mesh.local/ns/a/sa/b";
        assert!(accepts(&[own]));
        for others in [
            &[][..],
            &[own, own],
            &[own, "DNS:b"],
            &["DNS:spiffe://mesh.local/ns/a/sa/b"],
            &["URI:spiffe://mesh.local/ns/a/sa/c"],
            &["URI:spiffe://other.local/ns/a/sa/b"],
            &["URI:spiffe://mesh.local/ns/c/sa/b"],
        ] {
            assert!(!accepts(others), "{others:?}");
        }
    }

    #[test]
    fn lifetimes_have_bounds() {
        let seconds = Duration::from_secs;
        for (asked, granted) in [(1, 2), (2, 2), (60, 60), (3600, 100)] {
            assert_eq!(
                Faithful.lifetime(seconds(asked), seconds(100)),
                seconds(granted)
            );
        }
    }
}
