//! What the containers of the mesh have used: from readings of counters to figures of a run.
//!
//! Invariant: figures tell at least what was used, and nothing twice. What a container used between the last reading of it
//! and its end is not known to anybody.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What the mesh has used in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// From the first reading to the last, milliseconds.
    pub millis: u64,
    /// How many meshes these are the figures of, each in an environment of its own: more than one when reports were merged.
    #[serde(default = "one")]
    pub meshes: usize,
    /// The containers, ordered by cluster, pod and name.
    pub containers: Vec<ContainerUsage>,
    /// Of what there are no figures, or no newer ones, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_told: Vec<String>,
}

const fn one() -> usize {
    1
}

/// What one container has used, over all its restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerUsage {
    /// Who it is.
    #[serde(flatten)]
    pub who: Who,
    /// Processor time within the run, milliseconds.
    pub cpu_millis: u64,
    /// For how long it was watched: from the first reading, or its start if that was later, to the last reading of it;
    /// milliseconds.
    pub over_millis: u64,
    /// Memory at the last reading of it, bytes.
    pub memory_bytes: u64,
    /// The most memory that a reading showed, bytes.
    pub peak_memory_bytes: u64,
    /// It was gone at the end of the run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub gone: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// A container of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Who {
    /// Its cluster, as the topology calls it.
    pub cluster: String,
    /// Its pod.
    pub pod: String,
    /// The pod's UID.
    pub pod_uid: String,
    /// Its name in the pod.
    pub container: String,
    /// Where it runs.
    pub node: String,
    /// The part of the mesh that it belongs to: a component, or of a workload's pod the container's name.
    pub part: String,
    /// What kind it is of that part: of a workload's pod the application, else the container's name.
    pub kind: String,
}

/// What a reading of a node tells of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Who it is.
    pub who: Who,
    /// When it was started, in milliseconds of the wall clock; none where nobody says.
    pub started: Option<i64>,
    /// When this was so, in milliseconds of the wall clock.
    pub at: i64,
    /// Processor time since its start, nanoseconds.
    pub cpu_nanos: u64,
    /// Memory, bytes.
    pub memory_bytes: u64,
}

/// Readings of one run, added up as they come.
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    /// Wall clock at the first and the last reading, milliseconds.
    span: Option<(i64, i64)>,
    seen: BTreeMap<(String, String), Seen>,
    silent: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct Seen {
    last: Figure,
    since: i64,
    cpu_nanos: u64,
    peak: u64,
    gone: bool,
}

impl Gauge {
    /// Takes what a node of a cluster tells of the mesh's containers at `now`, in milliseconds of the wall clock. Containers
    /// of that node that it does not tell of are gone.
    pub fn read(&mut self, cluster: &str, node: &str, now: i64, figures: Vec<Figure>) {
        let (begun, last) = self.span.unwrap_or((now, now));
        self.span = Some((begun, last.max(now)));
        self.silent.remove(&place(cluster, node));
        // Its cluster has passed the question on.
        self.silent.remove(&place(cluster, ""));
        let told: BTreeSet<(String, String)> = figures.iter().map(|told| key(&told.who)).collect();
        for (key, seen) in &mut self.seen {
            let is_here = seen.last.who.cluster == cluster && seen.last.who.node == node;
            seen.gone |= is_here && !told.contains(key);
        }
        for figure in figures {
            match self.seen.get_mut(&key(&figure.who)) {
                Some(seen) => seen.take(figure),
                None => {
                    self.seen
                        .insert(key(&figure.who), Seen::first(figure, begun));
                }
            }
        }
    }

    /// Something did not tell its figures. It counts until it does.
    pub fn silent(&mut self, cluster: &str, node: &str, reason: String) {
        self.silent.insert(place(cluster, node), reason);
    }

    /// The figures as far as they are known.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let (begun, last) = self.span.unwrap_or_default();
        let silent = self.silent.iter();
        let mut containers: Vec<ContainerUsage> = self.seen.values().map(Seen::usage).collect();
        containers.sort_by(|one, other| one.who.cmp(&other.who));
        Usage {
            millis: millis(begun, last),
            meshes: 1,
            containers,
            not_told: silent
                .map(|(place, why)| format!("{place}: {why}"))
                .collect(),
        }
    }
}

impl Seen {
    /// What a container used before the run is no use of the run.
    fn first(figure: Figure, begun: i64) -> Self {
        let started = figure.started.filter(|started| *started >= begun);
        Self {
            since: started.unwrap_or(figure.at),
            cpu_nanos: if started.is_some() {
                figure.cpu_nanos
            } else {
                0
            },
            peak: figure.memory_bytes,
            gone: false,
            last: figure,
        }
    }

    fn take(&mut self, figure: Figure) {
        // A counter begins anew with its container.
        let before = if figure.started == self.last.started {
            self.last.cpu_nanos
        } else {
            0
        };
        self.cpu_nanos += figure.cpu_nanos.saturating_sub(before);
        self.peak = self.peak.max(figure.memory_bytes);
        self.gone = false;
        self.last = figure;
    }

    fn usage(&self) -> ContainerUsage {
        ContainerUsage {
            who: self.last.who.clone(),
            cpu_millis: self.cpu_nanos / 1_000_000,
            over_millis: millis(self.since, self.last.at),
            memory_bytes: self.last.memory_bytes,
            peak_memory_bytes: self.peak,
            gone: self.gone,
        }
    }
}

