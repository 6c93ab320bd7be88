//! The parts of a reading: each is read again only when what marks it changed.
//!
//! Invariant: a part that is kept was read while the sidecar showed the same mark before and after, and nothing
//! of it warmed.

use super::endpoints::endpoints;
use super::resources::{Clusters, Collected, Listeners, RouteConfiguration};
use super::secrets;
use super::{About, Runtime, resources};
use probe_api::launcher::LauncherState;
use probe_api::state::{Endpoint, Secret};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long endpoints are kept: the sidecar changes their health by itself, and no mark shows that.
const ENDPOINTS_KEPT: Duration = Duration::from_secs(1);

/// How long secrets are kept: a sidecar drops them when the last connection that used them is gone, and no mark shows
/// that.
const SECRETS_KEPT: Duration = Duration::from_millis(800);

/// What is read by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// `dynamic_listeners`.
    Listeners,
    /// `dynamic_route_configs`.
    RouteConfigurations,
    /// `dynamic_active_clusters`, `dynamic_warming_clusters` and `dynamic_endpoint_configs`: a cluster warms until
    /// its endpoints come.
    Clusters,
    /// `/clusters`.
    Endpoints,
    /// `/runtime`.
    Runtime,
    /// `dynamic_active_secrets` and `dynamic_warming_secrets`.
    Secrets,
}

impl Part {
    const ALL: [Self; 6] = [
        Self::Listeners,
        Self::RouteConfigurations,
        Self::Clusters,
        Self::Endpoints,
        Self::Runtime,
        Self::Secrets,
    ];

    /// How the names of the stats begin that change with the part. Each begin covers counters and times of
    /// updates, so a process that was started anew shows other ones.
    fn stats(self) -> &'static [&'static str] {
        match self {
            Self::Listeners => &["listener_manager."],
            // A listener that goes takes its route configuration along.
            Self::RouteConfigurations => &["http.", "listener_manager."],
            Self::Clusters | Self::Endpoints => &["cluster.", "cluster_manager."],
            Self::Runtime => &["runtime."],
            // Whoever refers to a secret comes and goes with a listener or a cluster.
            Self::Secrets => &["sds.", "listener_manager.", "cluster_manager."],
        }
    }

    /// The gauge of what warms in this part.
    fn warming(self) -> Option<&'static str> {
        match self {
            Self::Listeners | Self::RouteConfigurations => {
                Some("listener_manager.total_listeners_warming")
            }
            Self::Clusters | Self::Endpoints => Some("cluster_manager.warming_clusters"),
            Self::Runtime | Self::Secrets => None,
        }
    }

    /// The resources of the admin interface, in the order in which [`Parts::take`] wants their answers.
    pub(crate) fn paths(self) -> &'static [&'static str] {
        match self {
            Self::Listeners => &["/config_dump?resource=dynamic_listeners"],
            Self::RouteConfigurations => &["/config_dump?resource=dynamic_route_configs"],
            Self::Clusters => &[
                "/config_dump?resource=dynamic_active_clusters",
                "/config_dump?resource=dynamic_warming_clusters",
                "/config_dump?include_eds&resource=dynamic_endpoint_configs",
            ],
            Self::Endpoints => &["/clusters?format=json"],
            Self::Runtime => &["/runtime"],
            Self::Secrets => &[
                "/config_dump?resource=dynamic_active_secrets",
                "/config_dump?resource=dynamic_warming_secrets",
            ],
        }
    }
}

/// What changes with every change of the sidecar's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// What [`that_mark`](super::that_mark) picked out.
    pub stats: String,
    /// The launcher's state without its count of activity; default where there is no launcher.
    pub launcher: LauncherState,
}

