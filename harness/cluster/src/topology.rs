//! Topologies from files: the built-in ones by name, others by path.
//!
//! Invariant: a topology that comes out of here can be laid out: names are unique and fit Kubernetes, numbers fit
//! the address plan. Everything that is wrong with a file is said at once, with file and line.

use crate::ClusterError;
use crate::local::{MOST_DATA_CENTERS, MOST_NODES};
use harness_model::capability::Capability;
use harness_model::document::suggestion;
use harness_model::duration::Span;
use harness_model::topology::{ClusterShape, DataCenter, Latency, Topology};
use serde::Deserialize;
use serde_saphyr::Spanned;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// The built-in topologies: name and text.
const BUILT_IN: [(&str, &str); 4] = [
    (
        "one-zone",
        include_str!("../../../kind-config/topologies/one-zone.yaml"),
    ),
    (
        "three-zones",
        include_str!("../../../kind-config/topologies/three-zones.yaml"),
    ),
    (
        "two-clusters",
        include_str!("../../../kind-config/topologies/two-clusters.yaml"),
    ),
    (
        "three-regions-five-data-centers",
        include_str!("../../../kind-config/topologies/three-regions-five-data-centers.yaml"),
    ),
];
/// The name of the topology that is used when none is asked for.
pub const DEFAULT: &str = "three-zones";
/// Longest name of a data center: with a node's number it must still be a DNS label and part of a socket's path.
const LONGEST_NAME: usize = 40;
/// More clusters than this in one environment.
const MOST_CLUSTERS: usize = 8;

/// The names of the built-in topologies.
pub fn built_in() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// Loads a built-in topology by its name, or one from a file.
///
/// # Errors
///
/// When there is no such topology or file, or the file is not a topology that can be brought up.
pub fn load(name_or_path: &str) -> Result<Topology, ClusterError> {
    if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
        return parse(name, text);
    }
    let path = Path::new(name_or_path);
    let text = std::fs::read_to_string(path).map_err(|error| {
        let known: Vec<_> = built_in().collect();
        let source: Box<dyn std::error::Error + Send + Sync> = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no topology and no file of this name".into(),
            _ => Box::new(error),
        };
        let hint = format!(
            "give a file, or the name of a built-in topology: {}",
            known.join(", ")
        );
        ClusterError::new(format!("load topology `{name_or_path}`"), source).hint(hint)
    })?;
    parse(&path.display().to_string(), &text)
}

/// Reads a topology from `text`; `file` is named in errors.
///
/// # Errors
///
/// When it is not YAML, not a topology, or one that cannot be brought up.
pub fn parse(file: &str, text: &str) -> Result<Topology, ClusterError> {
    let refuse = |problems: Vec<Problem>| {
        ClusterError::new(format!("load topology `{file}`"), Problems(problems))
            .hint("a whole example: kind-config/topologies/three-zones.yaml")
    };
    let read: File = serde_saphyr::from_str(text).map_err(|error| {
        let location = error.location();
        let line = location.map_or(1, |location| location.line());
        let text = error.without_snippet().to_string();
        // The location is said once, by us.
        let text = text.lines().next().unwrap_or_default().trim();
        refuse(vec![Problem {
            file: file.to_owned(),
            line,
            text: text.to_owned(),
        }])
    })?;
    let mut problems = Vec::new();
    let mut problem = |line: u64, text: String| {
        problems.push(Problem {
            file: file.to_owned(),
            line,
            text,
        });
    };
    read.check(&mut problem);
    if problems.is_empty() {
        Ok(read.into_topology())
    } else {
        problems.sort_by_key(|problem| problem.line);
        Err(refuse(problems))
    }
}

/// Something that is wrong in a file.
#[derive(Debug)]
struct Problem {
    file: String,
    line: u64,
    text: String,
}

/// Everything that is wrong in a file, one line each.
#[derive(Debug)]
struct Problems(Vec<Problem>);

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{}: {}", problem.file, problem.line, problem.text)?;
        }
        Ok(())
    }
}

