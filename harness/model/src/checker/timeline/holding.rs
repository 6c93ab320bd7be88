//! What a reading holds, against what is expected of it.

use super::Timeline;
use crate::history::{Guard, Observation, offered};
use crate::oracle::{Expected, Modes};

/// What is expected of a part of a reading, and what is there instead, in words.
pub(in crate::checker) struct Difference {
    pub(in crate::checker) expected: String,
    pub(in crate::checker) observed: String,
}

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
            && !has_other_modes_warming(seen, expected)
    }

    /// What a reading lacks of what is expected, in words.
    pub(in crate::checker) fn lacks(
        &self,
        seen: &Observation,
        expected: &Expected,
    ) -> Option<String> {
        let lacking: Vec<String> = self
            .missing(seen, expected)
            .into_iter()
            .map(|missing| missing.observed)
            .collect();
        (!lacking.is_empty()).then(|| lacking.join(", "))
    }

    /// Where a reading that does not hold differs from what is expected, key by key: what is missing, and what was
    /// expected before and is too much now.
    pub(in crate::checker) fn difference(
        &self,
        seen: &Observation,
        expected: &Expected,
        previous: &Expected,
    ) -> Difference {
        let mut parts = self.missing(seen, expected);
        for (key, shown) in &seen.toggles {
            if previous.toggles.contains_key(key) && !expected.toggles.contains_key(key) {
                parts.push(Difference {
                    expected: format!("no toggle `{key}`"),
                    observed: format!("toggle `{key}` = `{shown}` still"),
                });
            }
        }
        for name in seen.rules.keys() {
            if previous.rules.contains_key(name) && !expected.rules.contains_key(name) {
                parts.push(Difference {
                    expected: format!("no rule `{name}`"),
                    observed: format!("rule `{name}` still"),
                });
            }
        }
        if seen.certificate.is_some() && previous.certificate && !expected.certificate {
            parts.push(Difference {
                expected: "no certificate".to_owned(),
                observed: "a certificate still".to_owned(),
            });
        }
        let join = |side: fn(&Difference) -> &str| {
            let texts: Vec<&str> = parts.iter().map(side).collect();
            texts.join(", ")
        };
        Difference {
            expected: join(|part| &part.expected),
            observed: join(|part| &part.observed),
        }
    }

    /// Each key that must be there and is not, or with another content.
    fn missing(&self, seen: &Observation, expected: &Expected) -> Vec<Difference> {
        let mut missing = Vec::new();
        for (key, value) in &expected.toggles {
            let observed = match seen.toggles.get(key) {
                Some(shown) if shown == value => continue,
                Some(shown) => format!("toggle `{key}` is `{shown}`"),
                None => format!("no toggle `{key}`"),
            };
            missing.push(Difference {
                expected: format!("toggle `{key}` = `{value}`"),
                observed,
            });
        }
        for (name, rule) in &expected.rules {
            let observed = match seen.rules.get(name) {
                Some(hash) if self.hashes.agrees(name, rule, hash) => continue,
                Some(_) => format!("rule `{name}` with another content"),
                None => format!("no rule `{name}`"),
            };
            missing.push(Difference {
                expected: format!("rule `{name}`"),
                observed,
            });
        }
        if expected.certificate
            && let Some(observed) = self.lacks_certificate(seen)
        {
            missing.push(Difference {
                expected: "a certificate of its own".to_owned(),
                observed,
            });
        }
        if let Some(modes) = &expected.modes {
            missing.extend(other_modes(seen, modes));
        }
        missing
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

/// For each direction in which a sidecar is set up for TLS otherwise than it must be, what is there instead.
fn other_modes(seen: &Observation, expected: &Modes) -> Vec<Difference> {
    let Some(tls) = &seen.tls else {
        return vec![Difference {
            expected: describe_modes(expected).join(", "),
            observed: "nothing told of it".to_owned(),
        }];
    };
    let mut others = Vec::new();
    let in_words = |words: Vec<String>, direction: &str| {
        if words.is_empty() {
            format!("nothing {direction}")
        } else {
            words.join(" and ")
        }
    };
    if !tls.inbound.iter().eq([&expected.inbound]) {
        let words = tls.inbound.iter().map(Guard::describe).collect();
        others.push(Difference {
            expected: expected.inbound.describe(),
            observed: in_words(words, "inbound"),
        });
    }
    if !tls.outbound.iter().eq([&expected.outbound]) {
        let words = tls.outbound.iter().copied().map(offered).collect();
        others.push(Difference {
            expected: offered(expected.outbound),
            observed: in_words(words, "outbound"),
        });
    }
    others
}

/// Whether what warms would set the sidecar up for TLS otherwise than it must be.
pub(in crate::checker) fn has_other_modes_warming(seen: &Observation, expected: &Expected) -> bool {
    let (Some(tls), Some(modes)) = (&seen.tls, &expected.modes) else {
        return false;
    };
    tls.warming_inbound
        .iter()
        .any(|guard| *guard != modes.inbound)
        || tls
            .warming_outbound
            .iter()
            .any(|mode| *mode != modes.outbound)
}

/// How a sidecar is set up for TLS, in words.
fn describe_modes(modes: &Modes) -> [String; 2] {
    [modes.inbound.describe(), offered(modes.outbound)]
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
    let modes = expected
        .modes
        .iter()
        .filter(|modes| **modes != Modes::default())
        .flat_map(describe_modes);
    toggles
        .chain(rules)
        .chain(certificate)
        .chain(modes)
        .collect::<Vec<_>>()
        .join(", ")
}
