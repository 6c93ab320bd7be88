//! What whoever comes over to a replica that has just started is told of endpoints.

use super::{Trial, base, with_policy};
use crate::Mutation;
use control_plane::behaviour::Recipient;
use control_plane::stream::Form;
use control_plane::world::{Endpoint, Service, Services, World, WorldStore};
use std::sync::Arc;
use tokio::time::Instant;

/// A world with a policy and two services, and the pods that answer for each.
fn answered_by(one: &[&str], other: &[&str]) -> World {
    let world = with_policy(base(), "p", "east", 1, "on");
    let service = |pods: &[&str]| {
        let endpoint = |pod: &&str| Endpoint {
            ip: world.sidecars[*pod].ip,
            port: 80,
            region: String::new(),
            zone: String::new(),
        };
        Service {
            ports: [(80, pods.iter().map(endpoint).collect())].into(),
            ..Service::default()
        }
    };
    let services = [
        ("one".to_owned(), service(one)),
        ("other".to_owned(), service(other)),
    ];
    World {
        services: Arc::new(Services::new(services.into())),
        ..world.clone()
    }
}

/// What the resources of a pod's sidecar are made of.
fn view(trial: &Trial, pod: &str, resumed: bool) -> Arc<World> {
    let recipient = Recipient {
        sidecar: trial.world.sidecars[pod].clone(),
        stream: 1,
        resumed,
        form: Form::StateOfTheWorld,
    };
    trial.behaviour.view(trial.world.clone(), &recipient)
}

#[tokio::test(start_paused = true)]
async fn who_comes_over_early_knows_itself_alone_until_the_streams_are_woken() {
    let store = WorldStore::new();
    let mut trial = Trial::of(Mutation::ResumesWithoutEndpoints);
    let started = Instant::now();
    trial.behaviour.attach(&store);
    let world = answered_by(&["a", "b"], &["c"]);
    trial.publish(&world);
    let mut woken = store.subscribe();
    assert_eq!(*view(&trial, "a", false), world, "who is new is served");
    assert_eq!(*view(&trial, "a", true), answered_by(&["a"], &[]));
    assert_eq!(*view(&trial, "b", true), answered_by(&["b"], &[]));
    assert_eq!(*view(&trial, "c", true), answered_by(&[], &["c"]));
    woken.changed().await.expect("the store is there");
    assert!(started.elapsed().as_secs() >= 10);
    assert_eq!(*view(&trial, "a", true), world, "all are known by then");
    let mut faithful = Trial::faithful();
    faithful.publish(&world);
    assert_eq!(*view(&faithful, "a", true), world);
}
