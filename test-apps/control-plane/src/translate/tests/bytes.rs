//! Ports that carry bytes: connections are told by the service's address, and nothing waits for their first words.

use super::*;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::listener::v3::listener_filter_chain_match_predicate::Rule;
use mesh_api::{InboundTls, OutboundTls, SpiffeUri};

/// `checkout` carries bytes on a second port, on which `inventory` may take requests.
fn world_of_bytes(inventory_takes_requests: bool) -> World {
    let mut world = world();
    let mut services = world.services.by_name.clone();
    for (number, (name, service)) in services.iter_mut().enumerate() {
        service.address = format!("10.96.0.{number}").parse().ok();
        let mut endpoints = service.ports[&8080].clone();
        for endpoint in &mut endpoints {
            endpoint.port = 8082;
        }
        if name == "checkout" {
            service.ports.insert(8082, endpoints);
            service.bytes.insert(8082);
        } else if inventory_takes_requests {
            service.ports.insert(8082, endpoints);
        }
    }
    world.services = Arc::new(Services::new(services));
    world
}

fn listener(world: &World, name: &str, tls: TlsPolicy, traffic: Traffic) -> Listener {
    let effective = Effective {
        tls,
        ..Effective::default()
    };
    let snapshot = Translator::default().snapshot(
        world,
        &sidecar("a", "west"),
        &effective,
        traffic,
        Security::default(),
        Form::default(),
    );
    read(&snapshot, Kind::Listeners, name)
}

fn names(listener: &Listener) -> Vec<&str> {
    let chains = listener.filter_chains.iter();
    chains.map(|chain| chain.name.as_str()).collect()
}

#[test]
fn connections_to_a_service_go_to_its_endpoints_without_being_inspected() {
    let outbound =
        |world: &World, traffic| listener(world, "outbound", TlsPolicy::default(), traffic);
    let only = outbound(&world_of_bytes(false), Traffic::default());
    assert_eq!(
        names(&only),
        ["http", "http2", "checkout.mesh-workloads:8082"]
    );
    let told = only.filter_chains[2].filter_chain_match.as_ref();
    let told = told.expect("a match");
    assert_eq!(told.prefix_ranges[0].address_prefix, "10.96.0.0");
    assert_eq!(told.destination_port.expect("a port").value, 8082);
    let inspector = &only.listener_filters[1];
    let disabled = inspector.filter_disabled.as_ref().expect("disabled");
    let Some(Rule::DestinationPortRange(range)) = &disabled.rule else {
        panic!("a range of ports: {disabled:?}");
    };
    assert_eq!((range.start, range.end), (8082, 8083));

    let mixed = outbound(&world_of_bytes(true), Traffic::default());
    assert_eq!(
        names(&mixed),
        [
            "http",
            "http2",
            "http:8082",
            "http2:8082",
            "checkout.mesh-workloads:8082"
        ]
    );
    assert!(mixed.listener_filters[1].filter_disabled.is_none());

    let passed_by = Traffic {
        bytes_to_endpoints: false,
        ..Traffic::default()
    };
    assert_eq!(
        names(&outbound(&world_of_bytes(false), passed_by)),
        ["http", "http2"]
    );
}

#[test]
fn what_carries_bytes_or_streams_is_another_chain_when_callers_are_to_offer_something_else() {
    let outbound = |mode| {
        let tls = TlsPolicy {
            outbound: mode,
            ..TlsPolicy::default()
        };
        let world = world_of_bytes(true);
        listener(&world, "outbound", tls, Traffic::default())
    };
    let modes = [
        OutboundTls::Plaintext,
        OutboundTls::Permissive,
        OutboundTls::Strict,
    ];
    let all = modes.map(|mode| outbound(Some(mode)));
    assert_eq!(all[0], outbound(None));
    for (one, other) in [(0, 1), (1, 2), (2, 0)] {
        let stays: Vec<_> = all[one]
            .filter_chains
            .iter()
            .filter(|chain| all[other].filter_chains.contains(chain))
            .map(|chain| chain.name.as_str())
            .collect();
        assert_eq!(stays, ["http", "http:8082"]);
        // Nothing but chains differs: the listener itself, and with it all its connections, stays.
        let without = |listener: &Listener| Listener {
            filter_chains: Vec::new(),
            ..listener.clone()
        };
        assert_eq!(without(&all[one]), without(&all[other]));
    }
}

