//! How the keys of one scenario are told from those of all others.

/// The keys of one scenario: every toggle, rule and object of it carries this prefix in the cluster, and none in
/// the scenario and its history.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Keys {
    prefix: String,
    owns_tls: bool,
}

/// The name of the configuration that carries a scenario's marker.
pub(crate) const MARKER: &str = "marker";

impl Keys {
    /// Keys with this prefix: 1 to 20 lower-case letters and digits, beginning with a letter. The caller makes it unique
    /// for each scenario run.
    ///
    /// # Panics
    ///
    /// When the prefix has another form: it becomes part of object names and label values.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        let form = (1..=20).contains(&prefix.len())
            && prefix.starts_with(|c: char| c.is_ascii_lowercase())
            && prefix
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        assert!(form, "`{prefix}` cannot prefix the keys of a scenario");
        Self {
            prefix: prefix.to_owned(),
            owns_tls: false,
        }
    }

    /// The keys of a scenario that decides about TLS, as no other does meanwhile: certificates are its own, too.
    #[must_use]
    pub fn with_tls(self) -> Self {
        Self {
            owns_tls: true,
            ..self
        }
    }

    /// Whether certificates belong to the scenario.
    #[must_use]
    pub fn own_tls(&self) -> bool {
        self.owns_tls
    }

    /// The prefix.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A toggle key or rule name as it stands in the cluster.
    #[must_use]
    pub fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    /// The name of the Kubernetes objects of a configuration.
    #[must_use]
    pub fn object(&self, configuration: &str) -> String {
        format!("{}-{configuration}", self.prefix)
    }

    /// A toggle key or rule name as it stands in the scenario; none when it belongs to another scenario.
    #[must_use]
    pub fn strip<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&self.prefix)?.strip_prefix('.')
    }

    /// The name of a marker's rule for a value, without prefix. The value is in the name, so that a route that
    /// carries no other trace of the rule still tells it.
    pub(crate) fn marker_rule(value: &str) -> String {
        format!("{MARKER}-{value}")
    }

    /// The value of a marker's rule, if this is one (without prefix).
    pub(crate) fn marker_of_rule(rule: &str) -> Option<&str> {
        rule.strip_prefix(MARKER)?.strip_prefix('-')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_begins_another_does_not_claim_its_keys() {
        let short = Keys::new("s1");
        let long = Keys::new("s10");
        assert_eq!(short.strip(&long.key("color")), None);
        assert_eq!(long.strip(&long.key("color")), Some("color"));
    }

    #[test]
    fn a_marker_rule_tells_its_value() {
        let keys = Keys::new("s1");
        let name = keys.key(&Keys::marker_rule("m7"));
        assert_eq!(keys.strip(&name).and_then(Keys::marker_of_rule), Some("m7"));
        assert_eq!(Keys::marker_of_rule("marking"), None);
    }
}
