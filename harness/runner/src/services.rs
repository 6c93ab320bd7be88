//! Whether a sidecar knows a service, by the clusters of it that lead there.

use probe_api::state::{Cluster, Sidecar};

/// What is said of a sidecar whose reading has no place for it.
const DOES_NOT_TELL: &str = "does not tell which services it knows";

/// Why it is not known of a sidecar that nothing leads to a service any more; none when it is.
pub(crate) fn still_known(clusters: Option<&[&Cluster]>) -> Option<String> {
    match clusters {
        None => Some(DOES_NOT_TELL.to_owned()),
        Some([]) => None,
        Some([cluster, ..]) => Some(format!("still has the cluster {}", cluster.name)),
    }
}

/// Why a sidecar that holds this is not known to lead to a service yet, on every port of it; none when it is.
pub(crate) fn not_known_yet(clusters: Option<&[&Cluster]>, held: &Sidecar) -> Option<String> {
    let lacks_endpoints = |cluster: &&&Cluster| {
        let endpoints = held.endpoints.get(&cluster.name);
        cluster.warming || endpoints.is_none_or(Vec::is_empty)
    };
    match clusters {
        None => Some(DOES_NOT_TELL.to_owned()),
        Some([]) => Some("has no cluster of it".to_owned()),
        Some(clusters) => clusters
            .iter()
            .find(lacks_endpoints)
            .map(|cluster| format!("has no endpoint for the cluster {}", cluster.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe_api::state::{Endpoint, UpstreamTls};

    fn cluster(name: &str, warming: bool) -> Cluster {
        Cluster {
            name: name.to_owned(),
            warming,
            tls: UpstreamTls::Never,
        }
    }

    /// A sidecar with an endpoint for each of these.
    fn holding(clusters: &[&str]) -> Sidecar {
        let endpoint = Endpoint {
            address: "10.0.0.1:80".to_owned(),
            zone: String::new(),
            priority: 0,
            health: "HEALTHY".to_owned(),
        };
        let with_it = |name: &&str| ((*name).to_owned(), vec![endpoint.clone()]);
        Sidecar {
            endpoints: clusters.iter().map(with_it).collect(),
            ..Sidecar::default()
        }
    }

    #[test]
    fn who_does_not_tell_may_know_it_or_not() {
        assert_eq!(still_known(None).as_deref(), Some(DOES_NOT_TELL));
        let held = Sidecar::default();
        assert_eq!(not_known_yet(None, &held).as_deref(), Some(DOES_NOT_TELL));
    }

    #[test]
    fn one_cluster_that_warms_is_enough_to_know_a_service_still() {
        assert_eq!(still_known(Some(&[])), None);
        let warming = cluster("a:80", true);
        let why = still_known(Some(&[&warming]));
        assert_eq!(why.as_deref(), Some("still has the cluster a:80"));
    }

    #[test]
    fn a_service_is_known_again_on_every_port_and_with_endpoints() {
        let (http, grpc) = (cluster("a:80", false), cluster("a:81", false));
        let warming = cluster("a:81", true);
        let both = holding(&["a:80", "a:81"]);
        assert_eq!(not_known_yet(Some(&[&http, &grpc]), &both), None);
        for (clusters, held) in [
            (vec![], both.clone()),
            (vec![&http, &grpc], holding(&["a:80"])),
            (vec![&http, &warming], both),
        ] {
            assert!(not_known_yet(Some(&clusters), &held).is_some());
        }
    }
}
