//! The authority has the rights that it uses, and no other: what every part asks an API server for is compared with the
//! roles that the mesh definition gives it, both ways.

use crate::authenticate::TokenReviews;
use crate::behaviour::Faithful;
use crate::bundle::Announcements;
use crate::fake_api::{Asked, FakeApi};
use crate::keeping::Keeping;
use crate::ledger;
use crate::pods::Pods;
use crate::publishing::BUNDLE;
use crate::settings::Settings;
use crate::stub;
use identity_api::authority::AUDIENCE;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

const ROLES: &str =
    include_str!("../../../fixtures/meshes/reference/certificate-authority-rbac.yaml");

/// `NAMESPACE GROUP/RESOURCE[ NAME] VERB`; the namespace is empty for the whole cluster.
type Right = String;

#[derive(Deserialize)]
struct Role {
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
    verbs: Vec<String>,
}

fn right(namespace: &str, resource: &str, name: Option<&str>, verb: &str) -> Right {
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    format!("{namespace} {resource}{name} {verb}")
}

fn granted() -> BTreeSet<Right> {
    let documents = ROLES.split("\n---\n");
    let roles = documents.map(|text| serde_saphyr::from_str::<Role>(text).expect("well-formed"));
    let mut granted = BTreeSet::new();
    for role in roles {
        let namespace = role.metadata["namespace"].as_str().unwrap_or_default();
        for rule in &role.rules {
            let mut names: Vec<_> = rule
                .resource_names
                .iter()
                .map(|n| Some(n.as_str()))
                .collect();
            if names.is_empty() {
                names.push(None);
            }
            for group in &rule.api_groups {
                for resource in &rule.resources {
                    let resource = format!("{group}/{resource}");
                    for name in &names {
                        let rights = rule.verbs.iter();
                        granted.extend(rights.map(|verb| right(namespace, &resource, *name, verb)));
                    }
                }
            }
        }
    }
    granted
}

/// The rights that a request needs: of those that would do, the smallest one that is granted.
fn needed(asked: &Asked, granted: &BTreeSet<Right>) -> Vec<Right> {
    let parts: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => panic!("{} is no API", asked.path),
    };
    let (namespace, resource, name) = match rest {
        ["namespaces", namespace, resource] => (*namespace, *resource, None),
        ["namespaces", namespace, resource, name] => (*namespace, *resource, Some(*name)),
        [resource] => ("", *resource, None),
        _ => panic!("{} is not expected", asked.path),
    };
    // An API server takes the name that a list or watch is restricted to for the name of the request.
    let selected = asked
        .query
        .split('&')
        .find_map(|part| part.strip_prefix("fieldSelector=metadata.name%3D"));
    let name = name.or(selected);
    let is_single = name.is_some() && selected.is_none();
    let verbs: &[&str] = match (asked.method.as_str(), is_single) {
        ("GET", false) if asked.query.contains("watch=true") => &["watch"],
        ("GET", false) => &["list"],
        ("GET", true) => &["get"],
        ("POST", false) => &["create"],
        ("PUT", true) => &["update"],
        // Server-side apply, which creates an object of this name where there is none.
        ("PATCH", true) => &["patch", "create"],
        (method, _) => panic!("{method} {} is not expected", asked.path),
    };
    let resource = format!("{group}/{resource}");
    let smallest = |verb: &&str| {
        let places = [(namespace, name), (namespace, None), ("", name), ("", None)];
        let rights = places.map(|(namespace, name)| right(namespace, &resource, name, verb));
        let [most_exact, ..] = rights.clone();
        let mut rights = rights.into_iter();
        let granted = rights.find(|right| granted.contains(right));
        granted.unwrap_or(most_exact)
    };
    verbs.iter().map(smallest).collect()
}

/// Answers so that everybody goes on.
fn answer(asked: Asked, kept: &mut Option<Value>) {
    let path = asked.path.clone();
    let of_resource = |resource: &str| path.ends_with(resource);
    let list = |items: Value| json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
    match asked.method.as_str() {
        // A watch has no news.
        "GET" if asked.query.contains("watch=true") => {}
        "GET" if of_resource("/configmaps/certificate-authority") => match kept {
            Some(map) => {
                let map = map.clone();
                asked.answer(200, map);
            }
            None => asked.refuse(404),
        },
        "GET" if of_resource("/pods/agent") => asked.refuse(404),
        "GET" if of_resource("/namespaces") => {
            let namespace = json!({"metadata": {"name": "somewhere", "resourceVersion": "1"}});
            asked.answer(200, list(json!([namespace])));
        }
        "GET" => asked.answer(200, list(json!([]))),
        "POST" if of_resource("/tokenreviews") => {
            // A token that does not tell its node.
            let extra = json!({"authentication.kubernetes.io/pod-name": ["agent"],
                "authentication.kubernetes.io/pod-uid": ["u"]});
            let user =
                json!({"username": "system:serviceaccount:mesh-system:node-agent", "extra": extra});
            let status = json!({"authenticated": true, "audiences": [AUDIENCE], "user": user});
            asked.answer(201, json!({"spec": {}, "status": status}));
        }
        _ => {
            let mut made = asked.body.clone();
            made["metadata"]["resourceVersion"] = json!("1");
            if !of_resource(BUNDLE) {
                *kept = Some(made.clone());
            }
            asked.answer(200, made);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_right_is_used_and_none_is_missing() {
    let (client, mut api) = FakeApi::new();
    let settings = Settings::read(|name| match name {
        "POD_NAMESPACE" => Some("mesh-system".to_owned()),
        _ => None,
    })
    .expect("complete");
    let issuer = watch::Sender::new(None);
    let issuers = issuer.subscribe();
    let keeping = Keeping::new(
        client.clone(),
        settings.clone(),
        Arc::new(Faithful),
        stub::keys(),
        Arc::new(Announcements::default()),
        issuer,
        Arc::default(),
    );
    let following = Pods::default().follow(
        client.clone(),
        settings.workload_namespace.clone(),
        Arc::default(),
    );
    let reviews = TokenReviews::new(client, Arc::new(Faithful), settings.node_agent_account);
    let parts = [
        tokio::spawn(keeping.run()),
        tokio::spawn(following),
        tokio::spawn(async move {
            let _ = reviews.identify("token").await;
        }),
    ];
    let granted = granted();
    let mut used = BTreeSet::new();
    let mut kept = None;
    // The ledger is read, made, and written once for each step, until there is something to issue below.
    while let Some(asked) = api.next().await {
        used.extend(needed(&asked, &granted));
        answer(asked, &mut kept);
    }
    for part in parts {
        part.abort();
    }
    assert!(
        issuers.borrow().is_some(),
        "the first certificates are made"
    );
    let kept = kept.expect("a ledger");
    assert_eq!(kept["metadata"]["name"], ledger::NAME);
    assert_eq!(used, granted, "used against granted");
}