impl Fingerprint {
    /// What marks a part. None while something of it warms: it is not kept then.
    fn mark(&self, part: Part) -> Option<Mark> {
        let mut lines = String::new();
        for line in self.stats.lines() {
            if !part.stats().iter().any(|begin| line.starts_with(begin)) {
                continue;
            }
            if let Some((name, value)) = line.split_once(": ")
                && Some(name) == part.warming()
                && value != "0"
            {
                return None;
            }
            lines.push_str(line);
            lines.push('\n');
        }
        Some(Mark {
            starts: self.launcher.starts,
            epoch: self.launcher.epoch,
            lines,
        })
    }
}

/// The state of the sidecar under which a part was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    starts: u64,
    /// A new connection brings everything anew.
    epoch: u64,
    lines: String,
}

/// The parts that were read last, without what is of no use.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(super) listeners: Listeners,
    pub(super) route_configurations: Vec<RouteConfiguration>,
    pub(super) clusters: Clusters,
    pub(super) load_assignments: Collected,
    pub(super) endpoints: BTreeMap<String, Vec<Endpoint>>,
    pub(super) runtime: Runtime,
    pub(super) secrets: BTreeMap<String, Secret>,
    /// When and under which mark a part was read.
    known: BTreeMap<Part, (Instant, Mark)>,
}

impl Parts {
    /// The parts that must be read for a reading under `now`.
    pub(crate) fn stale(&self, now: &Fingerprint, at: Instant) -> Vec<Part> {
        Part::ALL
            .into_iter()
            .filter(|part| {
                let Some((read_at, under)) = self.known.get(part) else {
                    return true;
                };
                let age = at.saturating_duration_since(*read_at);
                let is_old = match part {
                    Part::Endpoints => age > ENDPOINTS_KEPT,
                    Part::Secrets => !self.secrets.is_empty() && age > SECRETS_KEPT,
                    _ => false,
                };
                is_old || now.mark(*part).as_ref() != Some(under)
            })
            .collect()
    }

    /// Whether what was read under the same fingerprint holds at `at`: what warms does, for its end would show; secrets go
    /// without a mark, so they do until they are old. The health of endpoints changes without one, too, but nobody judges by
    /// it.
    pub(crate) fn holds(&self, at: Instant) -> bool {
        let secrets_read_at = self.known.get(&Part::Secrets).map(|(read_at, _)| *read_at);
        self.secrets.is_empty()
            || secrets_read_at
                .is_some_and(|read_at| at.saturating_duration_since(read_at) <= SECRETS_KEPT)
    }

