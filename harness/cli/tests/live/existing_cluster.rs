//! Runs on a cluster that somebody else runs.

use crate::baseline::{Baseline, Footprint};
use crate::foreign::{Foreign, NAME, output};
use crate::meshproof::{Place, Running, phase_finished, phase_started, scenario_event};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use std::fs;

const TYPO: &str = "name: mine/typo
claim: nobody gets what is meant for the ninth zone
tags: [qa]
when:
- apply:
    name: scoped
    scope: {match: [{dataCenter: $zone9}]}
    toggles: {flag: v1}
then: [delivered, confined]
";

#[test]
fn a_cluster_of_somebody_else_is_used_when_allowed_by_one_run_at_a_time_and_left_as_it_was() {
    let place = Place::new();
    let before = Baseline::take(&place.folders);
    let foreign = Foreign::up(&place).with_images();

    let (code, said) = output(foreign.run(&foreign.kubeconfig, &["routing/own-zone"]));
    assert_eq!(code, Some(3), "not marked and not allowed: {said}");
    let allow = format!("--allow-context {}", foreign.context);
    assert!(said.contains(&allow), "{said}");

    let scenarios = [
        "routing/own-zone",
        "delivery-scope/application",
        "resilience/control-plane-replica-killed",
        "resilience/zone-cut-off",
    ];
    let (code, said) = output(foreign.run_allowed(&scenarios));
    assert!(said.contains("removing what a dead run left"), "{said}");
    assert!(
        said.contains("3 passed, 0 failed, 0 inconclusive, 1 skipped"),
        "{said}"
    );
    assert!(
        said.contains("zone-cut"),
        "the reason of the skip is told: {said}"
    );
    assert_eq!(
        code,
        Some(11),
        "a skipped scenario of the gate is not green: {said}"
    );

    let typo = place.path().join("typo.yaml");
    fs::write(&typo, TYPO).expect("a fresh folder can be written");
    let typo = typo.to_str().expect("its path is text").to_owned();
    let (code, said) = output(foreign.run_allowed(&[&typo]));
    assert_eq!(code, Some(2), "its zones are known once it is read: {said}");
    assert!(
        said.contains("when[0].apply.scope.match[0].dataCenter: there is no data center `$zone9`"),
        "{said}"
    );
    assert!(said.contains("1 not run"), "{said}");

    let (code, said) = output(place.command(&["run", "routing", "--dry-run", "--reuse", NAME]));
    assert_eq!(code, Some(0), "{said}");
    let kept = format!("on the kept cluster {NAME} (topology three-zones)");
    assert!(said.contains(&kept), "{said}");
    let dry = ["run", "routing", "--dry-run", "--reuse", "another"];
    let (code, said) = output(place.command(&dry));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&format!("there are: {NAME}")), "{said}");

    let mut running =
        place.start_command(foreign.run_allowed(&["delivery-scope", "--repeat", "50"]));
    running.wait_for("the cluster", phase_finished("cluster"));
    let (code, said) = output(foreign.run_allowed(&["routing"]));
    assert_eq!(code, Some(3), "another run is on it: {said}");
    let host = nix::unistd::gethostname().expect("a machine has a name");
    let holder = format!("(process {} on {}) (since 20", running.id(), host.display());
    assert!(said.contains(&holder), "{said}");
    assert!(said.contains("hint: wait until that run ends"), "{said}");
    running.signal("INT");
    let (status, _, complaints) = running.finish();
    assert_eq!(status.code(), Some(130), "{complaints}");

    // Nothing of the interrupted run is left to be removed, and its Lease is given back.
    let (code, said) = output(foreign.run_allowed(&scenarios[..1]));
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("removing what a dead run left"), "{said}");
    assert!(!said.contains("whether it still lives"), "{said}");

    foreign.down();
    before.is_restored(
        &place.folders,
        &Footprint::default(),
        "after a foreign cluster",
    );
}

/// The name of the holder that is put into the Lease.
const OTHER: &str = "run of somebody else (process 1 on the moon)";

/// Puts another holder into the Lease, as a run that believes the present one dead.
async fn take_the_lease(client: Client) -> kube::Result<Lease> {
    let leases: Api<Lease> = Api::namespaced(client, "default");
    loop {
        let mut lease = leases.get("meshproof").await?;
        lease.spec.get_or_insert_default().holder_identity = Some(OTHER.to_owned());
        match leases
            .replace("meshproof", &PostParams::default(), &lease)
            .await
        {
            // It was renewed in between.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            other => return other,
        }
    }
}

