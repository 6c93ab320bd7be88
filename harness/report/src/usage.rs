//! What the mesh has used, as documents show it: parts of the mesh, kinds of workloads within them, and their containers.

use harness_model::usage::{ContainerUsage, Usage};
use std::collections::BTreeMap;

/// One line: a part, a kind or a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is about.
    pub name: String,
    /// How many containers it sums up; those that are gone are among them.
    pub containers: usize,
    /// Processor time, as `12.3 s`; none of what was looked at once alone, since that tells of no time.
    pub cpu: String,
    /// Processors that were busy with it on average, as `0.25`.
    pub cores: String,
    /// Memory at the end, as `12.3 MiB`; a container that is gone has none.
    pub memory: String,
    /// The most memory that a container held, as `12.3 MiB`.
    pub peak: String,
    /// It is a container that was gone at the end.
    pub gone: bool,
}

/// Lines of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The sum.
    pub sum: Line,
    /// One for each container.
    pub containers: Vec<Line>,
}

/// Lines of one part of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The sum.
    pub sum: Line,
    /// The kinds that it has, at least one.
    pub kinds: Vec<Kind>,
}

/// The sum of everything, and the parts; at every level who used most comes first.
#[must_use]
pub fn table(usage: &Usage) -> (Line, Vec<Part>) {
    let everything: Vec<&ContainerUsage> = usage.containers.iter().collect();
    let clusters = everything.iter().map(|used| used.who.cluster.as_str());
    let several = clusters.collect::<std::collections::BTreeSet<_>>().len() > 1;
    let parts = grouped(&everything, |used| &used.who.part);
    let parts = parts.into_iter().map(|(part, of_part)| {
        let kinds = grouped(&of_part, |used| &used.who.kind);
        let kinds = kinds.into_iter().map(|(kind, mut of_kind)| {
            of_kind.sort_by_key(|used| std::cmp::Reverse(used.cpu_millis));
            let containers = of_kind.iter().map(|used| container(used, several));
            Kind {
                sum: sum(kind, &of_kind, usage.millis),
                containers: containers.collect(),
            }
        });
        Part {
            sum: sum(part, &of_part, usage.millis),
            kinds: kinds.collect(),
        }
    });
    (
        sum("everything", &everything, usage.millis),
        parts.collect(),
    )
}

/// How long was looked, as `10.00s`.
pub(crate) fn looked(usage: &Usage) -> String {
    match usage.millis {
        0 => "one look".to_owned(),
        millis => crate::terminal::seconds(millis),
    }
}

/// What there are no figures of, and how the figures are to be read.
#[must_use]
pub fn notes(usage: &Usage) -> Vec<String> {
    let mut notes = Vec::new();
    if usage.meshes > 1 {
        notes.push(format!(
            "The figures of {} meshes, each in an environment of its own, are added.",
            usage.meshes
        ));
    }
    if usage.millis == 0 && !usage.containers.is_empty() {
        notes.push(
            "It was looked at once alone, as in a run that is interrupted early: what processors did is not known."
                .to_owned(),
        );
    }
    let missing = usage.not_told.iter();
    notes.extend(missing.map(|why| format!("No figures, or none from the end: {why}.")));
    notes
}

type Group<'a> = (&'a str, Vec<&'a ContainerUsage>);

fn grouped<'a>(
    all: &[&'a ContainerUsage],
    by: impl Fn(&'a ContainerUsage) -> &'a String,
) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<&str, Vec<&ContainerUsage>> = BTreeMap::new();
    for used in all {
        groups.entry(by(used)).or_default().push(used);
    }
    let mut groups: Vec<Group<'a>> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(millis(group)));
    groups
}

fn millis(group: &[&ContainerUsage]) -> u64 {
    group.iter().map(|used| used.cpu_millis).sum()
}