impl Usage {
    /// Adds the figures of another run, whose mesh was in an environment of its own, beside this one's.
    pub fn add(&mut self, other: Self) {
        self.millis = self.millis.max(other.millis);
        self.meshes += other.meshes;
        self.containers.extend(other.containers);
        self.not_told.extend(other.not_told);
    }
}

fn key(who: &Who) -> (String, String) {
    (who.pod_uid.clone(), who.container.clone())
}

fn place(cluster: &str, node: &str) -> String {
    if node.is_empty() {
        format!("cluster {cluster}")
    } else {
        format!("node {node} of cluster {cluster}")
    }
}

fn millis(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    fn figure(pod: &str, started: i64, at: i64, cpu_millis: u64, memory_bytes: u64) -> Figure {
        Figure {
            who: Who {
                cluster: "one".to_owned(),
                pod: pod.to_owned(),
                pod_uid: format!("uid-{pod}"),
                container: "main".to_owned(),
                node: "node".to_owned(),
                part: "part".to_owned(),
                kind: "main".to_owned(),
            },
            started: Some(started),
            at,
            cpu_nanos: cpu_millis * MILLI,
            memory_bytes,
        }
    }

    fn only(gauge: &Gauge) -> ContainerUsage {
        let usage = gauge.usage();
        assert_eq!(usage.containers.len(), 1);
        usage.containers[0].clone()
    }

    #[test]
    fn only_what_was_used_within_the_run_counts() {
        let mut gauge = Gauge::default();
        gauge.read("one", "node", 1_000, vec![figure("a", 100, 1_000, 700, 50)]);
        assert_eq!((only(&gauge).cpu_millis, only(&gauge).over_millis), (0, 0));
        gauge.read("one", "node", 2_000, vec![figure("a", 100, 2_000, 900, 80)]);
        gauge.read("one", "node", 3_000, vec![figure("a", 100, 3_000, 950, 60)]);
        let used = only(&gauge);
        assert_eq!((used.cpu_millis, used.over_millis), (250, 2_000));
        assert_eq!((used.memory_bytes, used.peak_memory_bytes), (60, 80));
        assert_eq!(gauge.usage().millis, 2_000);
    }

    #[test]
    fn a_container_that_came_later_counts_from_its_start() {
        let mut gauge = Gauge::default();
        gauge.read("one", "node", 1_000, vec![]);
        gauge.read(
            "one",
            "node",
            5_000,
            vec![figure("a", 3_000, 5_000, 400, 1)],
        );
        let used = only(&gauge);
        assert_eq!((used.cpu_millis, used.over_millis), (400, 2_000));
    }

    #[test]
    fn a_restart_begins_a_counter_anew_and_loses_nothing_that_was_read() {
        let mut gauge = Gauge::default();
        for (at, started, cpu) in [
            (1_000, 0, 500),
            (2_000, 0, 600),
            (3_000, 2_500, 30),
            // More than before the restart, in one step.
            (4_000, 3_500, 700),
        ] {
            gauge.read("one", "node", at, vec![figure("a", started, at, cpu, 1)]);
        }
        assert_eq!(only(&gauge).cpu_millis, 100 + 30 + 700);
        assert_eq!(only(&gauge).over_millis, 3_000);
    }

    #[test]
    fn who_is_not_told_of_any_more_is_gone_and_keeps_its_figures() {
        let mut gauge = Gauge::default();
        gauge.read("one", "node", 1_000, vec![figure("a", 0, 1_000, 5, 9)]);
        gauge.read("one", "other", 2_000, vec![]);
        gauge.read("other", "node", 2_000, vec![]);
        assert!(!only(&gauge).gone, "others do not know");
        gauge.read("one", "node", 3_000, vec![]);
        assert!(only(&gauge).gone);
        assert_eq!(only(&gauge).memory_bytes, 9);
        gauge.read("one", "node", 4_000, vec![figure("a", 0, 4_000, 6, 9)]);
        assert!(!only(&gauge).gone);
    }

    #[test]
    fn who_does_not_answer_is_told_until_it_does() {
        let mut gauge = Gauge::default();
        gauge.silent("one", "node", "no answer".to_owned());
        gauge.silent("one", "", "no right".to_owned());
        assert_eq!(
            gauge.usage().not_told,
            [
                "cluster one: no right",
                "node node of cluster one: no answer"
            ]
        );
        gauge.read("one", "other", 1_000, vec![]);
        assert_eq!(
            gauge.usage().not_told,
            ["node node of cluster one: no answer"]
        );
        gauge.read("one", "node", 2_000, vec![]);
        assert_eq!(gauge.usage().not_told, Vec::<String>::new());
    }

    #[test]
    fn runs_are_added_and_older_forms_are_read() {
        let mut gauge = Gauge::default();
        gauge.read("one", "node", 1_000, vec![figure("a", 0, 1_000, 5, 9)]);
        let mut sum = gauge.usage();
        sum.add(gauge.usage());
        assert_eq!((sum.meshes, sum.containers.len()), (2, 2));
        let text = serde_json::to_string(&sum).expect("it has a JSON form");
        assert_eq!(
            serde_json::from_str::<Usage>(&text).expect("its own form"),
            sum
        );
        let least = r#"{"millis": 1, "containers": []}"#;
        let least: Usage = serde_json::from_str(least).expect("what is left out has a default");
        assert_eq!(least.meshes, 1);
    }
}
