//! What a reading holds, against what is expected of it.

use super::Timeline;
use crate::history::Observation;
use crate::oracle::Expected;

impl Timeline<'_> {
    /// Whether a reading shows everything that is expected and nothing of what was expected before.
    pub(in crate::checker) fn shows(
        &self,
        seen: &Observation,
        expected: &Expected,
        previous: &Expected,
    ) -> bool {
        self.lacks(seen, expected).is_none()
            && !previous
                .toggles
                .keys()
                .any(|key| !expected.toggles.contains_key(key) && seen.toggles.contains_key(key))
            && !previous
                .rules
                .keys()
                .any(|name| !expected.rules.contains_key(name) && seen.rules.contains_key(name))
            && (expected.certificate || !previous.certificate || seen.certificate.is_none())
    }

    /// Whether a reading shows exactly what is expected, nothing less and nothing more.
    pub(in crate::checker) fn is_exact(&self, seen: &Observation, expected: &Expected) -> bool {
        self.lacks(seen, expected).is_none()
            && seen.toggles.len() == expected.toggles.len()
            && seen.rules.len() == expected.rules.len()
            && seen.certificate.is_some() == expected.certificate
    }

    /// What a reading lacks of what is expected, in words.
    pub(in crate::checker) fn lacks(
        &self,
        seen: &Observation,
        expected: &Expected,
    ) -> Option<String> {
        let mut lacking = Vec::new();
        for (key, value) in &expected.toggles {
            match seen.toggles.get(key) {
                Some(shown) if shown == value => {}
                Some(shown) => lacking.push(format!("toggle `{key}` is `{shown}`")),
                None => lacking.push(format!("no toggle `{key}`")),
            }
        }
        for (name, rule) in &expected.rules {
            match seen.rules.get(name) {
                Some(hash) if self.hashes.agrees(name, rule, hash) => {}
                Some(_) => lacking.push(format!("rule `{name}` with another content")),
                None => lacking.push(format!("no rule `{name}`")),
            }
        }
        if expected.certificate {
            lacking.extend(self.lacks_certificate(seen));
        }
        (!lacking.is_empty()).then(|| lacking.join(", "))
    }

    /// What is wrong with a certificate that must be there.
    fn lacks_certificate(&self, seen: &Observation) -> Option<String> {
        let Some(certificate) = &seen.certificate else {
            return Some("no certificate".to_owned());
        };
        if certificate.warming {
            return Some("a certificate that is still waited for".to_owned());
        }
        let own = self.life_of(seen)?.sidecar.identity.as_ref()?;
        (certificate.identities != [own.clone()])
            .then(|| format!("a certificate of {}", certificate.identities.join(", ")))
    }
}

/// What is expected, in words.
pub(in crate::checker) fn describe(expected: &Expected) -> String {
    if expected.is_empty() {
        return "nothing".to_owned();
    }
    let toggles = expected
        .toggles
        .iter()
        .map(|(k, v)| format!("toggle `{k}` = `{v}`"));
    let rules = expected.rules.keys().map(|name| format!("rule `{name}`"));
    let certificate = expected
        .certificate
        .then(|| "a certificate of its own".to_owned());
    toggles
        .chain(rules)
        .chain(certificate)
        .collect::<Vec<_>>()
        .join(", ")
}
