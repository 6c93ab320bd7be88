//! From a sidecar's clusters to the services that it knows.

use crate::{Mesh, template};
use probe_api::state::{Cluster, Sidecar};

impl Mesh {
    /// The clusters of a sidecar that lead to a service, in force or warming; none where readings do not tell.
    #[must_use]
    pub fn leading_to<'a>(&self, service: &str, held: &'a Sidecar) -> Option<Vec<&'a Cluster>> {
        let form = self.definition.state.services.as_deref()?;
        leading_to(form, service, held)
    }
}

fn leading_to<'a>(form: &str, service: &str, held: &'a Sidecar) -> Option<Vec<&'a Cluster>> {
    let begins = template::of_service(form, service);
    // There are always some that lead elsewhere: who shows none at all does not tell.
    let tells = !begins.is_empty() && !held.clusters.is_empty();
    tells.then(|| {
        let clusters = held.clusters.iter();
        clusters
            .filter(|cluster| cluster.name.starts_with(&begins))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MeshDefinition;
    use probe_api::state::UpstreamTls;

    fn holding(clusters: &[&str]) -> Sidecar {
        let cluster = |name: &&str| Cluster {
            name: (*name).to_owned(),
            warming: false,
            tls: UpstreamTls::Never,
        };
        Sidecar {
            clusters: clusters.iter().map(cluster).collect(),
            ..Sidecar::default()
        }
    }

    #[test]
    fn every_port_of_a_service_leads_there_and_no_other_service_does() {
        let definition = MeshDefinition::load("reference").unwrap();
        let form = definition.state.services.expect("the mesh tells");
        let held = holding(&[
            "passthrough",
            "checkout.mesh-workloads:8080",
            "checkout.mesh-workloads:8082",
            "checkout-2.mesh-workloads:8080",
            "inbound:8080",
        ]);
        let names = |service: &str| -> Vec<String> {
            let clusters = leading_to(&form, service, &held).expect("it tells");
            let names = clusters.into_iter().map(|cluster| cluster.name.clone());
            names.collect()
        };
        assert_eq!(
            names("checkout"),
            [
                "checkout.mesh-workloads:8080",
                "checkout.mesh-workloads:8082"
            ]
        );
        assert_eq!(names("inventory"), [""; 0]);
    }

    #[test]
    fn who_shows_no_cluster_at_all_does_not_tell() {
        assert_eq!(leading_to("{{ service }}:", "a", &holding(&[])), None);
        // It would lead to every service.
        assert_eq!(leading_to("", "a", &holding(&["passthrough"])), None);
    }
}
