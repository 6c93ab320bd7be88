//! What is told of several clusters together, with fake ones.

use super::*;
use futures::future::BoxFuture;
use harness_model::topology::ClusterShape;
use kube::client::Body;
use serde_json::json;

/// A cluster with a key on a node, whose API server answers nothing.
struct Exposing {
    topology: Topology,
}

impl Cluster for Exposing {
    fn client(&self) -> kube::Client {
        let service = tower::service_fn(|_: http::Request<Body>| async {
            let status = json!({ "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
                "message": "nobody may", "reason": "Forbidden", "code": 403 });
            let answer = Body::from(serde_json::to_vec(&status)?);
            let response = http::Response::builder().status(403_u16).body(answer)?;
            Ok::<_, tower::BoxError>(response)
        });
        kube::Client::new(service, "default")
    }
    fn kubeconfig(&self) -> Option<&Path> {
        Some(Path::new("kubeconfig"))
    }
    fn topology(&self) -> &Topology {
        &self.topology
    }
    fn service_cidr(&self) -> &str {
        ""
    }
    fn capabilities(&self) -> BTreeSet<Capability> {
        BTreeSet::new()
    }
    fn connect<'a>(
        &'a self,
        _: &'a PodAddress,
        _: u16,
    ) -> BoxFuture<'a, Result<Box<dyn PodStream>, ConnectError>> {
        unreachable!("no test here connects to pods")
    }
    fn load_images<'a>(
        &'a self,
        _: &'a [ImageArchive],
    ) -> BoxFuture<'a, Result<ImageNames, ClusterError>> {
        unreachable!("no test here loads images")
    }
    fn keys_on_disks<'a>(&'a self, _: &'a [PathBuf]) -> BoxFuture<'a, exposure::Search> {
        Box::pin(async {
            exposure::Search {
                found: vec!["node:/run/agent/key".to_owned()],
                not_searched: Vec::new(),
            }
        })
    }
    fn cut_zone<'a>(&'a self, _: &'a str, _: Duration) -> BoxFuture<'a, Result<(), ClusterError>> {
        unreachable!("no test here cuts anything off")
    }
    fn heal_zone<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), ClusterError>> {
        unreachable!("no test here cuts anything off")
    }
    fn collect_diagnostics<'a>(&'a self, _: &'a Path) -> BoxFuture<'a, Result<(), ClusterError>> {
        unreachable!("no test here collects anything")
    }
    fn down(self: Arc<Self>) -> BoxFuture<'static, Vec<String>> {
        unreachable!("no test here takes anything down")
    }
}

fn clusters(names: &[&str]) -> Clusters {
    let shapes = names.iter().map(|name| ClusterShape {
        name: (*name).to_owned(),
        data_centers: Vec::new(),
    });
    let whole = Topology {
        name: "some".to_owned(),
        clusters: shapes.collect(),
        latency: Default::default(),
    };
    let all = (0..names.len()).map(|position| {
        let topology = part(&whole, position);
        Arc::new(Exposing { topology }) as Arc<dyn Cluster>
    });
    let all = all.collect();
    Clusters::of(whole, all)
}

/// What all searches for private keys say, what was found first.
async fn places(clusters: &Clusters) -> Vec<String> {
    let namespaces = ["mesh".to_owned()];
    let folders = [PathBuf::from("/run/agent")];
    let secrets = [("mesh".to_owned(), "keys".to_owned())];
    let mut search = clusters.keys_in_logs(&namespaces, Timestamp::MIN).await;
    search.add(clusters.keys_on_disks(&folders).await);
    search.add(clusters.keys_in_secrets(&secrets).await);
    [search.found, search.not_searched].concat()
}

#[tokio::test]
async fn where_a_key_is_and_what_was_not_searched_is_told_with_the_cluster_among_several() {
    for (names, expected) in [
        (
            &["main"][..],
            &[
                "node:/run/agent/key",
                "Secret mesh/keys: ",
                "the logs of namespace mesh: ",
            ][..],
        ),
        (
            &["west", "east"][..],
            &[
                "cluster east: node:/run/agent/key",
                "cluster west: node:/run/agent/key",
                "cluster east: Secret mesh/keys: ",
                "cluster east: the logs of namespace mesh: ",
                "cluster west: Secret mesh/keys: ",
                "cluster west: the logs of namespace mesh: ",
            ][..],
        ),
    ] {
        let told = places(&clusters(names)).await;
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for (place, begin) in told.iter().zip(expected) {
            assert!(place.starts_with(*begin), "{told:?}");
        }
    }
}
