//! Envoy's stats as text: `name: value` lines, texts in quotes.

use std::collections::BTreeMap;

/// The stats that change when the sidecar's configuration or its control-plane stream does, and when a
/// sidecar accepted or rejected an update. For `/stats?filter=`, percent-encoded. Stats that were never set are left out:
/// most are such, and Envoy would compare the name of each, in the thread that takes its configuration.
pub(crate) const CHANGE_FILTER: &str = concat!(
    "/stats?usedonly&filter=",
    "(%5Econtrol_plane%5C.(connected_state%7Cidentifier)%24)",
    "%7C(%5C.(update_success%7Cupdate_rejected%7Cupdate_time%7Cversion_text%7Cconfig_reload",
    "%7Cload_success%7Cwarming_clusters%7Ctotal_listeners_warming%7Ctotal_listeners_active",
    "%7Ctotal_listeners_draining%7Ctotal_filter_chains_draining)%24)",
    "%7C(%5Eserver%5C.state%24)",
);

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
