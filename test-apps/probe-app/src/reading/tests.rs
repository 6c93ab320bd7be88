//! Readings of a small sidecar, as Envoy 1.40 shows one.

use super::*;
use probe_api::launcher::Rejection;
use serde_json::json;

/// What the admin interface and the launcher answered.
struct Pass {
    about: About,
    listeners: Value,
    route_configurations: Value,
    runtime: Value,
    stats: Stats,
    launcher: LauncherState,
}

fn sidecar(pass: &Pass) -> Sidecar {
    let mut parts = Parts::default();
    parts.listeners = resources::listeners(&pass.listeners);
    parts.route_configurations = resources::route_configurations(&pass.route_configurations);
    parts.runtime = Runtime::new(&pass.runtime, &pass.about);
    let closed = Closed {
        led_nowhere: 7,
        not_allowed: 3,
    };
    super::sidecar(&pass.about, &parts, &pass.stats, &pass.launcher, closed)
}

fn pass() -> Pass {
    let whole = json!({ "configs": [
        {
            "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump",
            "bootstrap": {
                "node": { "user_agent_build_version": {
                    "version": { "major_number": 1, "minor_number": 40 },
                    "metadata": {
                        "build.type": "RELEASE", "revision.sha": "9e55", "revision.status": "Clean",
                        "ssl.version": "BoringSSL",
                    },
                } },
                "layered_runtime": { "layers": [
                    { "name": "mesh", "rtds_layer": {} }, { "name": "admin", "admin_layer": {} },
                ] },
            },
        },
        { "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump", "static_secrets": [{ "name": "token" }] },
    ] });
    Pass {
        about: About::new(&whole),
        listeners: json!({ "configs": [{
            "name": "outbound",
            "active_state": {
                "version_info": "l1",
                "listener": { "rds": { "route_config_name": "outbound" } },
                "last_updated": "x",
            },
        }] }),
        route_configurations: json!({ "configs": [
            {
                "version_info": "r1",
                "last_updated": "2026-01-01",
                "route_config": { "name": "outbound", "virtual_hosts": [{
                    "name": "frontend",
                    "routes": [{ "name": "s1.blue" }, { "name": "default" }],
                }] },
            },
            { "route_config": { "name": "other", "virtual_hosts": [{
                "name": "frontend", "routes": [{ "name": "s1.red" }],
            }] } },
        ] }),
        runtime: json!({
            "layers": ["mesh", "admin"],
            "entries": {
                "s1.color": { "layer_values": ["blue", ""], "final_value": "blue" },
                "by.hand": { "layer_values": ["", "x"], "final_value": "x" },
            },
        }),
        stats: Stats::parse(
            "control_plane.identifier: \"cp-0\"\ncontrol_plane.connected_state: 1\nserver.state: 0\n\
             http.outbound.rds.outbound.update_time: 1000\nhttp.outbound.rds.outbound.update_rejected: 2\n",
        ),
        launcher: LauncherState {
            epoch: 3,
            starts: 1,
            ..LauncherState::default()
        },
    }
}

#[test]
fn only_the_layer_of_the_control_plane_is_told() {
    let held = sidecar(&pass());
    assert_eq!(held.runtime.len(), 1);
    assert_eq!(held.runtime["mesh"]["s1.color"], "blue");
    assert!(!held.runtime["mesh"].contains_key("by.hand"));
}

#[test]
fn routes_keep_their_order_and_an_unreferred_configuration_only_warms() {
    let held = sidecar(&pass());
    let names: Vec<_> = held
        .routes
        .iter()
        .map(|route| (route.name.as_str(), route.warming))
        .collect();
    assert_eq!(
        names,
        [("s1.blue", false), ("default", false), ("s1.red", true)]
    );
    assert!(held.types["RDS"].resources["other"].active.is_none());
    assert!(held.types["RDS"].resources["other"].warming.is_some());
}

#[test]
fn the_stream_is_told_by_replica_and_epoch() {
    let held = sidecar(&pass());
    assert_eq!(held.control_plane.replica.as_deref(), Some("cp-0"));
    assert_eq!(
        (held.control_plane.connected, held.control_plane.epoch),
        (true, 3)
    );
}

