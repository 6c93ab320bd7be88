//! What each of the bugs does at its seam, and what it leaves as it is.

use super::*;
use certificate_authority::request::Request;

fn identity() -> SpiffeId {
    let id = "spiffe://mesh.local/ns/mesh-workloads/sa/checkout".parse();
    id.expect("an identity")
}

/// What is kept when certificates are issued below an intermediate that was made at this time.
fn issuing(made: SystemTime) -> Ledger {
    let mut certificate = rcgen::CertificateParams::default();
    certificate.not_before = (made - AUTHORITY_SKEW).into();
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = certificate.self_signed(&key).expect("signed").pem();
    let data = [
        ("desired", r#"{"root": 1, "intermediate": 1}"#),
        ("issuing", r#"{"root": 1, "intermediate": 1}"#),
        ("root-1.pem", certificate.as_str()),
        ("intermediate-1-below-root-1.pem", certificate.as_str()),
    ];
    let data = data.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ledger::read(&data.into()).expect("well-formed")
}

/// Whether an intermediate of this age is to be replaced.
fn replaces(behaviour: &dyn Behaviour, age: Duration) -> bool {
    let made = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let mut ledger = issuing(made);
    let _ = behaviour.read(&mut ledger, made + age);
    ledger.desired.expect("there").intermediate > 1
}

/// Whether another intermediate that the operator wants is not wanted any more when the ledger was read.
fn keeps(behaviour: &dyn Behaviour) -> bool {
    let made = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let mut ledger = issuing(made);
    if let Some(desired) = &mut ledger.desired {
        desired.intermediate = 2;
    }
    let _ = behaviour.read(&mut ledger, made);
    ledger.desired.expect("there").intermediate < 2
}

/// How many bugs show in what a seam says; those of the others show over time.
const SAID: usize = 21;

/// A token that says this of itself.
fn token(claims: &str) -> String {
    format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims))
}

/// Whether the agent who shows a token may have a certificate for a pod of some node.
fn admits(
    behaviour: &dyn Behaviour,
    claims: &str,
    said: Result<BoundToken, ReadTokenError>,
) -> bool {
    let said = behaviour.vouched(&token(claims), said);
    said.is_ok_and(|said| {
        said.pod_name.is_some()
            && said.node.is_some_and(|node| {
                let pod = PodFacts {
                    name: "checkout-0".to_owned(),
                    node: "node-a".to_owned(),
                    service_account: "checkout".to_owned(),
                };
                behaviour.accepts_place(&node, &pod)
            })
    })
}

/// Whether a request that is signed by its key is taken, and one that was changed then.
fn takes(behaviour: &dyn Behaviour, params: &rcgen::CertificateParams) -> [bool; 2] {
    takes_of(behaviour, params, &rcgen::PKCS_ECDSA_P256_SHA256)
}

/// The same with a key for this algorithm.
fn takes_of(
    behaviour: &dyn Behaviour,
    params: &rcgen::CertificateParams,
    algorithm: &'static rcgen::SignatureAlgorithm,
) -> [bool; 2] {
    let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
    let request = params.serialize_request(&key).expect("a request");
    let mut tampered = request.der().to_vec();
    *tampered.last_mut().expect("bytes") ^= 1;
    [request.der().as_ref(), &tampered].map(|der| Request::read(der, behaviour).is_ok())
}

