//! Chains that are made here, as those who verify them see them.

use super::*;
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use std::sync::Arc;
use x509_parser::extensions::ParsedExtension;

fn key(pair: &KeyPair) -> PublicKey {
    PublicKey::read(&pair.subject_public_key_info()).expect("accepted")
}

fn pair() -> KeyPair {
    KeyPair::generate().expect("a key")
}

fn signed(draft: &Draft, signer: &KeyPair) -> rcgen::Certificate {
    let message = draft.message().expect("a message");
    let signature = signer.sign(&message).expect("a signature");
    draft.signed(&signature).expect("a certificate")
}

fn identity() -> SpiffeId {
    "spiffe://mesh.local/ns/a/sa/b"
        .parse()
        .expect("an identity")
}

/// A root, an intermediate with its key, and a moment at which both are valid.
fn authorities() -> (Authority, Authority, KeyPair, SystemTime) {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let (root_pair, intermediate_pair) = (pair(), pair());
    let root = signed(
        &Draft::root("mesh root 1", key(&root_pair), now),
        &root_pair,
    );
    let root = Authority::read(&root.pem()).expect("a root");
    let draft = Draft::intermediate("mesh intermediate 1", key(&intermediate_pair), &root, now);
    let intermediate = signed(&draft.expect("in time"), &root_pair);
    let intermediate = Authority::read(&intermediate.pem()).expect("an intermediate");
    (root, intermediate, intermediate_pair, now)
}

fn verify(root: &Authority, chain: [&[u8]; 2], second: u64) -> Result<(), rustls::Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(root.der.clone()))
        .expect("a root");
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
        .build()
        .expect("a verifier");
    let [own, intermediate] = chain.map(|der| CertificateDer::from(der.to_vec()));
    let now = UnixTime::since_unix_epoch(Duration::from_secs(second));
    verifier
        .verify_client_cert(&own, &[intermediate], now)
        .map(drop)
}

#[test]
fn a_chain_leads_to_its_root_while_it_is_valid() {
    let (root, intermediate, signer, now) = authorities();
    let pod = pair();
    let draft = Draft::pod(
        &identity(),
        key(&pod),
        &intermediate,
        now,
        Duration::from_secs(60),
    );
    let certificate = signed(&draft.expect("in time"), &signer);
    let chain = [certificate.der().as_ref(), &intermediate.der];
    let second = 1_800_000_000;
    for (moment, is_valid) in [
        (second - 6, false),
        (second - 5, true),
        (second + 60, true),
        (second + 61, false),
    ] {
        assert_eq!(verify(&root, chain, moment).is_ok(), is_valid, "{moment}");
    }
    let (other, ..) = authorities();
    assert!(verify(&other, chain, second).is_err());
}

#[test]
fn a_pods_certificate_has_what_it_needs_and_no_more() {
    let (_, intermediate, signer, now) = authorities();
    let draft = Draft::pod(
        &identity(),
        key(&pair()),
        &intermediate,
        now,
        Duration::from_secs(60),
    );
    let certificate = signed(&draft.expect("in time"), &signer);
    let (_, read) = X509Certificate::from_der(certificate.der()).expect("a certificate");
    let mut found = Vec::new();
    for extension in read.extensions() {
        let word = match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                let names: Vec<String> =
                    names.general_names.iter().map(|n| n.to_string()).collect();
                assert_eq!(names, ["URI(spiffe://mesh.local/ns/a/sa/b)"]);
                "names"
            }
            ParsedExtension::KeyUsage(usage) => {
                assert_eq!(usage.flags, 1, "digitalSignature alone");
                "usage"
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                assert!(usage.server_auth && usage.client_auth && !usage.any);
                "extended usage"
            }
            ParsedExtension::BasicConstraints(constraints) => {
                assert!(!constraints.ca);
                "no authority"
            }
            ParsedExtension::AuthorityKeyIdentifier(issuer) => {
                let (_, intermediate) =
                    X509Certificate::from_der(&intermediate.der).expect("a certificate");
                let own = intermediate.extensions().iter().find_map(|extension| {
                    match extension.parsed_extension() {
                        ParsedExtension::SubjectKeyIdentifier(own) => Some(own.clone()),
                        _ => None,
                    }
                });
                assert_eq!(issuer.key_identifier, own);
                "issuer"
            }
            ParsedExtension::SubjectKeyIdentifier(_) => "subject",
            other => panic!("{other:?}"),
        };
        found.push(word);
    }
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "extended usage",
            "issuer",
            "names",
            "no authority",
            "subject",
            "usage"
        ]
    );
    assert_eq!(read.subject().iter().count(), 0);
}

#[test]
fn nothing_is_valid_longer_than_its_issuer_or_before_it() {
    let (root, intermediate, _, now) = authorities();
    let of = |now, lifetime| {
        Draft::pod(&identity(), key(&pair()), &intermediate, now, lifetime)
            .map(|draft| (draft.params.not_before, draft.params.not_after))
    };
    let second = |second| date_time_ymd(1970, 1, 1) + Duration::from_secs(second);
    let Validity { from, until } = intermediate.validity;
    assert!(until < root.validity.until && from == root.validity.from);
    let early = of(
        UNIX_EPOCH + Duration::from_secs(from),
        Duration::from_secs(60),
    );
    assert_eq!(early, Some((second(from), second(from + 60))));
    let long = of(now, Duration::from_secs(20 * 365 * DAY));
    assert_eq!(long.map(|(_, end)| end), Some(second(until)));
    let late = UNIX_EPOCH + Duration::from_secs(until + 10);
    assert_eq!(of(late, Duration::from_secs(60)), None);
}

#[test]
fn serial_numbers_are_positive_and_differ() {
    let (root, intermediate, ..) = authorities();
    let serial = |authority: &Authority| {
        let (_, read) = X509Certificate::from_der(&authority.der).expect("a certificate");
        assert!(read.raw_serial().len() <= 17);
        assert_eq!(read.raw_serial()[0] & 0x80, 0, "positive");
        read.raw_serial().to_vec()
    };
    assert_ne!(serial(&root), serial(&intermediate));
}

#[test]
fn a_signature_of_another_key_is_noticed() {
    let (_, intermediate, _, now) = authorities();
    let draft = Draft::pod(
        &identity(),
        key(&pair()),
        &intermediate,
        now,
        Duration::from_secs(60),
    )
    .expect("in time");
    let signature = pair()
        .sign(&draft.message().expect("a message"))
        .expect("a signature");
    assert!(matches!(
        draft.signed(&signature),
        Err(MakeCertificateError::Signature)
    ));
}