fn namespaces_of_ours(foreign: &Foreign<'_>) -> Vec<String> {
    foreign.owner(async |client| {
        let ours = ListParams::default().labels("meshproof.io/run");
        let namespaces = Api::<Namespace>::all(client).list(&ours).await?;
        Ok(namespaces.iter().map(|one| one.name_any()).collect())
    })
}

#[test]
fn a_run_whose_lease_was_taken_stops_there_and_leaves_everything_to_the_other() {
    let place = Place::new();
    let foreign = Foreign::up(&place).with_images();
    let mut running: Running =
        place.start_command(foreign.run_allowed(&["delivery-scope", "--repeat", "50"]));
    running.wait_for("an act", scenario_event("written"));
    let taken = foreign.owner(take_the_lease);

    let (status, events, complaints) = running.finish();
    assert_eq!(status.code(), Some(3), "{complaints}");
    assert!(complaints.contains(OTHER), "{complaints}");
    assert!(complaints.contains("\nhint: "), "{complaints}");
    let last = events.last().expect("a run has events");
    assert_eq!(last["type"], "runFinished");
    let error = last["summary"]["environmentError"].as_str();
    assert!(error.is_some_and(|error| error.contains(OTHER)), "{last}");

    // It has neither given back what is not its own nor removed anything there.
    let lease = foreign.owner(async |client| {
        Api::<Lease>::namespaced(client, "default")
            .get("meshproof")
            .await
    });
    assert_eq!(
        lease.metadata.resource_version,
        taken.metadata.resource_version
    );
    assert_eq!(
        namespaces_of_ours(&foreign),
        ["mesh-system", "mesh-workloads"]
    );

    // The next one, to which the other is dead, does.
    let (code, said) = output(foreign.run_allowed(&["routing/own-zone"]));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("{OTHER} (since 20")), "{said}");
    assert!(said.contains("removing what a dead run left"), "{said}");
    assert_eq!(namespaces_of_ours(&foreign), Vec::<String>::new());
    foreign.down();
}

/// Something in a namespace of ours that does not go, as long as nobody takes its finaliser away.
async fn hold_up_the_removal(client: Client) -> kube::Result<()> {
    let held: ConfigMap = object(json!({
        "metadata": { "name": "held", "finalizers": ["example.org/held"] },
    }));
    let held_up = Api::namespaced(client, "mesh-workloads");
    held_up
        .create(&PostParams::default(), &held)
        .await
        .map(drop)
}

#[test]
fn a_lease_that_is_deleted_while_everything_is_removed_ends_the_removal_and_the_run_with_3() {
    let place = Place::new();
    let foreign = Foreign::up(&place).with_images();
    let run = ["delivery-scope/update-and-back", "--repeat", "3"];
    let mut running: Running = place.start_command(foreign.run_allowed(&run));
    running.wait_for("the environment", |event| {
        event["type"] == "environmentReady"
    });
    foreign.owner(hold_up_the_removal);
    running.wait_for("the removal", phase_started("teardown"));
    foreign.owner(async |client| {
        let leases: Api<Lease> = Api::namespaced(client, "default");
        leases.delete("meshproof", &DeleteParams::default()).await
    });

    let (status, events, complaints) = running.finish();
    assert_eq!(status.code(), Some(3), "{complaints}");
    let said = "somebody deleted the Lease default/meshproof";
    assert!(complaints.contains(said), "{complaints}");
    let last = events.last().expect("a run has events");
    let error = last["summary"]["environmentError"].as_str();
    assert!(error.is_some_and(|error| error.contains(said)), "{last}");
    assert_eq!(
        last["summary"]["passed"], 3,
        "what was seen before counts: {last}"
    );
    foreign.down();
}