#[test]
fn versions_and_times_do_not_change_the_hash_and_content_does() {
    let before = content_hash(&sidecar(&pass()));
    let mut same = pass();
    *same
        .route_configurations
        .pointer_mut("/configs/0/version_info")
        .unwrap() = json!("r2");
    *same
        .route_configurations
        .pointer_mut("/configs/0/last_updated")
        .unwrap() = json!("later");
    *same
        .listeners
        .pointer_mut("/configs/0/active_state/version_info")
        .unwrap() = json!("l2");
    assert_eq!(content_hash(&sidecar(&same)), before);
    let mut other = pass();
    *other
        .runtime
        .pointer_mut("/entries/s1.color/layer_values/0")
        .unwrap() = json!("red");
    assert_ne!(content_hash(&sidecar(&other)), before);
    let mut stream = pass();
    stream.launcher.epoch = 4;
    assert_ne!(content_hash(&sidecar(&stream)), before);
}

#[test]
fn a_rejection_stands_until_something_is_accepted_after_it() {
    let url = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
    let mut rejected = pass();
    let rejection = |at_ms| Rejection {
        at_ms,
        message: "missing )".to_owned(),
    };
    rejected
        .launcher
        .rejections
        .insert(url.to_owned(), rejection(1001));
    let held = sidecar(&rejected);
    assert_eq!(held.types["RDS"].rejected, 2);
    assert_eq!(
        held.types["RDS"].resources["*"].error.as_deref(),
        Some("missing )")
    );
    rejected
        .launcher
        .rejections
        .insert(url.to_owned(), rejection(999));
    assert!(
        sidecar(&rejected).types["RDS"]
            .resources
            .values()
            .all(|held| held.error.is_none())
    );
}

#[test]
fn who_is_turned_away_is_told_where_it_is_counted() {
    let mut pass = pass();
    let before = sidecar(&pass);
    assert_eq!((before.turned_away, before.not_allowed), (None, None));
    let told = |pass: &mut Pass, counters: &[&str]| {
        let named = |name: &&str| json!({ "exact": name });
        let patterns: Vec<Value> = counters.iter().map(named).collect();
        let matcher = json!({ "inclusion_list": { "patterns": patterns } });
        let whole = json!({ "configs": [
            { "bootstrap": { "stats_config": { "stats_matcher": matcher } } },
        ] });
        pass.about = About::new(&whole);
        sidecar(pass)
    };
    let (led_nowhere, not_allowed) = ("tcp.nowhere.downstream_cx_no_route", "allow.rbac.denied");
    let one = told(&mut pass, &[led_nowhere]);
    assert_eq!((one.turned_away, one.not_allowed), (Some(7), None));
    let other = told(&mut pass, &[not_allowed]);
    assert_eq!((other.turned_away, other.not_allowed), (None, Some(3)));
    let after = told(&mut pass, &[led_nowhere, not_allowed]);
    assert_eq!((after.turned_away, after.not_allowed), (Some(7), Some(3)));
    // It marks no change.
    let forgotten = Sidecar {
        turned_away: None,
        not_allowed: None,
        ..after.clone()
    };
    assert_eq!(content_hash(&forgotten), content_hash(&after));
}

#[test]
fn the_version_is_told_as_the_sidecar_has_it() {
    let mut pass = pass();
    assert_eq!(
        sidecar(&pass).version,
        "9e55/1.40.0/Clean/RELEASE/BoringSSL"
    );
    let labelled = json!({
        "version": { "major_number": 1, "minor_number": 33, "patch": 2 },
        "metadata": { "build.label": "dev", "revision.sha": "ab" },
    });
    let node = json!({ "user_agent_build_version": labelled });
    pass.about = About::new(&json!({ "configs": [{ "bootstrap": { "node": node } }] }));
    assert_eq!(sidecar(&pass).version, "ab/1.33.2-dev");
    pass.about = About::new(&json!({ "configs": [{ "bootstrap": {} }] }));
    assert_eq!(sidecar(&pass).version, "");
}

#[test]
fn secrets_are_not_copied() {
    let held = serde_json::to_string(&sidecar(&pass())).unwrap();
    assert!(!held.contains("token"), "{held}");
}
