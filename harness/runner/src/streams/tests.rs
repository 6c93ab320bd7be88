//! Who is put on which replica.

use super::*;
use harness_cluster::PodAddress;
use harness_model::directory::Sidecar;
use std::collections::BTreeSet;

fn address(name: &str) -> PodAddress {
    PodAddress {
        cluster: "one".to_owned(),
        namespace: "mesh".to_owned(),
        name: name.to_owned(),
        node: "node".to_owned(),
        ip: "10.0.0.1".to_owned(),
    }
}

fn workload(application: &str, data_center: &str) -> Workload {
    let name = format!("{application}@{data_center}");
    Workload {
        address: address(&name),
        ready: true,
        canary: application == "canary",
        sidecar: Sidecar {
            pod: name.clone(),
            pod_uid: name.clone(),
            name,
            cluster: "one".to_owned(),
            data_center: data_center.to_owned(),
            node: "node".to_owned(),
            application: application.to_owned(),
            ip: "10.0.0.1".to_owned(),
            identity: None,
        },
    }
}

fn replica(xds: &str) -> Replica {
    Replica {
        pod: xds.to_owned(),
        address: address(xds),
        xds: xds.to_owned(),
        data_center: "alpha".to_owned(),
        ready: true,
    }
}

fn fleet() -> Vec<Workload> {
    let mut workloads = vec![workload("canary", "alpha"), workload("canary", "beta")];
    for application in ["checkout", "frontend", "inventory"] {
        for data_center in ["alpha", "beta", "gamma"] {
            workloads.push(workload(application, data_center));
        }
    }
    workloads
}

#[test]
fn every_data_center_application_and_pair_of_canaries_is_on_every_replica() {
    let fleet = fleet();
    let replicas = [replica("a"), replica("b")];
    let targets = targets(Arrangement::Spread, &fleet, &replicas);
    let on = |chosen: &dyn Fn(&Workload) -> bool| -> BTreeSet<&str> {
        fleet
            .iter()
            .filter(|workload| chosen(workload))
            .map(|workload| targets[&workload.sidecar.name].xds.as_str())
            .collect()
    };
    let both = BTreeSet::from(["a", "b"]);
    for application in ["canary", "checkout", "frontend", "inventory"] {
        assert_eq!(
            on(&|w| w.sidecar.application == application),
            both,
            "{application}"
        );
    }
    for data_center in ["alpha", "beta", "gamma"] {
        let chosen = |w: &Workload| !w.canary && w.sidecar.data_center == data_center;
        assert_eq!(on(&chosen), both, "{data_center}");
    }
}

#[test]
fn nobody_is_sent_to_a_replica_of_another_cluster() {
    let elsewhere = |mut workload: Workload| {
        workload.sidecar.cluster = "two".to_owned();
        workload.sidecar.name += " in two";
        workload
    };
    let mut both = fleet();
    both.extend(fleet().into_iter().map(elsewhere));
    // Replicas of different clusters may have one address.
    let mut other = replica("a");
    other.address.cluster = "two".to_owned();
    let replicas = [replica("a"), replica("b"), other];
    let targets = targets(Arrangement::Spread, &both, &replicas);
    assert_eq!(targets.len(), both.len());
    for workload in &both {
        let target = targets[&workload.sidecar.name];
        assert_eq!(target.address.cluster, workload.sidecar.cluster);
    }
}

#[test]
fn before_a_replica_is_taken_away_nobody_is_pinned() {
    let replicas = [replica("a"), replica("b")];
    assert!(targets(Arrangement::Free, &fleet(), &replicas).is_empty());
    assert_eq!(targets(Arrangement::Canaries, &fleet(), &replicas).len(), 2);
}

#[test]
fn who_was_not_told_is_told_again_and_is_late() {
    let a = "10.0.0.1:18000".to_owned();
    let mut pins = Pins::default();
    assert!(pins.are_at("uid", None), "nobody is pinned at first");
    pins.told("uid".to_owned(), Some(a.clone()), &Err::<u64, _>("away"));
    assert!(!pins.are_at("uid", Some(&a)), "it may not have been told");
    assert!(!pins.are_at("uid", None), "it may have been told");
    pins.told("uid".to_owned(), Some(a.clone()), &Ok::<u64, &str>(1));
    assert!(pins.are_at("uid", Some(&a)));
    pins.told("uid".to_owned(), None, &Ok::<u64, &str>(2));
    assert!(pins.are_at("uid", None));

    let moved = |sidecar: &str, epoch| Moved {
        sidecar: sidecar.to_owned(),
        epoch,
        replica: None,
    };
    let late = untold(&[moved("a", Ok(1)), moved("b", Err("away".to_owned()))]);
    assert_eq!(late, ["b: away"]);
}