    /// Takes over what [`Part::paths`] answered. `before` was seen before they were asked: when another mark is
    /// seen later, the part is stale.
    pub(crate) fn take(
        &mut self,
        part: Part,
        answers: &[Value],
        about: &About,
        before: &Fingerprint,
        at: Instant,
    ) {
        let answer = |position: usize| answers.get(position).unwrap_or(&Value::Null);
        match part {
            Part::Listeners => self.listeners = resources::listeners(answer(0)),
            Part::RouteConfigurations => {
                self.route_configurations = resources::route_configurations(answer(0));
            }
            Part::Clusters => {
                self.clusters = resources::clusters(answer(0), answer(1));
                self.load_assignments = resources::load_assignments(answer(2));
            }
            Part::Endpoints => self.endpoints = endpoints(answer(0)),
            Part::Runtime => self.runtime = Runtime::new(answer(0), about),
            Part::Secrets => self.secrets = secrets::secrets(answer(0), answer(1)),
        }
        match before.mark(part) {
            Some(mark) => self.known.insert(part, (at, mark)),
            None => self.known.remove(&part),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATS: &str = "cluster.a.update_success: 1\ncluster_manager.cds.update_success: 1\n\
        cluster_manager.warming_clusters: 0\nhttp.outbound.rds.outbound.update_success: 3\n\
        http.outbound.rds.outbound.update_rejected: 0\nlistener_manager.lds.update_success: 1\n\
        listener_manager.total_listeners_warming: 0\nruntime.update_success: 4\nserver.state: 0\n";

    fn fingerprint(stats: &str) -> Fingerprint {
        Fingerprint {
            stats: stats.to_owned(),
            launcher: LauncherState {
                starts: 1,
                epoch: 1,
                ..LauncherState::default()
            },
        }
    }

    fn read_under(fingerprint: &Fingerprint, at: Instant) -> Parts {
        let mut parts = Parts::default();
        for part in Part::ALL {
            parts.take(part, &[], &About::default(), fingerprint, at);
        }
        parts
    }

    /// What must be read when these stats follow [`STATS`].
    fn after(from: &str, to: &str) -> Vec<Part> {
        let at = Instant::now();
        assert!(STATS.contains(from));
        read_under(&fingerprint(STATS), at).stale(&fingerprint(&STATS.replace(from, to)), at)
    }

    #[test]
    fn everything_is_read_first_and_nothing_when_nothing_changed() {
        let at = Instant::now();
        assert_eq!(
            Parts::default().stale(&fingerprint(STATS), at),
            Part::ALL.to_vec()
        );
        assert_eq!(after("server.state: 0", "server.state: 0"), []);
        assert_eq!(after("server.state: 0", "server.state: 1"), []);
    }

    #[test]
    fn only_what_changed_is_read_again() {
        assert_eq!(
            after("runtime.update_success: 4", "runtime.update_success: 5"),
            [Part::Runtime]
        );
        assert_eq!(
            after(
                "rds.outbound.update_success: 3",
                "rds.outbound.update_success: 4"
            ),
            [Part::RouteConfigurations]
        );
        assert_eq!(
            after("update_rejected: 0", "update_rejected: 1"),
            [Part::RouteConfigurations]
        );
        assert_eq!(
            after("cluster.a.update_success: 1\n", ""),
            [Part::Clusters, Part::Endpoints]
        );
        assert_eq!(
            after("lds.update_success: 1", "lds.update_success: 2"),
            [Part::Listeners, Part::RouteConfigurations, Part::Secrets]
        );
    }

    #[test]
    fn what_warms_is_never_kept() {
        let at = Instant::now();
        let warming = fingerprint(&STATS.replace("warming_clusters: 0", "warming_clusters: 1"));
        let clusters = [Part::Clusters, Part::Endpoints];
        assert_eq!(read_under(&warming, at).stale(&warming, at), clusters);
        assert_eq!(
            read_under(&warming, at).stale(&fingerprint(STATS), at),
            [Part::Clusters, Part::Endpoints, Part::Secrets]
        );
    }

    #[test]
    fn another_process_or_connection_drops_everything() {
        let at = Instant::now();
        let parts = read_under(&fingerprint(STATS), at);
        let mut process = fingerprint(STATS);
        process.launcher.starts = 2;
        assert_eq!(parts.stale(&process, at), Part::ALL.to_vec());
        let mut connection = fingerprint(STATS);
        connection.launcher.epoch = 2;
        assert_eq!(parts.stale(&connection, at), Part::ALL.to_vec());
    }

    #[test]
    fn secrets_grow_old_while_there_are_any() {
        let at = Instant::now();
        let mut parts = read_under(&fingerprint(STATS), at);
        let later = at + SECRETS_KEPT + Duration::from_millis(1);
        assert_eq!(parts.stale(&fingerprint(STATS), later), []);
        parts
            .secrets
            .insert("default".to_owned(), Secret::default());
        assert!(parts.holds(at));
        assert!(!parts.holds(later));
        assert_eq!(parts.stale(&fingerprint(STATS), later), [Part::Secrets]);
    }

    #[test]
    fn endpoints_grow_old() {
        let at = Instant::now();
        let parts = read_under(&fingerprint(STATS), at);
        let later = at + ENDPOINTS_KEPT + Duration::from_millis(1);
        assert_eq!(parts.stale(&fingerprint(STATS), later), [Part::Endpoints]);
    }
}