/// What each of the seams says of something wrong: token, account, node, signature, name, lifetime, of an old root that
/// is trusted, of an old intermediate, of a root that is not trusted, of an old bundle that is published, of a token that is
/// bound to no pod or to one that is gone, of a short key, of a request for an authority's certificate, of a second name,
/// of a short life, of a key on another curve, of another trust domain, of another intermediate that is wanted, of a root that
/// nobody was told of, and of a bundle that workloads do not get.
fn says(behaviour: &dyn Behaviour) -> [bool; SAID] {
    let pod = PodFacts {
        name: "checkout-0".to_owned(),
        node: "node-b".to_owned(),
        service_account: "checkout".to_owned(),
    };
    let (asked, most) = (Duration::from_secs(7200), Duration::from_secs(3600));
    let desired = Desired {
        root: 2,
        intermediate: 1,
        trust: [1, 2].into(),
        partners: [].into(),
    };
    let other = "URI:spiffe://mesh.local/ns/mesh-workloads/sa/frontend".to_owned();
    let elsewhere = "URI:spiffe://other.mesh.local/ns/mesh-workloads/sa/checkout".to_owned();
    let claims = r#"{"kubernetes.io":{"namespace":"mesh-system","node":{"name":"node-a"},
        "pod":{"name":"agent-0","uid":"u"},"serviceaccount":{"name":"node-agent","uid":"v"}}}"#;
    let unscheduled = r#"{"kubernetes.io":{"namespace":"mesh-system",
        "pod":{"name":"agent-0","uid":"u"},"serviceaccount":{"name":"node-agent","uid":"v"}}}"#;
    let unbound = r#"{"kubernetes.io":{"namespace":"mesh-system",
        "serviceaccount":{"name":"node-agent","uid":"v"}}}"#;
    let invalid = |why: &str| Err(ReadTokenError::Invalid(why.to_owned()));
    let gone = "[invalid bearer token, service account token has been invalidated]";
    let own = format!("URI:{}", identity());
    let plain = rcgen::CertificateParams::default();
    let mut signer = plain.clone();
    signer.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let [is_taken, is_tampered_taken] = takes(behaviour, &plain);
    assert!(is_taken);
    // Made by `openssl req -new -newkey rsa:1024 -outform der`.
    let weak = include_bytes!("../../certificate-authority/src/request/rsa-1024.der");
    [
        admits(behaviour, claims, invalid("it has ended")),
        behaviour.accepts_account("mesh-workloads/checkout", "mesh-system/node-agent"),
        behaviour.accepts_place("node-a", &pod),
        is_tampered_taken,
        behaviour.accepts_names(std::slice::from_ref(&other), &identity()),
        behaviour.lifetime(asked, most) > most,
        !behaviour.trusts(1, true, &desired),
        replaces(behaviour, OLD),
        behaviour.trusts(1, false, &desired) && behaviour.trusts_partner(false),
        behaviour.publishes("new".to_owned(), Some("old")) == "old",
        admits(behaviour, unbound, Err(ReadTokenError::Unbound)),
        admits(behaviour, unscheduled, invalid(gone)),
        Request::read(weak, behaviour).is_ok(),
        takes(behaviour, &signer)[0],
        behaviour.accepts_names(&[own, other], &identity()),
        behaviour.lifetime(Duration::from_secs(60), most) == most,
        takes_of(behaviour, &plain, &rcgen::PKCS_ECDSA_P384_SHA384)[0],
        behaviour.accepts_names(&[elsewhere], &identity()),
        keeps(behaviour),
        behaviour.accepts_root(None, Duration::ZERO),
        behaviour.publishes_in(&settings()).0 == "mesh-system",
    ]
}

fn settings() -> Settings {
    let own = |name: &str| (name == "POD_NAMESPACE").then(|| "mesh-system".to_owned());
    Settings::read(own).expect("complete")
}

#[test]
fn names_are_known_both_ways() {
    for mutation in Mutation::ALL {
        assert_eq!(Mutation::from_name(mutation.name()), Some(mutation));
    }
    assert_eq!(Mutation::from_name(""), None);
}

#[test]
fn every_mutant_does_what_its_name_says_and_nothing_else() {
    assert_eq!(says(&Faithful), [false; SAID]);
    for (place, mutation) in Mutation::ALL.iter().enumerate() {
        let mut expected = [false; SAID];
        if let Some(said) = expected.get_mut(place) {
            *said = true;
        }
        // Whoever takes any name takes two, and one of another trust domain, and any token is taken whose pod is gone, but none
        // that has no node.
        if *mutation == Mutation::AnyName {
            expected[SAID - 7] = true;
            expected[SAID - 4] = true;
        }
        assert_eq!(says(mutation), expected, "{}", mutation.name());
    }
}

#[test]
fn a_request_on_another_curve_is_verified_and_its_name_is_the_pods_own() {
    let plain = rcgen::CertificateParams::default();
    let curve = Mutation::TakesAnyCurve;
    let taken = takes_of(&curve, &plain, &rcgen::PKCS_ECDSA_P384_SHA384);
    assert_eq!(taken, [true, false]);
    let domain = Mutation::IgnoresDomain;
    for (name, is_taken) in [
        ("URI:spiffe://a/ns/mesh-workloads/sa/checkout", true),
        ("URI:spiffe://a/ns/mesh-workloads/sa/frontend", false),
        ("URI:spiffe://a/ns/other/sa/checkout", false),
        ("DNS:a", false),
    ] {
        let names = [name.to_owned()];
        let taken = domain.accepts_names(&names, &identity());
        assert_eq!(taken, is_taken, "{name}");
    }
}

