//! With an API server that the tests play and with paused time: a wait that nothing ends is over at once.

use super::*;
use crate::acknowledgements::{PolicyStanding, State};
use crate::behaviour::Faithful;
use crate::world::{Policy, Scope, Sidecar};
use fake_api::{Asked, FakeApi};
use mesh_api::{PolicyConfigSpec, PolicyConfigStatus, ScopeConfigSpec, ScopeEntry};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

struct Writer {
    api: FakeApi,
    store: WorldStore,
    statuses: Arc<Statuses>,
    acknowledgements: Arc<Acknowledgements>,
    leads: watch::Sender<bool>,
    version: u64,
    task: JoinHandle<()>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Leads, with these policies in generation 1 and one scope whose status is as it should be.
fn writer(policies: &[&str]) -> Writer {
    let (client, api) = FakeApi::new();
    let store = WorldStore::new();
    let statuses = Arc::new(Statuses::default());
    let acknowledgements = Arc::new(Acknowledgements::default());
    let (leads, follows) = watch::channel(true);
    let world = world(policies, 1);
    let scope = of_scope(
        &world,
        &world.scopes["all"],
        &BTreeMap::new(),
        None,
        &Time(jiff::Timestamp::UNIX_EPOCH),
    );
    statuses.scopes.told("all", Some("1"), scope);
    store.publish(Arc::new(world));
    let settings = Settings::read(|name| {
        Some(name.to_lowercase()).filter(|_| name.ends_with("NAME") || name.ends_with("NAMESPACE"))
    });
    let writing = Writing {
        client,
        settings: settings.expect("complete"),
        behaviour: Arc::new(Faithful),
        store: store.clone(),
        statuses: statuses.clone(),
        acknowledgements: acknowledgements.clone(),
        metrics: Arc::new(Metrics::new()),
    };
    Writer {
        api,
        store,
        statuses,
        acknowledgements,
        leads,
        version: 1,
        task: tokio::spawn(writing.run(follows)),
    }
}

fn world(policies: &[&str], generation: i64) -> World {
    let policy = |name: &&str| {
        let policy = Policy {
            name: (*name).into(),
            uid: format!("uid-{name}"),
            generation,
            spec: PolicyConfigSpec {
                scope_ref: "all".into(),
                ..PolicyConfigSpec::default()
            },
            ..Policy::default()
        };
        (policy.name.clone(), Arc::new(policy))
    };
    let scope = Scope {
        name: "all".into(),
        generation: 1,
        spec: ScopeConfigSpec {
            entries: vec![ScopeEntry::default()],
            except: vec![],
        },
        ..Scope::default()
    };
    let sidecar = Sidecar {
        uid: "sidecar".into(),
        ..Sidecar::default()
    };
    World {
        policies: policies.iter().map(policy).collect(),
        scopes: [("all".to_owned(), Arc::new(scope))].into(),
        sidecars: [("sidecar".to_owned(), Arc::new(sidecar))].into(),
        ..World::default()
    }
}

impl Writer {
    /// The sidecar says how far a policy came.
    fn says(&self, policy: &str, generation: i64, state: State) {
        let standing = PolicyStanding {
            uid: format!("uid-{policy}"),
            generation,
            state,
        };
        let report = RecipientReport {
            uid: "sidecar".into(),
            policies: [(policy.to_owned(), standing)].into(),
            ..RecipientReport::default()
        };
        self.acknowledgements.put(1, report);
    }

    /// The next write of a policy's status.
    async fn next(&mut self) -> Option<Asked> {
        loop {
            let asked = self.api.next().await?;
            if asked.path.contains("/policyconfigs/") {
                return Some(asked);
            }
            // How many policies refer to the scope is not what these tests are about.
            self.accept(asked);
        }
    }

