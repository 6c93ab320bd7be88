//! RDS: one virtual host per service, its rules before its default route.

use super::cluster::PASSTHROUGH;
use super::message::{any, milliseconds, number};
use super::{OUTBOUND_ROUTES, cluster_name, resources};
use crate::behaviour::Traffic;
use crate::snapshot::{Kind, Resources};
use crate::world::{Service, Services};
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
    WeightedCluster,
    header_matcher::HeaderMatchSpecifier,
    retry_policy::retry_host_predicate,
    retry_policy::retry_priority,
    retry_policy::{RetryHostPredicate, RetryPriority},
    route::Action,
    route_action::{ClusterSpecifier, RequestMirrorPolicy},
    route_match::PathSpecifier,
    weighted_cluster::ClusterWeight,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;
use envoy_types::pb::envoy::r#type::matcher::v3::{
    RegexMatcher, StringMatcher, string_matcher::MatchPattern,
};
use mesh_api::{RoutingRule, RuleMatch};
use prost::Message as _;
use std::collections::BTreeSet;

/// An attempt that is not answered within this time is made elsewhere.
const ATTEMPT_MILLISECONDS: u32 = 750;
/// What sidecars answer whose application is gone.
const UNAVAILABLE: [u32; 1] = [503];
/// All attempts together.
const REQUEST_MILLISECONDS: u32 = 10_000;

pub(super) fn configurations(
    services: &Services,
    namespace: &str,
    rules: &[RoutingRule],
    traffic: Traffic,
) -> Resources {
    let places = Places {
        services,
        namespace,
        traffic,
    };
    let unknown: BTreeSet<&str> = rules
        .iter()
        .map(|rule| rule.service.as_str())
        .filter(|name| !services.by_name.contains_key(*name))
        .collect();
    let mut virtual_hosts: Vec<_> = services
        .by_name
        .iter()
        .flat_map(|(name, service)| places.hosts_of(name, service, rules))
        .chain(
            unknown
                .into_iter()
                .map(|name| places.host_of_unknown(name, rules)),
        )
        .collect();
    virtual_hosts.push(VirtualHost {
        name: PASSTHROUGH.into(),
        domains: vec!["*".into()],
        routes: vec![to_passthrough()],
        ..VirtualHost::default()
    });
    let configuration = RouteConfiguration {
        name: OUTBOUND_ROUTES.into(),
        virtual_hosts,
        ..RouteConfiguration::default()
    };
    resources(
        Kind::Routes,
        [(OUTBOUND_ROUTES.to_owned(), configuration.encode_to_vec())],
    )
}

struct Places<'a> {
    services: &'a Services,
    namespace: &'a str,
    traffic: Traffic,
}