#[test]
fn bytes_go_over_tls_as_requests_do_unless_that_is_left_out() {
    let over_tls = |outbound, security| {
        let effective = Effective {
            tls: TlsPolicy {
                outbound: Some(outbound),
                ..TlsPolicy::default()
            },
            ..Effective::default()
        };
        let snapshot = Translator::default().snapshot(
            &world_of_bytes(false),
            &sidecar("a", "west"),
            &effective,
            Traffic::default(),
            security,
            Form::default(),
        );
        [8080, 8082].map(|port| {
            let name = format!("checkout.mesh-workloads:{port}");
            let cluster: Cluster = read(&snapshot, Kind::Clusters, &name);
            cluster.transport_socket.is_some() || !cluster.transport_socket_matches.is_empty()
        })
    };
    let lax = Security {
        bytes_over_tls: false,
        ..Security::default()
    };
    for mode in [OutboundTls::Permissive, OutboundTls::Strict] {
        assert_eq!(over_tls(mode, Security::default()), [true, true]);
        assert_eq!(over_tls(mode, lax), [true, false]);
    }
    let plaintext = over_tls(OutboundTls::Plaintext, Security::default());
    assert_eq!(plaintext, [false, false]);
}

#[test]
fn who_waits_for_the_servers_first_word_is_passed_on_after_a_second() {
    let permissive = TlsPolicy {
        inbound: Some(InboundTls::Permissive),
        ..TlsPolicy::default()
    };
    let waits = |traffic| {
        let listener = listener(
            &world_of_bytes(false),
            "inbound",
            permissive.clone(),
            traffic,
        );
        let span = listener.listener_filters_timeout.expect("said");
        (
            span.seconds,
            span.nanos,
            listener.continue_on_listener_filters_timeout,
        )
    };
    assert_eq!(waits(Traffic::default()), (1, 0, true));
    let for_ever = Traffic {
        silence_is_borne: false,
        ..Traffic::default()
    };
    assert_eq!(waits(for_ever), (0, 0, true));
}

#[test]
fn what_an_application_sends_over_its_own_tls_is_told_as_bytes_are() {
    let permissive = TlsPolicy {
        inbound: Some(InboundTls::Permissive),
        ..TlsPolicy::default()
    };
    let inbound = listener(
        &world_of_bytes(false),
        "inbound",
        permissive,
        Traffic::default(),
    );
    let of = |name: &str| {
        let mut chains = inbound.filter_chains.iter();
        let chain = chains.find(|chain| chain.name == name).expect("a chain");
        chain.filters.clone()
    };
    assert_eq!(of("inbound:8082:tls"), of("inbound:8082"));
}

#[test]
fn bytes_have_no_virtual_host() {
    let (world, west) = (world_of_bytes(false), sidecar("a", "west"));
    let snapshot = made(&Translator::default(), &world, &west, &Effective::default());
    let routes: RouteConfiguration = read(&snapshot, Kind::Routes, OUTBOUND_ROUTES);
    let hosts = routes.virtual_hosts.iter();
    assert!(!hosts.clone().any(|host| host.name.ends_with(":8082")));
    assert!(
        hosts
            .clone()
            .any(|host| host.domains.contains(&"checkout".to_owned()))
    );
}

#[test]
fn who_may_send_bytes_is_decided_by_the_connection() {
    let tls = TlsPolicy {
        inbound: Some(InboundTls::Strict),
        allow: Some(vec![SpiffeUri("spiffe://mesh.local/ns/a/sa/b".to_owned())]),
        ..TlsPolicy::default()
    };
    let inbound = listener(&world_of_bytes(false), "inbound", tls, Traffic::default());
    assert_eq!(
        names(&inbound),
        [
            "inbound:8080:mesh",
            "inbound:8080:tls-refused",
            "inbound:8080:refused",
            "inbound:8082:mesh",
            "inbound:8082:tls-refused",
            "inbound:8082:refused"
        ]
    );
    let filters = |chain: usize| -> Vec<&str> {
        let filters = inbound.filter_chains[chain].filters.iter();
        filters.map(|filter| filter.name.as_str()).collect()
    };
    assert_eq!(
        filters(0),
        ["envoy.filters.network.http_connection_manager"]
    );
    let of_connections = [
        "envoy.filters.network.rbac",
        "envoy.filters.network.tcp_proxy",
    ];
    assert_eq!(filters(3), of_connections);
    // Where a connection is refused nobody is connected to the application.
    for chain in &inbound.filter_chains[4..] {
        let refused = String::from_utf8_lossy(&chain.encode_to_vec()).into_owned();
        assert!(refused.contains("nowhere"), "{refused}");
    }
}
