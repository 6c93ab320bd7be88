//! Envoy's stats as text: `name: value` lines, texts in quotes.

use serde_json::Value;
use std::collections::BTreeMap;

/// All stats that were ever set: most were not, where the bootstrap leaves none out. Those that matter are picked out here
/// ([`that_mark`]), since Envoy would compare the name of each with a `filter=`, in the thread that takes its configuration.
pub(crate) const ALL_USED: &str = "/stats?usedonly";

/// How the names end of those that change with the sidecar's configuration, and when it accepted or rejected an update. The
/// bootstrap of the reference mesh names what it has Envoy make (`stats` in the launcher): who adds one here adds it there.
const OF_UPDATES: [&str; 11] = [
    ".update_success",
    ".update_rejected",
    ".update_time",
    ".version_text",
    ".config_reload",
    ".load_success",
    ".warming_clusters",
    ".total_listeners_warming",
    ".total_listeners_active",
    ".total_listeners_draining",
    ".total_filter_chains_draining",
];

/// Those of the stream to the control plane and of the process.
const OF_THE_REST: [&str; 3] = [
    "control_plane.connected_state",
    "control_plane.identifier",
    "server.state",
];

/// How the names of those begin that are of secrets, and how they end where they are of the stream that a secret comes by.
const OF_SECRETS: &str = "sds.";
const OF_THEIR_STREAMS: [&str; 2] = [".update_attempt", ".update_failure"];

/// The lines of [`ALL_USED`] that tell a change of what the sidecar holds: of its configuration, of the streams that it comes
/// by, of what became of an update.
pub(crate) fn that_mark(stats: &str) -> String {
    let ends = |name: &str, with: &[&str]| with.iter().any(|end| name.ends_with(end));
    let marks = |line: &&str| {
        line.split_once(": ").is_some_and(|(name, _)| {
            OF_THE_REST.contains(&name)
                || ends(name, &OF_UPDATES)
                || (name.starts_with(OF_SECRETS) && ends(name, &OF_THEIR_STREAMS))
        })
    };
    stats
        .split_inclusive('\n')
        .filter(marks)
        .collect::<String>()
}

/// How the names of the counters begin and end of connections that were closed because they lead nowhere.
const OF_BYTES: &str = "tcp.";
const LED_NOWHERE: &str = ".downstream_cx_no_route";

/// How those end of callers that are not on a list, and how those of them begin that count requests, which are answered. The
/// others count connections, which are closed.
const NOT_ALLOWED: &str = ".rbac.denied";
const OF_REQUESTS: &str = "http.";

/// Something about the counters of connections that were closed, by why they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Closed<T> {
    /// They lead nowhere.
    pub(crate) led_nowhere: T,
    /// Their caller is not on the list of those who may call.
    pub(crate) not_allowed: T,
}

impl<T> Closed<T> {
    /// What is about the counter with this name, where it is one of them.
    fn of(&mut self, name: &str) -> Option<&mut T> {
        if name.starts_with(OF_BYTES) && name.ends_with(LED_NOWHERE) {
            Some(&mut self.led_nowhere)
        } else if name.ends_with(NOT_ALLOWED) && !name.starts_with(OF_REQUESTS) {
            Some(&mut self.not_allowed)
        } else {
            None
        }
    }
}

/// How many connections were closed, by the lines of [`ALL_USED`]. They do not mark a change: one that refuses much could not be
/// read.
pub(crate) fn closed(stats: &str) -> Closed<u64> {
    let mut closed = Closed::<u64>::default();
    for (name, value) in stats.lines().filter_map(|line| line.split_once(": ")) {
        if let Some(count) = closed.of(name) {
            *count += value.parse::<u64>().unwrap_or_default();
        }
    }
    closed
}

/// Of which of the counters of [`closed`] a bootstrap (JSON) names one among those that are made. A sidecar that makes all does not
/// mean anything by it, and one that has counted nothing shows none.
pub(crate) fn tells_closed(bootstrap: &Value) -> Closed<bool> {
    let mut tells = Closed::<bool>::default();
    let patterns = bootstrap.pointer("/stats_config/stats_matcher/inclusion_list/patterns");
    let patterns = patterns.and_then(Value::as_array).into_iter().flatten();
    for name in patterns.filter_map(|pattern| pattern["exact"].as_str()) {
        if let Some(is_told) = tells.of(name) {
            *is_told = true;
        }
    }
    tells
}

/// The gauges of what a sidecar is in the midst of: it warms what waits for something, and drains what was replaced.
const OF_WHAT_IS_UNDER_WAY: [&str; 4] = [
    "cluster_manager.warming_clusters",
    "listener_manager.total_listeners_warming",
    "listener_manager.total_listeners_draining",
    "listener_manager.total_filter_chains_draining",
];