    fn accept(&mut self, asked: Asked) {
        self.version += 1;
        let mut object = asked.body.clone();
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object["spec"] = json!({"scopeRef": "all", "match": []});
        asked.answer(200, object);
    }
}

fn counts(asked: &Asked) -> [&Value; 3] {
    let status = &asked.body["status"];
    ["observedGeneration", "matched", "acknowledged"].map(|field| &status[field])
}

#[tokio::test(start_paused = true)]
async fn what_changes_during_a_write_is_written_once_in_its_newest_form() {
    let mut writer = writer(&["p"]);
    let first = writer.next().await.expect("a new policy gets a status");
    assert_eq!(counts(&first), [&json!(1), &json!(1), &json!(0)]);
    assert_eq!(first.body["metadata"]["uid"], "uid-p");
    for generation in 2..=20 {
        writer.store.publish(Arc::new(world(&["p"], generation)));
        writer.says("p", generation, State::Delivered);
        tokio::task::yield_now().await;
    }
    writer.says("p", 20, State::Acknowledged);
    assert!(
        writer.next().await.is_none(),
        "one write of an object at a time"
    );
    writer.accept(first);
    let second = writer.next().await.expect("the newest");
    assert_eq!(counts(&second), [&json!(20), &json!(1), &json!(1)]);
    writer.accept(second);
    assert!(writer.next().await.is_none(), "nothing was queued");
}

#[tokio::test(start_paused = true)]
async fn what_sidecars_say_one_after_the_other_is_written_together() {
    let mut writer = writer(&["p"]);
    let first = writer.next().await.expect("a new policy gets a status");
    writer.accept(first);
    writer.says("p", 1, State::Delivered);
    tokio::time::advance(COLLECTED / 2).await;
    writer.says("p", 1, State::Acknowledged);
    let second = writer.next().await.expect("both");
    assert_eq!(counts(&second)[2], 1);
    writer.accept(second);
    assert!(writer.next().await.is_none(), "it was written once");
}

#[tokio::test(start_paused = true)]
async fn a_slow_write_holds_up_nobody_else() {
    let mut writer = writer(&["p", "q"]);
    let slow = writer.next().await.expect("the first");
    let other = writer.next().await.expect("the other one does not wait");
    assert_ne!(slow.path, other.path);
    writer.accept(other);
    writer.says("q", 1, State::Acknowledged);
    let other = writer.next().await.expect("nor does what follows");
    assert!(other.path.ends_with("/q/status"), "{}", other.path);
    assert_eq!(counts(&other)[2], 1);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_writes_in_flight_is_bounded_and_all_are_done() {
    let names: Vec<String> = (0..3 * IN_FLIGHT)
        .map(|number| format!("p{number:02}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut writer = writer(&names);
    let mut held = Vec::new();
    while let Some(asked) = writer.next().await {
        held.push(asked);
    }
    assert_eq!(held.len(), IN_FLIGHT);
    let mut paths = BTreeSet::new();
    while let Some(asked) = held.pop() {
        assert!(paths.insert(asked.path.clone()), "{} twice", asked.path);
        writer.accept(asked);
        held.extend(writer.next().await);
    }
    assert_eq!(paths.len(), names.len());
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_is_tried_again_with_what_is_true_then() {
    let mut writer = writer(&["p"]);
    for code in [409, 500] {
        let asked = writer.next().await.expect("a try");
        asked.refuse(code);
        assert!(writer.next().await.is_none(), "not at once");
        tokio::time::advance(AGAIN).await;
    }
    // One that is never answered is given up.
    let asked = writer.next().await.expect("another try");
    tokio::time::advance(GIVEN_UP).await;
    assert!(writer.next().await.is_none(), "not at once");
    writer.says("p", 1, State::Acknowledged);
    let last = writer.next().await.expect("at the next change");
    assert_eq!(counts(&last)[2], 1);
    drop(asked);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_wrote_is_put_right() {
    let mut writer = writer(&["p"]);
    let asked = writer.next().await.expect("a new policy gets a status");
    writer.accept(asked);
    assert!(writer.next().await.is_none());
    let wrong = PolicyConfigStatus {
        matched: 7,
        ..PolicyConfigStatus::default()
    };
    writer.statuses.policies.told("p", Some("1000"), wrong);
    let asked = writer.next().await.expect("it is put right");
    assert_eq!(counts(&asked)[1], 1);
}

#[tokio::test(start_paused = true)]
async fn who_leads_no_more_writes_no_more() {
    let mut writer = writer(&["p"]);
    let asked = writer.next().await.expect("a new policy gets a status");
    writer.leads.send_replace(false);
    assert!(writer.next().await.is_none());
    writer.accept(asked);
    writer.says("p", 1, State::Acknowledged);
    assert!(writer.next().await.is_none());
    writer.leads.send_replace(true);
    let asked = writer.next().await.expect("it leads again");
    assert_eq!(counts(&asked)[2], 1);
}
