//! Against an API server that the test plays.

use super::*;
use fake_api::{Asked, FakeApi};
use serde_json::{Value, json};

const NAMESPACES: &str = "/api/v1/namespaces";
const MAPS: &str = "/api/v1/configmaps";
/// Of the workloads.
const HOME: &str = "home";

fn namespace(name: &str, is_going: bool) -> Value {
    let mut namespace = json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "resourceVersion": "2"}});
    if is_going {
        namespace["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    namespace
}

fn map(namespace: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {BUNDLE_KEY: text},
        "metadata": {"name": BUNDLE, "namespace": namespace, "resourceVersion": "2"}})
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items, "metadata": {"resourceVersion": "1"}})
}

fn change(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

/// The namespace that a request writes in.
fn place(asked: &Asked) -> String {
    let place = asked
        .path
        .strip_prefix("/api/v1/namespaces/")
        .and_then(|path| path.strip_suffix("/configmaps/mesh-trust-bundle"));
    let place = place.unwrap_or_else(|| panic!("{} is not expected", asked.path));
    place.to_owned()
}

/// A cluster as the test tells it, and what is asked of it.
struct Cluster {
    api: FakeApi,
    namespaces: Vec<Value>,
    maps: Vec<Value>,
    /// The watches, which say nothing until the test does.
    watches: BTreeMap<String, Asked>,
}

/// A cluster whose lists have been told.
async fn listed(namespaces: &[Value], maps: &[Value], selector: &str) -> (Publishing, Cluster) {
    let (client, api) = FakeApi::new();
    let mut cluster = Cluster {
        api,
        namespaces: namespaces.to_vec(),
        maps: maps.to_vec(),
        watches: BTreeMap::new(),
    };
    let mut publishing = Publishing::new(client, HOME, selector, Arc::default());
    tokio::join!(publishing.listed(), cluster.serve(taken));
    (publishing, cluster)
}

impl Cluster {
    /// Answers until nobody asks any more; `write` answers what is written, and each of them is told, in order.
    async fn serve(&mut self, write: impl Fn(&str) -> (u16, Value)) -> Vec<(String, String)> {
        let mut written = Vec::new();
        while let Some(asked) = self.api.next().await {
            if asked.method == http::Method::PATCH {
                assert!(asked.query.contains("fieldManager=certificate-authority"));
                let namespace = place(&asked);
                let text = asked.body["data"][BUNDLE_KEY].as_str();
                written.push((namespace.clone(), text.expect("a text").to_owned()));
                let (code, body) = write(&namespace);
                asked.answer(code, body);
            } else if asked.query.contains("watch=true") {
                self.watches.insert(asked.path.clone(), asked);
            } else {
                let items = match asked.path.as_str() {
                    NAMESPACES => &self.namespaces,
                    MAPS => &self.maps,
                    other => panic!("{other} is not expected"),
                };
                let items = list(items);
                asked.answer(200, items);
            }
        }
        written.sort();
        written
    }

    fn tell(&mut self, path: &str, event: Value) {
        let watch = self.watches.remove(path).expect("a watch");
        watch.answer(200, event);
    }
}

fn taken(namespace: &str) -> (u16, Value) {
    (200, map(namespace, "told by the answer"))
}

fn written(places: &[&str], text: &str) -> Vec<(String, String)> {
    let places = places.iter();
    places
        .map(|place| ((*place).to_owned(), text.to_owned()))
        .collect()
}

/// Whether there is news after which the bundle lacks somewhere; there is none when everybody only waits.
async fn lacks(publishing: &mut Publishing, cluster: &mut Cluster) -> bool {
    tokio::select! {
        () = publishing.lacks() => true,
        _ = cluster.serve(taken) => false,
    }
}

/// Both at once, since who publishes waits for answers.
async fn published(
    publishing: &mut Publishing,
    cluster: &mut Cluster,
    text: &str,
    write: impl Fn(&str) -> (u16, Value),
) -> (Result<(), PublishError>, Vec<(String, String)>) {
    tokio::join!(publishing.publish(text), cluster.serve(write))
}

#[tokio::test(start_paused = true)]
async fn the_bundle_is_in_every_namespace_that_stays_and_comes_back() {
    let namespaces = [
        namespace("a", false),
        namespace("b", false),
        namespace("going", true),
        namespace("has-it", false),
    ];
    let maps = [map("has-it", "one"), map("b", "old")];
    let (mut publishing, mut cluster) = listed(&namespaces, &maps, "").await;

    assert_eq!(publishing.published(), None);
    let (outcome, places) = published(&mut publishing, &mut cluster, "one", taken).await;
    assert!(outcome.is_ok());
    assert_eq!(places, written(&["a", "b", HOME], "one"));
    assert_eq!(publishing.published(), Some("one"));
    let (outcome, places) = published(&mut publishing, &mut cluster, "one", taken).await;
    assert!(outcome.is_ok());
    assert!(places.is_empty(), "nothing lacks");

    // A namespace that is made later, a ConfigMap that is changed, and one that is taken away.
    for (path, event, place) in [
        (NAMESPACES, change("ADDED", &namespace("new", false)), "new"),
        (MAPS, change("MODIFIED", &map("a", "mine")), "a"),
        (MAPS, change("DELETED", &map("b", "one")), "b"),
    ] {
        assert!(!lacks(&mut publishing, &mut cluster).await, "no news");
        cluster.tell(path, event);
        assert!(lacks(&mut publishing, &mut cluster).await, "{place}");
        let (outcome, places) = published(&mut publishing, &mut cluster, "one", taken).await;
        assert!(outcome.is_ok());
        assert_eq!(places, written(&[place], "one"));
    }

    assert!(!lacks(&mut publishing, &mut cluster).await, "no news");
    assert!(!cluster.watches[NAMESPACES].query.contains("labelSelector"));
    let selected = "fieldSelector=metadata.name%3Dmesh-trust-bundle";
    assert!(cluster.watches[MAPS].query.contains(selected));
    let (outcome, places) = published(&mut publishing, &mut cluster, "two", taken).await;
    assert!(outcome.is_ok());
    assert_eq!(places, written(&["a", "b", "has-it", HOME, "new"], "two"));
    assert_eq!(
        publishing.metrics.bundle_namespaces.load(Ordering::Relaxed),
        5
    );
}

#[tokio::test(start_paused = true)]
async fn only_the_workloads_namespace_must_take_it_and_one_that_goes_is_asked_no_more() {
    let namespaces = ["gone", "going", "open", "shut", HOME].map(|name| namespace(name, false));
    let (mut publishing, mut cluster) = listed(&namespaces, &[], "").await;
    let status = |code: u16, cause: &str| {
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": "no", "reason": "no", "code": code,
            "details": {"causes": [{"reason": cause, "field": "metadata.namespace"}]}});
        (code, status)
    };
    let answers = |namespace: &str| match namespace {
        "gone" => status(404, ""),
        "going" => status(403, "NamespaceTerminating"),
        "shut" => status(403, ""),
        HOME => status(404, ""),
        other => taken(other),
    };
    let (outcome, places) = published(&mut publishing, &mut cluster, "one", answers).await;
    assert_eq!(places.len(), 5, "one that refuses keeps none from another");
    let error = outcome.expect_err("it is not there");
    assert_eq!(error.namespace, HOME);
    let but_home = |namespace: &str| match namespace {
        HOME => taken(HOME),
        other => status(403, other),
    };
    let (outcome, places) = published(&mut publishing, &mut cluster, "one", but_home).await;
    assert!(outcome.is_ok(), "nobody of the mesh is in the other one");
    assert_eq!(places, written(&[HOME, "shut"], "one"));
    let (outcome, places) = published(&mut publishing, &mut cluster, "one", taken).await;
    assert!(outcome.is_ok());
    assert_eq!(places, written(&["shut"], "one"), "it is tried again");
}

#[tokio::test(start_paused = true)]
async fn only_the_namespaces_that_are_selected_are_asked_for() {
    let namespaces = [namespace("a", false)];
    let (mut publishing, mut cluster) = listed(&namespaces, &[], "mesh=ours").await;
    let (outcome, places) = published(&mut publishing, &mut cluster, "one", taken).await;
    assert!(outcome.is_ok());
    // The workloads have it, selected or not.
    assert_eq!(places, written(&["a", HOME], "one"));
    assert!(!lacks(&mut publishing, &mut cluster).await, "no news");
    let query = &cluster.watches[NAMESPACES].query;
    assert!(query.contains("labelSelector=mesh%3Dours"), "{query}");
    // What happens in other namespaces does not count.
    cluster.tell(MAPS, change("ADDED", &map("other", "theirs")));
    assert!(!lacks(&mut publishing, &mut cluster).await, "none of ours");
}
