//! With an API server that the tests play and with paused time: a wait that nothing ends is over at once.

use super::*;
use crate::behaviour::Faithful;
use fake_api::{Asked, FakeApi};
use serde_json::{Value, json};

/// Takes it that there are no policies while a watch is broken.
struct Forgetful;

impl Behaviour for Forgetful {
    fn alone(&self, world: World) -> World {
        World {
            policies: BTreeMap::new(),
            ..world
        }
    }
}

fn policy(name: &str, version: &str) -> Value {
    json!({"apiVersion": "mesh.meshproof.io/v1alpha1", "kind": "PolicyConfig",
        "metadata": {"name": name, "uid": name, "resourceVersion": version}, "spec": {"scopeRef": "all"}})
}

/// Answers every list, that of policies with one, until nobody asks any more. The watch of policies that is open then.
async fn watch_of_policies(api: &mut FakeApi) -> Asked {
    let mut open = None;
    while let Some(asked) = api.next().await {
        let is_of_policies = asked.path.ends_with("/policyconfigs");
        if asked.query.contains("watch=true") {
            // A watch that is let go of has no news.
            if is_of_policies {
                open = Some(asked);
            }
            continue;
        }
        let items = if is_of_policies {
            vec![policy("a", "1")]
        } else {
            vec![]
        };
        asked.answer(
            200,
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}),
        );
    }
    open.expect("policies are watched")
}

/// How many policies the newest world has, and how many worlds were published: with every list complete, with the watch of
/// policies broken, and when that tells of a second policy.
async fn around_a_break(behaviour: Arc<dyn Behaviour>) -> [(usize, u64); 3] {
    let (client, mut api) = FakeApi::new();
    let settings = Settings::read(|name| {
        Some(name.to_lowercase()).filter(|_| name.ends_with("NAME") || name.ends_with("NAMESPACE"))
    });
    let store = WorldStore::new();
    let metrics = Arc::new(Metrics::new());
    let watching = Watching {
        client,
        settings: settings.expect("complete"),
        behaviour,
        store: store.clone(),
        statuses: Arc::new(Statuses::default()),
        metrics: metrics.clone(),
        synced: watch::Sender::new(false),
    };
    let task = tokio::spawn(watching.run());
    let seen = || {
        let worlds = metrics.worlds.load(Ordering::Relaxed);
        (store.current().policies.len(), worlds)
    };
    let open = watch_of_policies(&mut api).await;
    let complete = seen();
    open.refuse(500);
    let open = watch_of_policies(&mut api).await;
    let broken = seen();
    open.answer(200, json!({"type": "ADDED", "object": policy("b", "2")}));
    watch_of_policies(&mut api).await;
    let again = seen();
    task.abort();
    [complete, broken, again]
}

#[tokio::test(start_paused = true)]
async fn what_is_known_stands_while_a_watch_is_broken_unless_it_is_forgotten() {
    let faithful = around_a_break(Arc::new(Faithful)).await;
    assert_eq!(faithful, [(1, 1), (1, 1), (2, 2)]);
    let forgetful = around_a_break(Arc::new(Forgetful)).await;
    assert_eq!(forgetful, [(1, 1), (0, 2), (2, 3)]);
}
