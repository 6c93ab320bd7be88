//! What each bug does, and what the others do as designed.

use super::*;

fn pod(uid: &str, account: &str) -> Arc<Pod> {
    Arc::new(Pod {
        namespace: "mesh-workloads".to_owned(),
        name: uid.to_owned(),
        uid: uid.to_owned(),
        service_account: account.to_owned(),
    })
}

#[test]
fn names_are_known_both_ways() {
    for mutation in Mutation::ALL {
        assert_eq!(Mutation::from_name(mutation.name()), Some(mutation));
    }
    assert_eq!(Mutation::from_name(""), None);
}

#[test]
fn every_mutant_does_what_its_name_says() {
    let own = pod("1", "checkout");
    let all = Pods {
        complete: true,
        by_uid: [
            ("0".to_owned(), pod("0", "checkout")),
            ("1".to_owned(), own.clone()),
            ("2".to_owned(), pod("2", "frontend")),
        ]
        .into(),
    };
    assert_eq!(Faithful.identity_of(&own, &all).uid, "1");
    assert_eq!(Mutation::ServesAnother.identity_of(&own, &all).uid, "2");
    assert_eq!(Mutation::NeverRenews.identity_of(&own, &all).uid, "1");
    assert!(Faithful.renews() && Mutation::ServesAnother.renews());
    assert!(!Mutation::NeverRenews.renews());
    assert!(Faithful.asks_again() && !Mutation::GivesUp.asks_again());
    assert!(Mutation::GivesUp.backs_off() && !Mutation::AsksAtOnce.backs_off());
    let life = Duration::from_secs(20);
    assert!(Mutation::GivesUp.renews_after(life) < life);
    assert!(Mutation::RenewsLate.renews_after(life) > life);
    let parts = [(); 20].map(|()| Mutation::RenewsTogether.renews_after(life));
    assert!(parts.iter().all(|part| *part == parts[0] && *part < life));
    assert!(Mutation::RenewsLate.keeps_streams() && !Mutation::EndsStreams.keeps_streams());
    assert!(Faithful.sends_renewed(Form::Delta));
    let forms = [Form::StateOfTheWorld, Form::Delta];
    let sent = forms.map(|form| Mutation::ForgetsDelta.sends_renewed(form));
    assert_eq!(sent, [true, false]);
    assert!(Faithful.replaces_socket() && !Mutation::LeavesSocket.replaces_socket());
    assert!(Faithful.restores_place() && !Mutation::ForgetsSocket.restores_place());
    assert!(Faithful.restores_mode() && !Mutation::IgnoresMode.restores_mode());
    assert_eq!(Faithful.socket_mode(0o600), 0o600);
    assert_eq!(Mutation::IgnoresMode.socket_mode(0o600), 0o600);
    assert_eq!(Mutation::OpensSocket.socket_mode(0o600), 0o666);
    assert!(Faithful.follows_bundle() && Mutation::NeverRenews.follows_bundle());
    assert!(!Mutation::KeepsFirstRoots.follows_bundle());
    let chain = [vec![1], vec![2]];
    assert_eq!(Faithful.served(&chain), chain);
    assert_eq!(Mutation::LogsKey.served(&chain), chain);
    assert_eq!(Mutation::LeavesOutIntermediate.served(&chain), &chain[..1]);
    assert_eq!(Faithful.audiences().len(), 1);
    assert_eq!(Mutation::AnyAudience.audiences().len(), 2);
    let claim = PodClaim {
        namespace: own.namespace.clone(),
        service_account: own.service_account.clone(),
        name: own.name.clone(),
        uid: own.uid.clone(),
        node: Some("node-b".to_owned()),
    };
    assert!(Faithful.may_serve(&claim, "node-b"));
    assert!(!Faithful.may_serve(&claim, "node-a"));
    assert!(!Mutation::LogsKey.may_serve(&claim, "node-a"));
    assert!(Mutation::OtherNodes.may_serve(&claim, "node-a"));
}

#[test]
fn who_is_not_there_gets_what_another_pod_of_the_account_has() {
    let own = pod("1", "checkout");
    let all = Pods {
        complete: true,
        by_uid: [("1".to_owned(), own.clone())].into(),
    };
    let claim = |uid: &str, account: &str| PodClaim {
        namespace: own.namespace.clone(),
        service_account: account.to_owned(),
        name: uid.to_owned(),
        uid: uid.to_owned(),
        node: None,
    };
    let found = Faithful.pod_of(&claim("1", "checkout"), &all);
    assert_eq!(found.as_ref(), Some(&own));
    for strange in [claim("gone", "checkout"), claim("", "checkout")] {
        assert_eq!(Faithful.pod_of(&strange, &all), None);
        assert_eq!(Mutation::OtherNodes.pod_of(&strange, &all), None);
        for bug in [Mutation::TakesGone, Mutation::TakesUnbound] {
            let taken = bug.pod_of(&strange, &all).expect("taken");
            assert_eq!(taken.uid, strange.uid);
            assert_eq!(bug.identity_of(&taken, &all).uid, "1");
        }
    }
    let nobody = claim("gone", "frontend");
    assert_eq!(Mutation::TakesGone.pod_of(&nobody, &all), None);
}

#[test]
fn a_key_that_is_logged_can_be_told_for_one() {
    let log = tempfile::NamedTempFile::new().expect("a file");
    // As the program logs.
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Arc::new(log.reopen().expect("there")))
        .with_ansi(false)
        .finish();
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----\n";
    tracing::subscriber::with_default(subscriber, || log_key(&pod("1", "checkout"), key));
    let written = std::fs::read_to_string(log.path()).expect("text");
    assert!(written.contains("-----BEGIN PRIVATE KEY-----"), "{written}");
}
