//! How a part of a mesh is told not to serve another one, and told otherwise.

use crate::definition::{ClientList, Component};
use crate::error::MeshError;
use crate::mesh::Mesh;
use crate::site::Site;
use harness_cluster::PodAddress;
use harness_cluster::healer::Change;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::{Value, json};

/// On a pod: its node brings it what has changed. A kubelet looks at a pod that was changed at once, and at others each
/// minute.
const LOOK: &str = "meshproof.io/look";

/// How one cluster's list of clients is changed, and where it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The cluster it is in.
    pub cluster: String,
    /// From when on the client is not in the list; in this order.
    pub away: Vec<Change>,
    /// From when on it is again; in this order.
    pub back: Vec<Change>,
    /// The pods that go by the list.
    pub pods: Vec<PodAddress>,
    /// Where they show it, over HTTP.
    pub port: u16,
    /// The path there.
    pub path: String,
    /// The line that goes and comes back.
    pub line: String,
}

impl Mesh {
    /// How `client` is denied by `component`, in each cluster.
    ///
    /// # Errors
    ///
    /// When the mesh does not say how, the client is not in the list now, or an API server cannot be read.
    pub async fn denials_of(
        &self,
        component: &str,
        client: &str,
    ) -> Result<Vec<Denial>, MeshError> {
        let missing =
            |what: &str| MeshError::Missing(format!("have `{component}` deny `{client}`: {what}"));
        let part = self.definition().component(component);
        let part = part.ok_or_else(|| missing("the mesh has no such part"))?;
        let list = part.clients.clone();
        let list = list.ok_or_else(|| missing("the mesh does not say where its clients are"))?;
        let line = list.names.get(client);
        let line =
            line.ok_or_else(|| missing("the mesh does not say what the client is called"))?;
        let mut denials = Vec::new();
        for site in &self.sites {
            let (text, version) = text(site, &part, &list).await?;
            let without = without(&text, line);
            let without = without.ok_or_else(|| missing("it is not in the list"))?;
            let pods = site.pods_of(&part).await?;
            denials.push(Denial {
                cluster: site.context.cluster().to_owned(),
                away: changes(&part, &list, &pods, &without, &json!(version)),
                back: changes(&part, &list, &pods, &text, &Value::Null),
                pods,
                port: part.port,
                path: list.shown_at.clone(),
                line: line.clone(),
            });
        }
        Ok(denials)
    }
}

/// The list, and its version: a pod that was told to look at another one looks again.
async fn text(
    site: &Site,
    part: &Component,
    list: &ClientList,
) -> Result<(String, Option<String>), MeshError> {
    let maps: Api<ConfigMap> = Api::namespaced(site.client.clone(), &part.namespace);
    let read = maps.get(&list.config_map).await.map_err(|source| {
        MeshError::api(format!("read the ConfigMap {}", list.config_map), source)
    })?;
    let mut data = read.data.unwrap_or_default();
    let text = data.remove(&list.key).ok_or_else(|| {
        let (map, key) = (&list.config_map, &list.key);
        MeshError::Missing(format!("read `{key}` of the ConfigMap {map}: it has none"))
    })?;
    Ok((text, read.metadata.resource_version))
}

/// The list without this line; none where it has none.
fn without(text: &str, line: &str) -> Option<String> {
    let is_it = |found: &str| found.trim() == line;
    text.lines().any(is_it).then(|| {
        let others = text.lines().filter(|found| !is_it(found));
        others.map(|other| format!("{other}\n")).collect()
    })
}

/// The list first: a node that looks at a pod brings it what there is then.
fn changes(
    part: &Component,
    list: &ClientList,
    pods: &[PodAddress],
    text: &str,
    look: &Value,
) -> Vec<Change> {
    let within = format!("/api/v1/namespaces/{}", part.namespace);
    let written = Change {
        path: format!("{within}/configmaps/{}", list.config_map),
        patch: json!({ "data": { &list.key: text } }),
    };
    let looked_at = pods.iter().map(|pod| Change {
        path: format!("{within}/pods/{}", pod.name),
        patch: json!({ "metadata": { "annotations": { LOOK: look } } }),
    });
    [written].into_iter().chain(looked_at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MeshDefinition;

    #[test]
    fn the_whole_line_goes_and_nothing_else() {
        let list = "# Who signs.\n authority.svc \nauthority.svc.b\n";
        let left = without(list, "authority.svc").expect("it is there");
        assert_eq!(left, "# Who signs.\nauthority.svc.b\n");
        assert_eq!(without(&left, "authority.svc"), None);
    }

    #[test]
    fn the_list_is_changed_before_anybody_looks() {
        let mesh = MeshDefinition::load("reference").unwrap();
        let part = mesh.component("key-service").expect("a part");
        let list = part.clients.clone().expect("a list");
        let pod = PodAddress {
            cluster: "one".to_owned(),
            namespace: part.namespace.clone(),
            name: "key-service-0".to_owned(),
            node: "node".to_owned(),
            ip: "10.0.0.1".to_owned(),
        };
        let [first, second] =
            <[Change; 2]>::try_from(changes(&part, &list, &[pod], "", &Value::Null)).unwrap();
        let within = "/api/v1/namespaces/mesh-system";
        assert_eq!(
            first.path,
            format!("{within}/configmaps/key-service-clients")
        );
        assert_eq!(first.patch, json!({ "data": { "names": "" } }));
        assert_eq!(second.path, format!("{within}/pods/key-service-0"));
    }
}