/// Cores of a sum are those of the whole run: its containers need not have lived side by side.
fn sum(name: &str, group: &[&ContainerUsage], over: u64) -> Line {
    let cpu = millis(group);
    let there = group.iter().filter(|used| !used.gone);
    let peak = group.iter().map(|used| used.peak_memory_bytes).max();
    Line {
        name: name.to_owned(),
        containers: group.len(),
        cpu: processor_time(cpu, over),
        cores: cores(cpu, over),
        memory: mebibytes(there.map(|used| used.memory_bytes).sum()),
        peak: mebibytes(peak.unwrap_or_default()),
        gone: false,
    }
}

fn container(used: &ContainerUsage, several: bool) -> Line {
    let who = &used.who;
    Line {
        name: if several {
            format!("{}/{}", who.cluster, who.pod)
        } else {
            who.pod.clone()
        },
        containers: 1,
        cpu: processor_time(used.cpu_millis, used.over_millis),
        cores: cores(used.cpu_millis, used.over_millis),
        memory: if used.gone {
            "–".to_owned()
        } else {
            mebibytes(used.memory_bytes)
        },
        peak: mebibytes(used.peak_memory_bytes),
        gone: used.gone,
    }
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

/// Nobody knows it of a moment.
fn processor_time(cpu: u64, over: u64) -> String {
    match over {
        0 => "–".to_owned(),
        _ => seconds(cpu),
    }
}

fn cores(cpu: u64, over: u64) -> String {
    match over {
        0 => "–".to_owned(),
        over => format!("{:.2}", cpu as f64 / over as f64),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_used_most_comes_first_at_every_level() {
        let usage = crate::fixture::usage();
        let (all, parts) = table(&usage);
        assert_eq!((all.containers, all.cpu.as_str()), (7, "5.2 s"));
        let told: Vec<(&str, &str, &str, &str)> = parts
            .iter()
            .map(|part| {
                let sum = &part.sum;
                (
                    sum.name.as_str(),
                    sum.cpu.as_str(),
                    sum.cores.as_str(),
                    sum.memory.as_str(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                // A replica that is gone has used time, and holds no memory.
                ("control-plane", "2.8 s", "0.28", "24.0 MiB"),
                ("sidecar", "2.0 s", "0.20", "150.0 MiB"),
                ("probe", "0.4 s", "0.04", "6.5 MiB"),
            ]
        );
        let sidecar = &parts[1];
        let kinds: Vec<&str> = sidecar.kinds.iter().map(|k| k.sum.name.as_str()).collect();
        assert_eq!(kinds, ["frontend", "checkout"]);
        assert_eq!(sidecar.sum.peak, "61.0 MiB");
        let replicas = &parts[0].kinds[0].containers;
        assert_eq!(replicas[0].name, "control-plane-0");
        assert!(replicas[1].gone && replicas[1].memory == "–");
        assert_eq!(replicas[1].cores, "0.50", "of the time that it lived");
    }

    #[test]
    fn one_look_tells_no_processor_time_and_that_is_said() {
        let mut usage = crate::fixture::usage();
        usage.millis = 0;
        for used in &mut usage.containers {
            (used.cpu_millis, used.over_millis) = (0, 0);
        }
        let (all, parts) = table(&usage);
        assert_eq!((all.cpu.as_str(), all.cores.as_str()), ("–", "–"));
        let first = &parts[0].kinds[0].containers[0];
        assert_eq!(first.cpu, "–");
        assert_ne!(first.peak, "–", "memory was seen");
        assert!(notes(&usage)[0].contains("looked at once"));
        assert_eq!(looked(&usage), "one look");
        usage.containers.clear();
        assert_eq!(notes(&usage), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_is_told_and_clusters_are_named_where_there_are_several() {
        let mut usage = crate::fixture::usage();
        assert_eq!(notes(&usage), Vec::<String>::new());
        usage.not_told.push("node a of cluster b: why".to_owned());
        usage.meshes = 2;
        assert_eq!(notes(&usage).len(), 2);
        assert!(notes(&usage)[1].contains("node a of cluster b: why"));
        usage.containers[0].who.cluster = "other".to_owned();
        let (_, parts) = table(&usage);
        assert_eq!(
            parts[0].kinds[0].containers[0].name,
            "other/control-plane-0"
        );
        assert_eq!(cores(1, 0), "–");
    }
}