impl Places<'_> {
    /// One virtual host per port of requests; the first also answers to the bare names.
    fn hosts_of(&self, name: &str, service: &Service, rules: &[RoutingRule]) -> Vec<VirtualHost> {
        let of_requests = service
            .ports
            .keys()
            .filter(|port| !service.bytes.contains(port));
        of_requests
            .enumerate()
            .map(|(index, port)| {
                let cluster = cluster_name(name, self.namespace, *port);
                let mut domains: Vec<_> =
                    self.names(name).map(|host| format!("{host}:{port}")).into();
                if index == 0 {
                    domains.extend(self.names(name));
                }
                let mut routes: Vec<_> = self.routes(name, *port, rules);
                routes.push(Route {
                    name: "default".into(),
                    r#match: Some(every_path()),
                    action: Some(Action::Route(
                        self.action(ClusterSpecifier::Cluster(cluster.clone())),
                    )),
                    ..Route::default()
                });
                VirtualHost {
                    name: cluster,
                    domains,
                    routes,
                    ..VirtualHost::default()
                }
            })
            .collect()
    }

    /// A rule may speak of a service that is not there yet: it is held all the same.
    fn host_of_unknown(&self, name: &str, rules: &[RoutingRule]) -> VirtualHost {
        let mut domains: Vec<_> = self.names(name).into();
        domains.extend(self.names(name).map(|host| format!("{host}:*")));
        let mut routes = self.routes(name, 80, rules);
        routes.push(to_passthrough());
        VirtualHost {
            name: format!("{name}.{}", self.namespace),
            domains,
            routes,
            ..VirtualHost::default()
        }
    }

    fn names(&self, name: &str) -> [String; 4] {
        let namespace = self.namespace;
        [
            name.to_owned(),
            format!("{name}.{namespace}"),
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}.svc.cluster.local"),
        ]
    }

    fn routes(&self, service: &str, port: u16, rules: &[RoutingRule]) -> Vec<Route> {
        rules
            .iter()
            .filter(|rule| rule.service == service)
            .map(|rule| Route {
                name: rule.name.clone(),
                r#match: Some(condition(&rule.condition)),
                action: Some(Action::Route(self.action_of(rule, port))),
                ..Route::default()
            })
            .collect()
    }

    fn destinations(&self, rule: &RoutingRule, port: u16) -> ClusterSpecifier {
        let mut clusters: Vec<_> = rule
            .to
            .iter()
            .map(|destination| {
                (
                    self.destination(&destination.service, port),
                    destination.weight,
                )
            })
            .collect();
        if let [(name, _)] = clusters.as_mut_slice() {
            return ClusterSpecifier::Cluster(std::mem::take(name));
        }
        ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: clusters
                .into_iter()
                .map(|(name, weight)| ClusterWeight {
                    name,
                    weight: number(weight),
                    ..ClusterWeight::default()
                })
                .collect(),
            ..WeightedCluster::default()
        })
    }

    /// The same port of the other service, or its first. Of a service that is not there the port that was called: the route then
    /// names a cluster that nobody has, and Envoy refuses with `cluster_not_found`. It must not go where the caller called.
    fn destination(&self, service: &str, port: u16) -> String {
        let port = self.services.by_name.get(service).map_or(port, |there| {
            if there.ports.contains_key(&port) {
                port
            } else {
                there.ports.keys().next().copied().unwrap_or(port)
            }
        });
        cluster_name(service, self.namespace, port)
    }

    fn action_of(&self, rule: &RoutingRule, port: u16) -> RouteAction {
        let mut action = self.action(self.destinations(rule, port));
        if let Some(timeout) = rule.timeout_ms {
            action.timeout = milliseconds(timeout);
        }
        if let Some(rule) = &rule.retry {
            action.retry_policy = Some(RetryPolicy {
                num_retries: number(rule.times),
                retriable_status_codes: UNAVAILABLE
                    .into_iter()
                    .chain(rule.statuses.iter().copied())
                    .collect(),
                ..retries()
            });
        }
        action.request_mirror_policies = rule
            .mirror
            .iter()
            .map(|service| RequestMirrorPolicy {
                cluster: self.destination(service, port),
                ..RequestMirrorPolicy::default()
            })
            .collect();
        action
    }

    fn action(&self, to: ClusterSpecifier) -> RouteAction {
        RouteAction {
            cluster_specifier: Some(to),
            timeout: milliseconds(REQUEST_MILLISECONDS),
            retry_policy: self.traffic.failover.then(retries),
            ..RouteAction::default()
        }
    }
}

/// Tries again what was not answered, at another endpoint and in another zone. A sidecar whose application is
/// gone answers 503.
fn retries() -> RetryPolicy {
    RetryPolicy {
        retry_on: "connect-failure,refused-stream,reset,unavailable,retriable-status-codes".into(),
        retriable_status_codes: UNAVAILABLE.into(),
        num_retries: number(4),
        per_try_timeout: milliseconds(ATTEMPT_MILLISECONDS),
        retry_host_predicate: vec![RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".into(),
            config_type: Some(retry_host_predicate::ConfigType::TypedConfig(any(
                &PreviousHostsPredicate::default(),
            ))),
        }],
        host_selection_retry_max_attempts: 5,
        retry_priority: Some(RetryPriority {
            name: "envoy.retry_priorities.previous_priorities".into(),
            config_type: Some(retry_priority::ConfigType::TypedConfig(any(
                &PreviousPrioritiesConfig {
                    update_frequency: 1,
                },
            ))),
        }),
        ..RetryPolicy::default()
    }
}

fn condition(condition: &RuleMatch) -> RouteMatch {
    let path = match (&condition.path_regex, &condition.path_prefix) {
        (Some(regex), _) => PathSpecifier::SafeRegex(RegexMatcher {
            regex: regex.clone(),
            ..RegexMatcher::default()
        }),
        (None, Some(prefix)) => PathSpecifier::Prefix(prefix.clone()),
        (None, None) => PathSpecifier::Prefix("/".into()),
    };
    let headers = condition.headers.iter().map(|header| HeaderMatcher {
        name: header.name.clone(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(header.value.clone())),
            ..StringMatcher::default()
        })),
        ..HeaderMatcher::default()
    });
    RouteMatch {
        path_specifier: Some(path),
        headers: headers.collect(),
        ..RouteMatch::default()
    }
}

fn every_path() -> RouteMatch {
    condition(&RuleMatch::default())
}

fn to_passthrough() -> Route {
    Route {
        name: "default".into(),
        r#match: Some(every_path()),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(PASSTHROUGH.into())),
            timeout: milliseconds(0),
            ..RouteAction::default()
        })),
        ..Route::default()
    }
}
