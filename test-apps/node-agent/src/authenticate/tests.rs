//! Claims of tokens, and who is admitted with them.

use super::*;
use crate::behaviour::Faithful;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fake_api::FakeApi;
use identity_api::authority::NODE_AGENT_AUDIENCE;
use serde_json::json;

fn audiences() -> Vec<String> {
    vec![NODE_AGENT_AUDIENCE.to_owned()]
}

fn of(status: serde_json::Value) -> Result<PodClaim, AuthenticateError> {
    let review = json!({"spec": {}, "status": status});
    claim(
        &serde_json::from_value(review).expect("well-formed"),
        &audiences(),
    )
}

fn user(without: &str) -> serde_json::Value {
    let mut extra = json!({
        "authentication.kubernetes.io/pod-uid": ["u"],
        "authentication.kubernetes.io/pod-name": ["p"],
        "authentication.kubernetes.io/node-name": ["n"]
    });
    extra
        .as_object_mut()
        .expect("an object")
        .remove(&format!("authentication.kubernetes.io/{without}"));
    json!({"username": "system:serviceaccount:mesh-workloads:checkout", "extra": extra})
}

fn valid(user: serde_json::Value) -> serde_json::Value {
    json!({"authenticated": true, "audiences": [NODE_AGENT_AUDIENCE], "user": user})
}

fn bound() -> PodClaim {
    PodClaim {
        namespace: "mesh-workloads".into(),
        service_account: "checkout".into(),
        name: "p".into(),
        uid: "u".into(),
        node: Some("n".into()),
    }
}

fn listed(pod: &PodClaim) -> Arc<Pods> {
    let pod = Pod {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        service_account: pod.service_account.clone(),
    };
    Arc::new(Pods {
        complete: true,
        by_uid: [(pod.uid.clone(), Arc::new(pod))].into(),
    })
}

#[test]
fn a_bound_token_names_its_pod() {
    assert_eq!(of(valid(user("nothing"))).expect("valid"), bound());
    let older = of(valid(user("node-name"))).expect("valid");
    assert_eq!(older.node, None);
}

#[test]
fn everything_else_is_refused() {
    let table = [
        (
            json!({"authenticated": false, "error": "expired"}),
            "expired",
        ),
        (
            json!({"authenticated": true, "user": user("")}),
            "another audience",
        ),
        (
            json!({"authenticated": true, "audiences": ["mesh-control-plane"], "user": user("")}),
            "another audience",
        ),
        (valid(user("pod-uid")), "not bound"),
        (valid(user("pod-name")), "not bound"),
        (
            valid(json!({"username": "system:serviceaccount:a:b"})),
            "not bound",
        ),
        (
            valid(json!({"username": "admin", "extra": user("")["extra"]})),
            "not bound",
        ),
    ];
    for (status, expected) in table {
        let error = of(status).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_reviewed_once_in_a_while_and_for_this_audience_alone() {
    let (client, mut api) = FakeApi::new();
    let reviews = Arc::new(TokenReviews::new(client, audiences()));
    let ask = || {
        let reviews = reviews.clone();
        tokio::spawn(async move { reviews.authenticate("token".into()).await })
    };
    let first = ask();
    let asked = api.next().await.expect("a review");
    assert!(asked.path.ends_with("/tokenreviews"), "{}", asked.path);
    assert_eq!(asked.body["spec"]["token"], "token");
    assert_eq!(
        asked.body["spec"]["audiences"],
        json!([NODE_AGENT_AUDIENCE])
    );
    asked.answer(201, json!({"spec": {}, "status": valid(user(""))}));
    assert_eq!(first.await.expect("no panic").expect("valid"), bound());
    assert_eq!(ask().await.expect("no panic").expect("known"), bound());
    assert!(api.next().await.is_none(), "not asked again");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_reviewed_each_time_after_its_end() {
    let (client, mut api) = FakeApi::new();
    let reviews = Arc::new(TokenReviews::new(client, audiences()));
    let vouched = || json!({"spec": {}, "status": valid(user(""))});
    // Seconds since 1970: API servers bear with clocks that are a minute behind, so one may vouch for the first.
    for (end, is_remembered) in [(1, false), (4_000_000_000_u64, true)] {
        let claims = URL_SAFE_NO_PAD.encode(json!({"exp": end}).to_string());
        let token = format!("e30.{claims}.x");
        let ask = || {
            let (reviews, token) = (reviews.clone(), token.clone());
            tokio::spawn(async move { reviews.authenticate(token).await })
        };
        let first = ask();
        let asked = api.next().await.expect("a review");
        assert_eq!(asked.body["spec"]["token"], token.as_str());
        asked.answer(201, vouched());
        assert!(first.await.expect("no panic").is_ok());
        let again = ask();
        let asked = api.next().await;
        assert_eq!(asked.is_none(), is_remembered, "{end}");
        if let Some(asked) = asked {
            asked.answer(201, vouched());
        }
        assert!(again.await.expect("no panic").is_ok());
    }
}

async fn admission(
    claim: &PodClaim,
    pods: &watch::Sender<Arc<Pods>>,
) -> Result<Arc<Pod>, AuthenticateError> {
    admit(claim, "n", "mesh-workloads", &Faithful, pods.subscribe()).await
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_not_known_yet_is_waited_for_a_while() {
    let pods = watch::Sender::new(Arc::default());
    let started = tokio::time::Instant::now();
    let error = admission(&bound(), &pods).await.expect_err("not there");
    assert!(matches!(error, AuthenticateError::UnknownPod), "{error}");
    assert!(started.elapsed() >= POD_APPEARS);

    let claim = bound();
    let waits = tokio::join!(admission(&claim, &pods), async {
        pods.send_replace(listed(&bound()));
    });
    assert_eq!(waits.0.expect("admitted").name, "p");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_belong_here_is_refused_at_once() {
    let pods = watch::Sender::new(listed(&bound()));
    let started = tokio::time::Instant::now();
    let outside = PodClaim {
        namespace: "elsewhere".into(),
        ..bound()
    };
    let away = PodClaim {
        node: Some("m".into()),
        ..bound()
    };
    let renamed = PodClaim {
        name: "q".into(),
        ..bound()
    };
    let promoted = PodClaim {
        service_account: "admin".into(),
        ..bound()
    };
    for (claim, expected) in [
        (outside, "`elsewhere`"),
        (away, "node `m`"),
        (renamed, "does not fit"),
        (promoted, "does not fit"),
    ] {
        let error = admission(&claim, &pods).await.expect_err("refused");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    let unnamed = PodClaim {
        node: None,
        ..bound()
    };
    assert!(admission(&unnamed, &pods).await.is_ok(), "the list decides");
}