/// [`Topology`] with the place of everything that may be wrong.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    clusters: Spanned<Vec<FileCluster>>,
    #[serde(default)]
    latency: FileLatency,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileCluster {
    name: Spanned<String>,
    data_centers: Spanned<Vec<FileDataCenter>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileDataCenter {
    name: Spanned<String>,
    region: Spanned<String>,
    nodes: Option<Spanned<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FileLatency {
    default: Option<Span>,
    #[serde(default)]
    regions: FileMatrix,
    #[serde(default)]
    between: FileMatrix,
}

type FileMatrix = BTreeMap<String, Spanned<BTreeMap<String, Spanned<Span>>>>;

impl File {
    fn check(&self, problem: &mut impl FnMut(u64, String)) {
        let clusters = &self.clusters.value;
        if !(1..=MOST_CLUSTERS).contains(&clusters.len()) {
            let text = format!(
                "there are {} clusters; there can be 1 to {MOST_CLUSTERS}",
                clusters.len()
            );
            problem(self.clusters.referenced.line(), text);
        }
        let mut names = BTreeSet::new();
        let mut regions = BTreeSet::new();
        let mut cluster_names = BTreeSet::new();
        for cluster in clusters {
            check_name("cluster", &cluster.name, problem);
            if !cluster_names.insert(cluster.name.value.as_str()) {
                let text = format!("cluster `{}` is there twice", cluster.name.value);
                problem(cluster.name.referenced.line(), text);
            }
            let data_centers = &cluster.data_centers;
            if data_centers.value.is_empty() {
                let text = format!("cluster `{}` has no data center", cluster.name.value);
                problem(data_centers.referenced.line(), text);
            }
            if data_centers.value.len() > MOST_DATA_CENTERS {
                let text = format!("more than {MOST_DATA_CENTERS} data centers");
                problem(data_centers.referenced.line(), text);
            }
            for data_center in &data_centers.value {
                check_name("data center", &data_center.name, problem);
                check_name("region", &data_center.region, problem);
                regions.insert(data_center.region.value.as_str());
                if !names.insert(data_center.name.value.as_str()) {
                    let text = format!("data center `{}` is there twice", data_center.name.value);
                    problem(data_center.name.referenced.line(), text);
                }
                if let Some(nodes) = &data_center.nodes
                    && !(1..=MOST_NODES).contains(&nodes.value)
                {
                    let text = format!("{} nodes; there can be 1 to {MOST_NODES}", nodes.value);
                    problem(nodes.referenced.line(), text);
                }
            }
        }
        check_matrix("region", &self.latency.regions, &regions, problem);
        check_matrix("data center", &self.latency.between, &names, problem);
        for (from, row) in &self.latency.between {
            if let Some(span) = row.value.get(from) {
                let text = format!(
                    "latency.between.{from}.{from}: nothing is between `{from}` and itself (hint: what is between the data centers of a region stands in `latency.regions`)"
                );
                problem(span.referenced.line(), text);
            }
        }
    }

    fn into_topology(self) -> Topology {
        let data_center = |found: FileDataCenter| DataCenter {
            name: found.name.value,
            region: found.region.value,
            nodes: found.nodes.map_or(1, |nodes| nodes.value),
        };
        let cluster = |found: FileCluster| ClusterShape {
            name: found.name.value,
            data_centers: found
                .data_centers
                .value
                .into_iter()
                .map(data_center)
                .collect(),
        };
        let matrix = |found: FileMatrix| {
            let rows = found.into_iter().map(|(from, row)| {
                let row = row.value.into_iter();
                (from, row.map(|(to, span)| (to, span.value)).collect())
            });
            rows.collect()
        };
        Topology {
            name: self.name.value,
            clusters: self.clusters.value.into_iter().map(cluster).collect(),
            latency: Latency {
                default: self.latency.default,
                regions: matrix(self.latency.regions),
                between: matrix(self.latency.between),
            },
        }
    }
}

/// Every name in it must be that of a region or data center, and no row may say nothing.
fn check_matrix(
    what: &str,
    matrix: &FileMatrix,
    known: &BTreeSet<&str>,
    problem: &mut impl FnMut(u64, String),
) {
    let field = match what {
        "region" => "latency.regions",
        _ => "latency.between",
    };
    let unknown = |name: &str| {
        let hint = match suggestion(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                let known: Vec<&str> = known.iter().copied().collect();
                format!("the {what}s are {}", known.join(", "))
            }
        };
        format!("there is no {what} `{name}` (hint: {hint})")
    };
    let is_known = |name: &str| known.contains(name);
    for (from, row) in matrix {
        if !is_known(from) {
            let text = format!("{field}.{from}: {}", unknown(from));
            // Where a row stands on lines of its own it begins below its name.
            problem(row.referenced.line(), text);
        } else if row.value.is_empty() {
            let text = format!("{field}.{from}: nothing is said (hint: `{from}: {{OTHER: 5ms}}`)");
            problem(row.referenced.line(), text);
        }
        for (to, span) in row.value.iter().filter(|(to, _)| !is_known(to)) {
            let text = format!("{field}.{from}.{to}: {}", unknown(to));
            problem(span.referenced.line(), text);
        }
    }
}

fn check_name(what: &str, name: &Spanned<String>, problem: &mut impl FnMut(u64, String)) {
    let value = &name.value;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = (1..=LONGEST_NAME).contains(&value.len())
        && value.bytes().all(allowed)
        && !value.starts_with('-')
        && !value.ends_with('-');
    if !label {
        let text = format!(
            "`{value}` cannot name a {what}: lower-case letters, digits and `-` inside, at most {LONGEST_NAME}"
        );
        problem(name.referenced.line(), text);
    }
}

/// The capabilities that follow from the number of data centers.
#[must_use]
pub fn zones_of(topology: &Topology) -> BTreeSet<Capability> {
    let zones = topology
        .clusters
        .first()
        .map_or(0, |cluster| cluster.data_centers.len());
    let mut capabilities = BTreeSet::new();
    if zones >= 2 {
        capabilities.insert(Capability::TwoZones);
    }
    if zones >= 3 {
        capabilities.insert(Capability::ThreeZones);
    }
    capabilities
}

#[cfg(test)]
mod tests;
