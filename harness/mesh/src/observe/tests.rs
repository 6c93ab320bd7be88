//! What a reading shows of one scenario: its own keys, its own marker, and nothing of anybody else.

use super::*;
use probe_api::state::{self, ControlPlaneConnection, Identity, Resource, Route, TypeState};

fn form() -> State {
    State {
        runtime_layer: "mesh".to_owned(),
        route_configuration: "outbound".to_owned(),
    }
}

fn sidecar() -> Sidecar {
    Sidecar {
        name: "checkout@zone-a".to_owned(),
        pod: "checkout-1".to_owned(),
        pod_uid: "u1".to_owned(),
        cluster: "one".to_owned(),
        data_center: "zone-a".to_owned(),
        node: "n1".to_owned(),
        application: "checkout".to_owned(),
        ip: "10.0.0.1".to_owned(),
    }
}

fn route(name: &str, warming: bool) -> Route {
    Route {
        configuration: "outbound".to_owned(),
        virtual_host: "frontend".to_owned(),
        name: name.to_owned(),
        hash: format!("hash of {name}"),
        warming,
    }
}

fn state(change: impl FnOnce(&mut state::Sidecar)) -> SidecarState {
    let mut held = state::Sidecar {
        control_plane: ControlPlaneConnection {
            connected: true,
            replica: Some("control-plane-0".to_owned()),
            epoch: 4,
        },
        ..state::Sidecar::default()
    };
    change(&mut held);
    SidecarState {
        hash: String::new(),
        observed_at_ns: 0,
        resolution_ms: 0,
        identity: Identity {
            pod_uid: "u1".to_owned(),
            ..Identity::default()
        },
        sidecar: SidecarReading::Read(Box::new(held)),
    }
}

fn observe(state: &SidecarState) -> Result<Observation, String> {
    reduce(&form(), &Keys::new("s1"), &sidecar(), state)
}

fn toggles(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn only_the_scenarios_own_toggles_and_rules_are_seen() {
    let observation = observe(&state(|held| {
        let layer = toggles(&[("s1.color", "blue"), ("s10.color", "red"), ("color", "x")]);
        held.runtime.insert("mesh".to_owned(), layer);
        held.runtime
            .insert("admin".to_owned(), toggles(&[("s1.by-hand", "x")]));
        held.routes = vec![
            route("s1.header", false),
            route("s2.header", false),
            route("default", false),
        ];
    }))
    .unwrap();
    assert_eq!(observation.toggles, toggles(&[("color", "blue")]));
    assert_eq!(
        observation.rules,
        toggles(&[("header", "hash of s1.header")])
    );
}

#[test]
fn a_rule_that_only_warms_is_told_apart() {
    let observation = observe(&state(|held| held.routes = vec![route("s1.header", true)])).unwrap();
    assert!(observation.rules.is_empty());
    assert_eq!(
        observation.warming_rules,
        toggles(&[("header", "hash of s1.header")])
    );
}

#[test]
fn a_marker_is_no_payload_and_does_not_count_while_it_warms() {
    let observation = observe(&state(|held| {
        held.runtime
            .insert("mesh".to_owned(), toggles(&[("s1.marker", "m3")]));
        held.routes = vec![route("s1.marker-m3", true), route("s2.marker-m9", false)];
    }))
    .unwrap();
    assert_eq!(observation.marker_toggle.as_deref(), Some("m3"));
    assert_eq!(observation.marker_rule, None);
    assert!(observation.toggles.is_empty() && observation.rules.is_empty());
}

#[test]
fn a_sidecar_without_a_stream_is_on_no_replica() {
    let observation = observe(&state(|held| held.control_plane.connected = false)).unwrap();
    assert_eq!(
        observation.stream,
        Stream {
            replica: None,
            epoch: 4
        }
    );
}

#[test]
fn rejections_are_told_by_type_and_resource() {
    let observation = observe(&state(|held| {
        let resource = Resource {
            error: Some("missing )".to_owned()),
            ..Resource::default()
        };
        let rejected = TypeState {
            resources: BTreeMap::from([("outbound".to_owned(), resource)]),
            ..TypeState::default()
        };
        held.types.insert("RDS".to_owned(), rejected);
    }))
    .unwrap();
    assert_eq!(
        observation.rejected,
        toggles(&[("RDS", "outbound: missing )")])
    );
}

#[test]
fn what_shows_nothing_is_not_absence() {
    let mut another = state(|_| {});
    another.identity.pod_uid = "u2".to_owned();
    assert!(observe(&another).is_err());
    let mut none = state(|_| {});
    none.sidecar = SidecarReading::None;
    assert!(observe(&none).is_err());
    none.sidecar = SidecarReading::Unreachable("connection refused".to_owned());
    assert_eq!(observe(&none).unwrap_err(), "connection refused");
}