/// Whether the sidecar warms or drains something, going by [`that_mark`] or all stats.
pub(crate) fn is_under_way(stats: &str) -> bool {
    stats
        .lines()
        .filter_map(|line| line.split_once(": "))
        .any(|(name, value)| OF_WHAT_IS_UNDER_WAY.contains(&name) && value != "0")
}

/// Stats by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats(BTreeMap<String, String>);

impl Stats {
    /// Reads the admin interface's text.
    pub(crate) fn parse(text: &str) -> Self {
        Self(
            text.lines()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
                .collect(),
        )
    }

    /// A counter or gauge; 0 when the sidecar does not show it.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.0
            .get(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or_default()
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// How often the stream that a secret comes by has ended or could not be opened; none where that is not told. Envoy counts
    /// either as an update that failed, and shows no counter that has counted nothing: but it counts an attempt when it asks
    /// first, so who shows that one would show the other.
    pub(crate) fn stream_ends(&self, secret: &str) -> Option<u64> {
        let name = |what: &str| format!("{OF_SECRETS}{secret}.{what}");
        self.text(&name("update_attempt"))?;
        Some(self.number(&name("update_failure")))
    }

    /// The values of all stats whose names begin and end so.
    pub(crate) fn all<'a>(
        &'a self,
        prefix: &'a str,
        suffix: &'a str,
    ) -> impl Iterator<Item = u64> + 'a {
        self.0
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix) && name.ends_with(suffix))
            .filter_map(|(_, value)| value.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_changes_without_the_configuration_does_not_mark() {
        let marks = "cluster.a.version_text: \"1\"\ncluster.a.update_time: 5\ncontrol_plane.identifier: \"x: y\"\n\
            listener_manager.total_listeners_draining: 0\nsds.default.update_attempt: 2\nsds.default.update_failure: 1\n\
            server.state: 0\n";
        let others = "cluster.a.upstream_rq_total: 7\ncontrol_plane.rate_limit_enforced: 0\nserver.state_of_mind: 0\n\
            cluster.a.update_attempt: 9\ncluster.a.update_failure: 3\nsds.default.update_duration: 1\n\
            cluster.a.update_duration: P0(nan,1.0) P25(nan,1.025)\nhttp.inbound.downstream_rq_active: 1\n";
        assert_eq!(that_mark(&format!("{others}{marks}{others}")), marks);
    }

    #[test]
    fn connections_that_were_closed_are_counted_by_why_and_mark_nothing() {
        let led_nowhere =
            "tcp.nowhere.downstream_cx_no_route: 4\ntcp.elsewhere.downstream_cx_no_route: 1\n";
        let not_allowed = "allow.rbac.denied: 2\n";
        let others = "tcp.nowhere.downstream_cx_total: 9\nhttp.nowhere.downstream_cx_no_route: 9\n\
            http.inbound.rbac.denied: 9\nallow.rbac.allowed: 9\nallow.rbac.shadow_denied: 9\n";
        let counted = |led_nowhere: u64, not_allowed: u64| Closed {
            led_nowhere,
            not_allowed,
        };
        assert_eq!(closed(&format!("{others}{led_nowhere}")), counted(5, 0));
        assert_eq!(closed(&format!("{not_allowed}{others}")), counted(0, 2));
        assert_eq!(
            closed(&format!("{led_nowhere}{not_allowed}")),
            counted(5, 2)
        );
        assert_eq!(closed(others), counted(0, 0));
        assert_eq!(that_mark(&format!("{led_nowhere}{not_allowed}")), "");
    }

    #[test]
    fn a_bootstrap_says_which_of_them_are_counted() {
        let naming = |name: &str| {
            let patterns = json!([{ "suffix": ".update_success" }, { "exact": name }]);
            let told = tells_closed(
                &json!({ "stats_config": { "stats_matcher": { "inclusion_list": { "patterns": patterns } } } }),
            );
            (told.led_nowhere, told.not_allowed)
        };
        let none = (false, false);
        assert_eq!(naming("tcp.nowhere.downstream_cx_no_route"), (true, false));
        assert_eq!(naming("allow.rbac.denied"), (false, true));
        assert_eq!(naming("tcp.nowhere.downstream_cx_total"), none);
        assert_eq!(naming("http.inbound.rbac.denied"), none);
        assert_eq!(tells_closed(&json!({})), Closed::default());
    }

    #[test]
    fn what_warms_or_drains_is_under_way() {
        let quiet = "cluster_manager.warming_clusters: 0\nlistener_manager.total_listeners_warming: 0\n\
            listener_manager.total_listeners_active: 4\nlistener_manager.total_filter_chains_draining: 0\n";
        assert!(!is_under_way(quiet));
        for name in OF_WHAT_IS_UNDER_WAY {
            assert!(is_under_way(&format!("{quiet}{name}: 1\n")), "{name}");
        }
    }
}