#[test]
fn objects_of_others_with_names_of_ours_are_all_named_and_nothing_is_applied() {
    let place = Place::new();
    let foreign = Foreign::up(&place);
    let named = |name: &str| json!({ "metadata": { "name": name } });
    let (namespace, role) = foreign.owner(async |client| {
        let namespace: Namespace = object(named("mesh-workloads"));
        let role: ClusterRole = object(named("mesh-control-plane"));
        let account: ServiceAccount = object(named("frontend"));
        let make = PostParams::default();
        let accounts = Api::namespaced(client.clone(), "mesh-workloads");
        let made = (
            Api::all(client.clone()).create(&make, &namespace).await?,
            Api::all(client).create(&make, &role).await?,
        );
        accounts.create(&make, &account).await?;
        Ok(made)
    });

    let (code, said) = output(foreign.run_allowed(&["routing/own-zone"]));
    assert_eq!(code, Some(3), "{said}");
    for name in [
        "Namespace mesh-workloads",
        "ClusterRole mesh-control-plane",
        "ServiceAccount mesh-workloads/frontend",
    ] {
        assert!(said.contains(name), "{name} is not in {said}");
    }
    let version = |metadata: &kube::api::ObjectMeta| metadata.resource_version.clone();
    foreign.owner(async |client| {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let now = namespaces.get("mesh-workloads").await?;
        assert_eq!(now.labels(), namespace.labels());
        assert!(namespaces.get_opt("mesh-system").await?.is_none());
        let now = Api::<ClusterRole>::all(client)
            .get("mesh-control-plane")
            .await?;
        assert_eq!(version(&now.metadata), version(&role.metadata));
        Ok(())
    });
    foreign.down();
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).expect("the object is well-formed")
}

/// A user who may do nothing yet; its token.
async fn new_user(client: Client) -> kube::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
    let account = object(json!({ "metadata": { "name": "limited" } }));
    accounts.create(&PostParams::default(), &account).await?;
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(3600),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request("limited", &PostParams::default(), &request)
        .await?;
    Ok(answer.status.map(|status| status.token).unwrap_or_default())
}

async fn grant(client: Client, rules: Value) -> kube::Result<()> {
    let role: ClusterRole = object(json!({ "metadata": { "name": "limited" }, "rules": rules }));
    let binding: ClusterRoleBinding = object(json!({
        "metadata": { "name": "limited" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "limited" },
        "subjects": [{ "kind": "ServiceAccount", "name": "limited", "namespace": "default" }],
    }));
    let make = PostParams::default();
    Api::all(client.clone()).create(&make, &role).await?;
    Api::all(client).create(&make, &binding).await?;
    Ok(())
}

#[test]
fn rights_that_are_missing_are_told_as_rules_and_those_of_single_scenarios_skip_them() {
    let place = Place::new();
    let foreign = Foreign::up(&place).with_images();
    // What is left of that run is removed by its owner: the user of the test may not have rights on all of it.
    let (code, said) = output(foreign.run_allowed(&["routing/own-zone"]));
    assert_eq!(code, Some(0), "{said}");
    let kubeconfig = foreign.kubeconfig_of(&foreign.owner(new_user));
    let scenarios = [
        "routing/own-zone",
        "resilience/control-plane-replica-killed",
    ];
    let allowed = ["--allow-context", &foreign.context];
    let run = || output(foreign.run(&kubeconfig, &[&scenarios[..], &allowed].concat()));

    let (code, said) = run();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("create namespaces"), "{said}");
    assert!(
        said.contains("patch deployments.apps in the namespace mesh-workloads"),
        "{said}"
    );
    let rules: Vec<Value> = said
        .lines()
        .filter_map(|line| line.strip_prefix("  - "))
        .map(|rule| serde_json::from_str(rule).expect("a rule is JSON, and so YAML"))
        .collect();
    assert!(!rules.is_empty(), "{said}");

    // The rules that were asked for are all that it takes, and no more than that.
    foreign.owner(async |client| grant(client, json!(rules)).await);
    let (code, said) = run();
    assert!(
        said.contains("1 passed, 0 failed, 0 inconclusive, 1 skipped"),
        "{said}"
    );
    assert!(
        said.contains("the right to delete pods in the namespace mesh-system"),
        "{said}"
    );
    assert_eq!(code, Some(11), "{said}");
    assert!(
        said.contains("left there may stay: this user lacks the rights to list "),
        "{said}"
    );
    assert!(said.contains("list cronjobs.batch"), "{said}");
    assert_eq!(namespaces_of_ours(&foreign), Vec::<String>::new());
    foreign.owner(async |client| {
        let leases: Api<Lease> = Api::namespaced(client, "default");
        assert!(
            leases.get_opt("meshproof").await?.is_none(),
            "it is given back"
        );
        Ok(())
    });
    foreign.down();
}
