//! Every mutant does what its name says, and the faithful behaviour does not.

mod resuming;

use crate::{Mutation, build};
use control_plane::behaviour::{
    Behaviour, CalleeChecks, DeltaHandling, Faithful, Recipient, Security, Traffic,
};
use control_plane::effective::Effective;
use control_plane::leading::Round;
use control_plane::snapshot::{Kind, Resource, Snapshot};
use control_plane::stream::Form;
use control_plane::stream::delta::{DeltaRequest, DeltaStream};
use control_plane::world::{
    Endpoint, Policy, Replica, Scope, Service, Services, Sidecar, World, WorldStore,
};
use mesh_api::{
    Destination, HeaderMatch, InboundTls, OutboundTls, PolicyConfigSpec, PolicyConfigStatus,
    RoutingRule, RuleMatch, ScopeConfigSpec, ScopeEntry, TlsPolicy,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

fn entry(data_center: &str, ip: &str) -> ScopeEntry {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ScopeEntry {
        data_center: some(data_center),
        ip: some(ip),
        ..ScopeEntry::default()
    }
}

fn with_scope(
    mut world: World,
    name: &str,
    entries: Vec<ScopeEntry>,
    except: Vec<ScopeEntry>,
) -> World {
    let scope = Scope {
        name: name.into(),
        uid: name.into(),
        generation: 1,
        spec: ScopeConfigSpec { entries, except },
    };
    world.scopes.insert(name.into(), Arc::new(scope));
    world
}

fn with_policy(mut world: World, name: &str, scope: &str, generation: i64, value: &str) -> World {
    let policy = Policy {
        name: name.into(),
        uid: name.into(),
        generation,
        created: 1,
        spec: PolicyConfigSpec {
            scope_ref: scope.into(),
            toggles: [("key".to_owned(), value.into())].into(),
            rules: vec![RoutingRule {
                name: "rule".into(),
                service: value.into(),
                condition: RuleMatch {
                    headers: vec![HeaderMatch::default()],
                    ..RuleMatch::default()
                },
                ..RoutingRule::default()
            }],
            ..PolicyConfigSpec::default()
        },
    };
    world.policies.insert(name.into(), Arc::new(policy));
    world
}

/// East is addressed, west is not; `a` is in the east, `b` and `c` are in the west.
fn base() -> World {
    let sidecar = |name: &str, zone: &str, ip: &str| {
        let sidecar = Sidecar {
            pod: name.into(),
            uid: name.into(),
            data_center: zone.into(),
            ip: ip.parse().expect("an address"),
            ..Sidecar::default()
        };
        (name.to_owned(), Arc::new(sidecar))
    };
    let world = World {
        sidecars: [
            sidecar("a", "east", "10.0.0.1"),
            sidecar("b", "west", "10.0.0.2"),
            sidecar("c", "west", "10.0.0.3"),
        ]
        .into(),
        ..World::default()
    };
    with_scope(world, "east", vec![entry("east", "")], vec![])
}

struct Trial {
    behaviour: Arc<dyn Behaviour>,
    world: Arc<World>,
}

impl Trial {
    fn of(mutation: Mutation) -> Self {
        Self {
            behaviour: build(mutation, "replica-0"),
            world: Arc::default(),
        }
    }

    fn faithful() -> Self {
        Self {
            behaviour: Arc::new(Faithful),
            world: Arc::default(),
        }
    }

    fn publish(&mut self, world: &World) -> &Self {
        self.world = self.behaviour.publish(Arc::new(world.clone()));
        self
    }

    fn at(&self, pod: &str, stream: u64, resumed: bool) -> Effective {
        let recipient = Recipient {
            sidecar: self.world.sidecars[pod].clone(),
            stream,
            resumed,
            form: Form::StateOfTheWorld,
        };
        let view = self.behaviour.view(self.world.clone(), &recipient);
        self.behaviour.effective(&view, &recipient)
    }

    fn key(&self, pod: &str) -> Option<String> {
        self.at(pod, 1, false).toggles.get("key").cloned()
    }
}

#[test]
fn leaks_reach_those_out_of_scope() {
    let world = with_policy(base(), "p", "east", 1, "on");
    assert_eq!(Trial::faithful().publish(&world).key("b"), None);
    assert!(
        Trial::of(Mutation::ScopeIgnored)
            .publish(&world)
            .key("b")
            .is_some()
    );
    let mut one = Trial::of(Mutation::OneSidecarTooMany);
    one.publish(&world);
    assert!(one.key("a").is_some() && one.key("b").is_some() && one.key("c").is_none());
    let mut again = Trial::of(Mutation::LeakOnReconnect);
    again.publish(&world);
    assert!(again.at("b", 1, false).toggles.is_empty());
    assert!(!again.at("b", 2, true).toggles.is_empty());
    let mut rules = Trial::of(Mutation::LeakRulesOnly);
    let leaked = rules.publish(&world).at("b", 1, false);
    assert!(leaked.toggles.is_empty() && !leaked.rules.is_empty());
    let mut toggles = Trial::of(Mutation::LeakTogglesOnly);
    let leaked = toggles.publish(&world).at("b", 1, false);
    assert!(!leaked.toggles.is_empty() && leaked.rules.is_empty());
}

#[test]
fn only_who_speaks_delta_is_leaked_to() {
    let mut trial = Trial::of(Mutation::DeltaLeak);
    trial.publish(&with_policy(base(), "p", "east", 1, "on"));
    for (form, leaks) in [(Form::StateOfTheWorld, false), (Form::Delta, true)] {
        let recipient = Recipient {
            sidecar: trial.world.sidecars["b"].clone(),
            stream: 1,
            resumed: false,
            form,
        };
        let effective = trial.behaviour.effective(&trial.world, &recipient);
        assert_eq!(effective.toggles.contains_key("key"), leaks);
    }
}

/// The client of a stream in the delta form, which resumes with one resource in an old version.
fn resumed(handling: DeltaHandling) -> DeltaStream {
    let mut stream = DeltaStream::new(handling);
    let request = DeltaRequest {
        subscribe: vec!["mesh".into()],
        held: [("mesh".to_owned(), "old".to_owned())].into(),
        ..DeltaRequest::default()
    };
    stream.receive(Kind::Runtime, &request);
    stream
}

#[test]
fn the_delta_form_goes_wrong() {
    let resource = Resource::new(Kind::Runtime, b"new".to_vec());
    let snapshot = Snapshot {
        resources: [(
            Kind::Runtime,
            Arc::new([("mesh".to_owned(), resource)].into()),
        )]
        .into(),
        ..Snapshot::default()
    };
    let faithful = DeltaHandling::default();
    assert_eq!(resumed(faithful).due(&snapshot).len(), 1);
    let believing = build(Mutation::DeltaResumeBelieved, "").delta();
    assert_eq!(resumed(believing).due(&snapshot), []);

    let after_rejection = |handling| {
        let mut stream = resumed(handling);
        let sent = stream.due(&snapshot);
        let rejection = DeltaRequest {
            nonce: sent[0].nonce.clone(),
            error: Some("no".into()),
            ..DeltaRequest::default()
        };
        stream.receive(Kind::Runtime, &rejection);
        stream.standing(Kind::Runtime)
    };
    let standing = after_rejection(faithful);
    assert!(standing.held.is_none() && standing.rejection.is_some());
    let standing = after_rejection(build(Mutation::DeltaRejectionsIgnored, "").delta());
    assert!(standing.held.is_some() && standing.rejection.is_none());

    let nothing = Snapshot::default();
    assert_eq!(resumed(faithful).due(&nothing)[0].removed, ["mesh"]);
    let keeping = build(Mutation::DeltaKeepsRemoved, "").delta();
    assert_eq!(resumed(keeping).due(&nothing), []);
}

#[test]
fn only_the_first_replica_leaks() {
    let mut world = with_policy(base(), "p", "east", 1, "on");
    let replica = Replica {
        uid: String::new(),
        ip: None,
        ready: true,
        restarts: 0,
    };
    world.replicas = [
        ("replica-0".to_owned(), replica.clone()),
        ("replica-1".to_owned(), replica),
    ]
    .into();
    for (own_name, leaks) in [("replica-0", true), ("replica-1", false)] {
        let mut trial = Trial::of(Mutation::LeakOneReplica);
        trial.behaviour = build(Mutation::LeakOneReplica, own_name);
        assert_eq!(trial.publish(&world).key("b").is_some(), leaks);
    }
}

#[test]
fn except_and_precedence() {
    let world = with_scope(base(), "but", vec![entry("", "")], vec![entry("west", "")]);
    let world = with_policy(world, "p", "but", 1, "on");
    assert_eq!(Trial::faithful().publish(&world).key("b"), None);
    assert!(
        Trial::of(Mutation::ExceptIgnored)
            .publish(&world)
            .key("b")
            .is_some()
    );

    let world = with_scope(base(), "wide", vec![entry("", "10.0.0.0/8")], vec![]);
    let world = with_scope(world, "narrow", vec![entry("", "10.0.0.1")], vec![]);
    let world = with_policy(
        with_policy(world, "w", "wide", 1, "wide"),
        "n",
        "narrow",
        1,
        "narrow",
    );
    assert_eq!(
        Trial::faithful().publish(&world).key("a").as_deref(),
        Some("narrow")
    );
    for mutation in [
        Mutation::PrecedenceReversed,
        Mutation::PrefixPrecedenceWrong,
    ] {
        assert_eq!(
            Trial::of(mutation).publish(&world).key("a").as_deref(),
            Some("wide")
        );
    }
}

#[test]
fn a_configuration_for_another_cluster_comes_here() {
    let elsewhere = |zone: &str| ScopeEntry {
        cluster: Some("elsewhere".into()),
        ..entry(zone, "")
    };
    let world = with_scope(base(), "elsewhere", vec![elsewhere("west")], vec![]);
    let world = with_policy(world, "p", "elsewhere", 1, "on");
    assert_eq!(Trial::faithful().publish(&world).key("b"), None);
    let mut trial = Trial::of(Mutation::ClusterIgnored);
    trial.publish(&world);
    assert!(trial.key("b").is_some());
    assert_eq!(trial.key("a"), None, "its other fields are looked at");
}

#[test]
fn histories_go_wrong() {
    let one = with_policy(base(), "p", "east", 1, "one");
    let two = with_policy(base(), "p", "east", 2, "two");
    let back = with_policy(base(), "p", "east", 3, "one");

    let mut stale = Trial::of(Mutation::StaleAfterUpdate);
    stale.publish(&one);
    assert_eq!(stale.publish(&two).key("a").as_deref(), Some("one"));

    let mut kept = Trial::of(Mutation::DeleteNotDelivered);
    kept.publish(&one);
    assert!(kept.publish(&base()).key("a").is_some());

    let mut inexact = Trial::of(Mutation::RollbackInexact);
    inexact.publish(&one);
    assert_eq!(inexact.publish(&two).key("a").as_deref(), Some("two"));
    assert_eq!(inexact.publish(&back).key("a").as_deref(), Some("two"));

    let mut dropped = Trial::of(Mutation::ZoneDropped);
    dropped.publish(&base());
    assert!(dropped.key("b").is_none());
    let everywhere = with_policy(
        with_scope(base(), "all", vec![entry("", "")], vec![]),
        "p",
        "all",
        1,
        "on",
    );
    dropped.publish(&everywhere);
    assert!(dropped.key("a").is_some() && dropped.key("b").is_none());
}

#[test]
fn who_is_scheduled_elsewhere_stays_where_it_was() {
    let mut world = with_policy(base(), "p", "east", 1, "on");
    let mut at = |pod: &str, zone: &str| {
        let sidecar = Sidecar {
            pod: pod.into(),
            data_center: zone.into(),
            ..(*world.sidecars["a"]).clone()
        };
        world.sidecars.insert("a".into(), Arc::new(sidecar));
        world.clone()
    };
    let mut trial = Trial::of(Mutation::ZoneKept);
    assert!(trial.publish(&at("shop-1-x", "east")).key("a").is_some());
    let moved = at("shop-2-y", "west");
    assert!(trial.publish(&moved).key("a").is_some());
    assert_eq!(Trial::faithful().publish(&moved).key("a"), None);
}

#[test]
fn who_joins_later_misses_what_was_there() {
    let all = with_policy(
        with_scope(base(), "all", vec![entry("", "")], vec![]),
        "p",
        "all",
        1,
        "on",
    );
    let mut earlier = all.clone();
    let late = earlier.sidecars.remove("c").expect("is there");
    let mut trial = Trial::of(Mutation::JoinMissed);
    trial.publish(&earlier);
    earlier.sidecars.insert("c".into(), late);
    trial.publish(&earlier);
    assert!(trial.key("a").is_some() && trial.key("c").is_none());
}

#[test]
fn after_a_replica_is_lost_the_survivor_does_not_go_on() {
    let replica = |uid: &str, ready| Replica {
        uid: uid.into(),
        ip: None,
        ready,
        restarts: 0,
    };
    let replicas = |world: &World, replicas: &[(&str, bool)]| World {
        replicas: replicas
            .iter()
            .map(|(name, ready)| ((*name).to_owned(), replica(name, *ready)))
            .collect(),
        ..world.clone()
    };
    let one = with_policy(base(), "p", "east", 1, "one");
    let two = with_policy(base(), "p", "east", 2, "two");
    let three = with_policy(base(), "p", "east", 3, "three");
    let mut trial = Trial::of(Mutation::ReplicaDoesNotResume);
    trial.behaviour = build(Mutation::ReplicaDoesNotResume, "cp-new-a");
    let value = |trial: &Trial, stream, resumed| {
        let effective = trial.at("a", stream, resumed);
        effective.toggles["key"].clone()
    };

    // It takes the place of the replicas of an earlier rollout, whose sidecars come over.
    let rollout = [("cp-old-a", true), ("cp-new-a", true), ("cp-new-b", true)];
    trial.publish(&replicas(&one, &rollout));
    trial.publish(&replicas(&one, &rollout[1..]));
    trial.publish(&replicas(&two, &rollout[1..]));
    assert_eq!(value(&trial, 1, true), "two", "that is no loss");

    // A peer that is not ready for a while is none either.
    trial.publish(&replicas(&two, &[("cp-new-a", true), ("cp-new-b", false)]));
    trial.publish(&replicas(&two, &rollout[1..]));
    assert_eq!(value(&trial, 2, true), "two");

    trial.publish(&replicas(&two, &rollout[1..2]));
    trial.publish(&replicas(&three, &[("cp-new-a", true), ("cp-new-c", true)]));
    assert_eq!(value(&trial, 2, true), "three", "who stayed goes on");
    assert_eq!(value(&trial, 3, true), "two", "who came over does not");
}

/// The world with one peer of each of these names.
fn with_replicas(world: &World, of: &[(&str, bool)]) -> World {
    let replicas = of.iter().map(|(name, ready)| {
        let replica = Replica {
            uid: (*name).into(),
            ip: None,
            ready: *ready,
            restarts: 0,
        };
        ((*name).to_owned(), replica)
    });
    World {
        replicas: replicas.collect(),
        ..world.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_from_a_replica_that_hangs_is_served_from_what_was_known_then() {
    let one = with_policy(base(), "p", "east", 1, "one");
    let two = with_policy(base(), "p", "east", 2, "two");
    let mut trial = Trial::of(Mutation::StaleAfterHang);
    trial.behaviour = build(Mutation::StaleAfterHang, "cp-new-a");
    let value = |trial: &Trial, stream| trial.at("a", stream, true).toggles["key"].clone();
    trial.publish(&with_replicas(
        &one,
        &[("cp-new-a", true), ("cp-new-b", true)],
    ));
    assert_eq!(value(&trial, 1), "one");
    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(
        value(&trial, 2),
        "one",
        "it comes over before the hang shows"
    );
    trial.publish(&with_replicas(
        &one,
        &[("cp-new-a", true), ("cp-new-b", false)],
    ));
    trial.publish(&with_replicas(
        &two,
        &[("cp-new-a", true), ("cp-new-b", false)],
    ));
    assert_eq!(value(&trial, 1), "two", "who was here before goes on");
    assert_eq!(value(&trial, 2), "one");
    assert_eq!(value(&trial, 3), "one");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_starts_empty_is_empty_for_those_who_come_back_early() {
    let mut trial = Trial::of(Mutation::StartsEmpty);
    trial.publish(&with_policy(base(), "p", "east", 1, "one"));
    let has = |trial: &Trial, resumed| trial.at("a", 1, resumed).toggles.contains_key("key");
    assert!(has(&trial, false), "who is new is served");
    assert!(!has(&trial, true));
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(has(&trial, true));
    assert!(Faithful.watches_again());
    assert!(!build(Mutation::StopsWatching, "replica-0").watches_again());
}

#[test]
fn who_forgets_when_alone_has_no_policies_and_all_the_rest() {
    let mut world = with_policy(base(), "p", "east", 1, "on");
    let address = world.sidecars["a"].ip;
    world.takes_tls = Arc::new([address].into());
    assert_eq!(Faithful.alone(world.clone()), world);
    let forgetful = build(Mutation::ForgetsWhenAlone, "replica-0");
    assert_eq!(forgetful.alone(world), base());
}

#[test]
fn who_forgets_without_the_lease_has_no_policies_until_somebody_answers_and_wakes_the_streams() {
    let store = WorldStore::new();
    let mut trial = Trial::of(Mutation::ForgetsWithoutLease);
    trial.behaviour.attach(&store);
    trial.publish(&with_policy(base(), "p", "east", 1, "on"));
    for (round, wakes, has) in [
        (Round::Answered, false, true),
        (Round::Unanswered, true, false),
        (Round::Unanswered, false, false),
        (Round::Answered, true, true),
    ] {
        let woken = store.subscribe();
        trial.behaviour.campaigned(round);
        assert_eq!(woken.has_changed().expect("the store is there"), wakes);
        assert_eq!(trial.key("a").is_some(), has, "{round:?}");
    }
    let mut faithful = Trial::faithful();
    faithful.publish(&with_policy(base(), "p", "east", 1, "on"));
    faithful.behaviour.campaigned(Round::Unanswered);
    assert!(faithful.key("a").is_some());
}

#[test]
fn who_is_back_among_the_endpoints_returns_to_nothing() {
    let world = with_policy(base(), "p", "east", 1, "on");
    let with_endpoints = |pods: &[&str]| {
        let endpoint = |pod: &&str| Endpoint {
            ip: world.sidecars[*pod].ip,
            port: 80,
            region: String::new(),
            zone: String::new(),
        };
        let service = Service {
            ports: [(80, pods.iter().map(endpoint).collect())].into(),
            ..Service::default()
        };
        World {
            services: Arc::new(Services::new([("s".to_owned(), service)].into())),
            ..world.clone()
        }
    };
    let endpoints = |trial: &Trial| trial.world.services.by_name["s"].ports[&80].len();
    let mut trial = Trial::of(Mutation::ReturnsToNothing);
    trial.publish(&with_endpoints(&["b"]));
    assert!(trial.key("a").is_some(), "it is not there yet");
    trial.publish(&with_endpoints(&["a", "b"]));
    assert!(trial.key("a").is_some());
    assert_eq!(endpoints(&trial), 2);
    trial.publish(&with_endpoints(&["b"]));
    trial.publish(&with_endpoints(&["a", "b"]));
    assert_eq!(trial.key("a"), None);
    assert_eq!(endpoints(&trial), 1);
    let mut faithful = Trial::faithful();
    faithful.publish(&with_endpoints(&["b"]));
    faithful.publish(&with_endpoints(&["a", "b"]));
    assert!(faithful.key("a").is_some());
    assert_eq!(endpoints(&faithful), 2);
}

#[tokio::test(start_paused = true)]
async fn a_late_leak_comes_when_it_is_late_and_wakes_the_streams() {
    let store = WorldStore::new();
    let mut trial = Trial::of(Mutation::LeakLate);
    trial.behaviour.attach(&store);
    for generation in 1..=2 {
        let mut woken = store.subscribe();
        let started = Instant::now();
        trial.publish(&with_policy(base(), "p", "east", generation, "on"));
        assert!(trial.key("a").is_some(), "who is addressed does not wait");
        assert_eq!(trial.key("b"), None, "nothing leaks at once");
        tokio::time::advance(Duration::from_millis(1_900)).await;
        assert_eq!(trial.key("b"), None, "nor a moment before");
        woken.changed().await.expect("the store is there");
        assert!(trial.key("b").is_some(), "but then it does");
        assert!(started.elapsed() < Duration::from_millis(2_500));
    }
}

#[test]
fn traffic_goes_wrong() {
    let faithful = Traffic::default();
    assert!(
        !build(Mutation::ZonePreferenceOff, "")
            .traffic()
            .own_zone_first
    );
    assert_eq!(
        build(Mutation::FailoverOff, "").traffic(),
        Traffic {
            failover: false,
            ..faithful
        }
    );

    assert_eq!(
        build(Mutation::NeverTakenBack, "").traffic(),
        Traffic {
            failed_return: false,
            ..faithful
        }
    );
    assert_eq!(
        build(Mutation::RequestsTakenForBytes, "").traffic(),
        Traffic {
            requests_are_looked_at: false,
            ..faithful
        }
    );
    let waits = build(Mutation::InspectorWaitsForever, "").traffic();
    let silent = Traffic {
        silence_is_borne: false,
        ..faithful
    };
    assert_eq!(waits, silent);
    let takes_all = build(Mutation::PermissiveMatchesAnyTls, "").security();
    let not_told_apart = Security {
        applications_may_speak_tls: false,
        ..Security::default()
    };
    assert_eq!(takes_all, not_told_apart);
    let takes_other = build(Mutation::StrictTakesApplicationTls, "").security();
    let let_through = Security {
        other_tls_is_refused: false,
        ..Security::default()
    };
    assert_eq!(takes_other, let_through);
    let takes_strangers = build(Mutation::CalleesOfAnyRoot, "").security();
    let of_any_root = Security {
        callees: CalleeChecks {
            root_is_known: false,
            ..CalleeChecks::default()
        },
        ..Security::default()
    };
    assert_eq!(takes_strangers, of_any_root);
    let offers_old = build(Mutation::CallersOfferOldTls, "").security();
    let spoken = Security {
        newest_tls_alone: false,
        ..Security::default()
    };
    assert_eq!(offers_old, spoken);
    let bytes_left_out = Security {
        bytes_over_tls: false,
        ..Security::default()
    };
    let of_bytes = build(Mutation::BytesStayPlaintext, "").security();
    assert_eq!(of_bytes, bytes_left_out);

    let services = |endpoints| {
        let service = Service {
            ports: [(80, endpoints)].into(),
            ..Service::default()
        };
        World {
            services: Arc::new(Services::new([("s".to_owned(), service)].into())),
            ..World::default()
        }
    };
    let endpoint = Endpoint {
        ip: "10.0.0.1".parse().expect("an address"),
        port: 80,
        region: String::new(),
        zone: String::new(),
    };
    let mut stays = Trial::of(Mutation::FailoverOff);
    stays.publish(&services(vec![endpoint]));
    stays.publish(&services(vec![]));
    assert_eq!(stays.world.services.by_name["s"].ports[&80].len(), 1);

    let world = with_policy(base(), "p", "east", 1, "on");
    let mut headless = Trial::of(Mutation::HeaderRuleForAll);
    assert!(
        headless.publish(&world).at("a", 1, false).rules[0]
            .condition
            .headers
            .is_empty()
    );
    assert!(
        !Trial::faithful().publish(&world).at("a", 1, false).rules[0]
            .condition
            .headers
            .is_empty()
    );
}

#[test]
fn what_is_said_of_tls_leaks_to_the_last_one_out_of_scope() {
    let mut world = with_scope(base(), "all", vec![entry("", "")], vec![]);
    for sidecar in world.sidecars.values_mut() {
        Arc::make_mut(sidecar).member = true;
    }
    let says = |mut world: World, name: &str, scope: &str, tls: TlsPolicy| {
        world = with_policy(world, name, scope, 1, "on");
        let policy = world.policies.get_mut(name).expect("it was just written");
        Arc::make_mut(policy).spec.tls = Some(tls);
        world
    };
    let callee = TlsPolicy {
        inbound: Some(InboundTls::Strict),
        allow: Some(vec![]),
        ..TlsPolicy::default()
    };
    let world = says(world, "callee", "east", callee);
    let permissive = TlsPolicy {
        inbound: Some(InboundTls::Permissive),
        ..TlsPolicy::default()
    };
    let everybody = says(world.clone(), "others", "all", permissive);
    let tls = |mutation, world: &World, pod: &str| {
        let mut trial = Trial::of(mutation);
        trial.publish(world).at(pod, 1, false).tls
    };
    let list = |pod| tls(Mutation::ListOneTooMany, &world, pod).allow;
    assert!(list("a").is_some() && list("b").is_none() && list("c").is_some());
    let untouched = tls(Mutation::StrictOneTooMany, &world, "c");
    assert_eq!(untouched.inbound, None, "a certificate would tell");
    let strict = |pod| tls(Mutation::StrictOneTooMany, &everybody, pod).inbound;
    assert_eq!(strict("b"), Some(InboundTls::Permissive));
    assert_eq!(strict("c"), Some(InboundTls::Strict));
}

#[test]
fn callers_go_on_with_tls_that_was_turned_off() {
    use OutboundTls::{Permissive, Plaintext, Strict};
    let offers = |mode| {
        let mut world = with_policy(base(), "p", "east", 1, "on");
        let policy = world.policies.get_mut("p").expect("there");
        Arc::make_mut(policy).spec.tls = Some(TlsPolicy {
            outbound: Some(mode),
            ..TlsPolicy::default()
        });
        world
    };
    let after = |mut trial: Trial, modes: &[OutboundTls]| {
        for mode in modes {
            trial.publish(&offers(*mode));
        }
        trial.at("a", 1, false).tls.outbound
    };
    let keeps = |modes: &[OutboundTls]| after(Trial::of(Mutation::CallersKeepTls), modes);
    assert_eq!(keeps(&[Plaintext]), Some(Plaintext));
    assert_eq!(keeps(&[Strict, Plaintext]), Some(Strict));
    assert_eq!(keeps(&[Strict, Permissive, Plaintext]), Some(Permissive));
    assert_eq!(
        after(Trial::faithful(), &[Strict, Plaintext]),
        Some(Plaintext)
    );
}

#[test]
fn callers_offer_what_they_take() {
    use OutboundTls::{Permissive, Strict};
    for (inbound, offered) in [
        (None, None),
        (Some(InboundTls::Permissive), Some(Permissive)),
    ] {
        let mut world = with_policy(base(), "p", "east", 1, "on");
        let policy = world.policies.get_mut("p").expect("there");
        Arc::make_mut(policy).spec.tls = Some(TlsPolicy {
            inbound,
            outbound: Some(Strict),
            ..TlsPolicy::default()
        });
        let tls = |mut trial: Trial| trial.publish(&world).at("a", 1, false).tls;
        let alike = tls(Trial::of(Mutation::DirectionsAlike));
        assert_eq!((alike.inbound, alike.outbound), (inbound, offered));
        assert_eq!(tls(Trial::faithful()).outbound, Some(Strict));
    }
}

#[test]
fn weights_that_are_ignored_are_alike() {
    let mut world = with_policy(base(), "p", "east", 1, "on");
    for policy in world.policies.values_mut() {
        let mut copy = (**policy).clone();
        copy.spec.rules[0].to = vec![
            Destination {
                service: "old".into(),
                weight: 80,
            },
            Destination {
                service: "new".into(),
                weight: 20,
            },
        ];
        *policy = Arc::new(copy);
    }
    let weights = |mut trial: Trial| -> Vec<u32> {
        let sidecar = trial.publish(&world).at("a", 1, false);
        sidecar.rules[0].to.iter().map(|to| to.weight).collect()
    };
    assert_eq!(weights(Trial::of(Mutation::WeightsIgnored)), [1, 1]);
    assert_eq!(weights(Trial::faithful()), [80, 20]);
}

#[test]
fn the_status_lies() {
    let status = PolicyConfigStatus {
        matched: 3,
        ..PolicyConfigStatus::default()
    };
    let told =
        build(Mutation::StatusLies, "").report(&World::default(), &Policy::default(), status);
    assert_eq!(told.acknowledged, 3);
}