#[test]
fn what_is_published_first_is_the_bundle() {
    let publishes = |behaviour: &dyn Behaviour| behaviour.publishes("new".to_owned(), None);
    assert_eq!(publishes(&Mutation::PublishesFirst), "new");
    assert_eq!(publishes(&Faithful), "new");
}

#[test]
fn a_pod_is_gone_before_an_api_server_knows_it() {
    let said = BoundToken {
        namespace: "mesh-system".to_owned(),
        account: "node-agent".to_owned(),
        pod_uid: "u".to_owned(),
        pod_name: Some("agent-0".to_owned()),
        node: None,
    };
    assert!(!admits(&Faithful, "{}", Ok(said.clone())));
    assert!(admits(&Mutation::TakesGone, "{}", Ok(said.clone())));
    let there = BoundToken {
        node: Some("node-b".to_owned()),
        ..said
    };
    assert!(!admits(&Mutation::TakesGone, "{}", Ok(there)));
}

#[test]
fn an_intermediate_is_replaced_when_it_is_old_and_what_was_raised_stays() {
    let rolls = Mutation::RollsUnasked;
    assert!(!replaces(&rolls, OLD - Duration::from_secs(1)));
    let mut ledger = issuing(UNIX_EPOCH + Duration::from_secs(2_000_000_000));
    // As it is after one was replaced: the operator still wants the first.
    if let Some(desired) = &mut ledger.desired {
        desired.intermediate = 0;
    }
    let again = rolls.read(&mut ledger, UNIX_EPOCH + Duration::from_secs(2_000_000_000));
    assert_eq!(again, Some(OLD));
    assert_eq!(ledger.desired.expect("there").intermediate, 1);
    let mut begun = Ledger::default();
    assert_eq!(rolls.read(&mut begun, SystemTime::now()), None);
}

#[test]
fn a_new_root_is_held_back_for_a_while_where_there_is_another_one() {
    let made = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    let bug = Mutation::AnnouncesLate;
    // Which roots are in the bundle, and when the ledger is to be read again.
    let told = |behaviour: &dyn Behaviour, root: u32, age: Duration| {
        let mut ledger = issuing(made);
        let old = ledger.roots[&1].clone();
        ledger.roots.insert(root, old);
        if let Some(desired) = &mut ledger.desired {
            desired.root = root;
            desired.trust = [1, root].into();
        }
        let again = behaviour.read(&mut ledger, made + age);
        let desired = ledger.desired.expect("there");
        let roots = ledger.roots.keys().copied();
        let told: Vec<u32> = roots
            .filter(|root| behaviour.trusts(*root, true, &desired))
            .collect();
        (told, again)
    };
    let second = Duration::from_secs(1);
    assert_eq!(told(&bug, 2, second), (vec![1], Some(LATE - second)));
    assert_eq!(told(&bug, 2, LATE), (vec![1, 2], None));
    assert_eq!(told(&bug, 1, second), (vec![1], None), "the first one");
    assert_eq!(told(&Faithful, 2, second), (vec![1, 2], None));
    assert!(bug.accepts_root(None, LATE) && !Faithful.accepts_root(None, LATE));
    let spread = Spread {
        since: LATE,
        is_everywhere: true,
    };
    assert!(Faithful.accepts_root(Some(spread), LATE));
}

#[test]
fn a_bundle_that_is_published_at_home_is_nowhere_else() {
    let (home, others) = Mutation::PublishesAtHome.publishes_in(&settings());
    assert_eq!(home, "mesh-system");
    assert_eq!(others, "kubernetes.io/metadata.name=mesh-system");
    let everywhere = ("mesh-workloads".to_owned(), String::new());
    assert_eq!(Faithful.publishes_in(&settings()), everywhere);
}

#[test]
fn a_ledger_that_is_begun_is_followed_by_who_keeps_its_intermediate() {
    let mut begun = issuing(SystemTime::now());
    begun.issuing = None;
    let as_read = begun.clone();
    let again = Mutation::KeepsIntermediate.read(&mut begun, SystemTime::now());
    assert_eq!((again, begun), (None, as_read));
}
