//! A certificate that nobody vouches for, in the place of one that could not be renewed, or whose agent goes. A sidecar keeps
//! what it has until it is told something else, and with state of the world it cannot be told that there is nothing: this is how
//! a certificate is taken back there.
//!
//! Invariant: it is for the same key and the same name, so that a sidecar takes it, and its signature is its own.

use identity_api::SpiffeId;
use node_agent::certificate::Identity;
use rcgen::{CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, KeyPair, SanType};
use std::time::SystemTime;

/// The version of each.
const VERSION: &str = "stand-in";

/// Whether an identity is a stand-in.
pub(crate) fn is_one(identity: &Identity) -> bool {
    identity.version == VERSION
}

/// The stand-in for what a pod with this ID holds.
///
/// # Errors
///
/// When the ID cannot stand in a certificate, or the key signs nothing.
pub(crate) fn of(id: &SpiffeId, held: &Identity) -> Result<Identity, rcgen::Error> {
    let mut params = CertificateParams::default();
    // The default names rcgen itself.
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(id.to_string().try_into()?)];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let now = SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + held.lifetime).into();
    let certificate = params.self_signed(&KeyPair::from_pem(held.key.pem())?)?;
    Ok(Identity {
        chain: vec![certificate.der().to_vec()],
        key: held.key.clone(),
        lifetime: held.lifetime,
        version: VERSION.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mutation;
    use node_agent::behaviour::{Behaviour as _, Faithful};
    use node_agent::bundle::Bundle;
    use node_agent::certificate::Request;
    use rcgen::{BasicConstraints, IsCa, Issuer, PublicKeyData, SignatureAlgorithm};
    use std::sync::Arc;
    use std::time::Duration;
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer as _;

    struct OfRequest(Vec<u8>);

    impl PublicKeyData for OfRequest {
        fn der_bytes(&self) -> &[u8] {
            &self.0
        }

        fn algorithm(&self) -> &'static SignatureAlgorithm {
            &rcgen::PKCS_ECDSA_P256_SHA256
        }
    }

    fn id() -> SpiffeId {
        "spiffe://mesh.local/ns/mesh-workloads/sa/checkout"
            .parse()
            .expect("an ID")
    }

    /// What an authority with a new root has given, and its root.
    fn held() -> (Arc<Identity>, Bundle) {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let bundle = Bundle::new(vec![root.self_signed(&key).expect("signed").der().to_vec()]);
        let issuer = Issuer::new(root, key);
        let request = Request::new(id()).expect("a request");
        let (_, asked) = X509CertificationRequest::from_der(&request.csr).expect("a request");
        let info = &asked.certification_request_info;
        let key = OfRequest(info.subject_pki.subject_public_key.data.to_vec());
        let mut own = CertificateParams::default();
        let name = id().to_string().try_into().expect("ASCII");
        own.subject_alt_names = vec![SanType::URI(name)];
        let chain = vec![own.signed_by(&key, &issuer).expect("signed").der().to_vec()];
        let minute = Duration::from_secs(60);
        let identity = request.answered(chain, minute, SystemTime::now());
        (Arc::new(identity.expect("good")), bundle)
    }

    #[test]
    fn it_is_of_the_same_key_and_name_and_leads_to_no_root() {
        let (held, bundle) = held();
        assert!(bundle.vouches_for(&held.chain));
        let taken = Mutation::Withdraws.serves_unrenewed(&id(), &held);
        assert!(is_one(&taken) && !is_one(&held));
        assert!(!bundle.vouches_for(&taken.chain));
        assert_eq!(taken.key.pem(), held.key.pem());
        let read = |identity: &Identity| {
            let der = &identity.chain[0];
            let (_, read) = x509_parser::parse_x509_certificate(der).expect("a certificate");
            let names = read.subject_alternative_name().expect("read");
            let names = format!("{:?}", names.expect("there").value.general_names);
            (read.public_key().raw.to_vec(), names)
        };
        assert_eq!(read(&taken), read(&held));
    }

    #[test]
    fn it_is_made_once_and_by_this_bug_alone() {
        let (held, _) = held();
        let taken = Mutation::Withdraws.serves_unrenewed(&id(), &held);
        let again = Mutation::Withdraws.serves_unrenewed(&id(), &taken);
        assert!(Arc::ptr_eq(&again, &taken));
        for kept in [
            Faithful.serves_unrenewed(&id(), &held),
            Mutation::GivesUp.serves_unrenewed(&id(), &held),
            Mutation::WithdrawsAtEnd.serves_unrenewed(&id(), &held),
        ] {
            assert!(Arc::ptr_eq(&kept, &held));
        }
    }

    #[test]
    fn it_is_served_last_by_an_agent_that_takes_back_what_it_served() {
        let (held, bundle) = held();
        let last = Mutation::WithdrawsAtEnd.serves_last(&id(), &held);
        assert!(is_one(&last) && !bundle.vouches_for(&last.chain));
        for kept in [
            Faithful.serves_last(&id(), &held),
            Mutation::Withdraws.serves_last(&id(), &held),
        ] {
            assert!(Arc::ptr_eq(&kept, &held));
        }
    }
}
