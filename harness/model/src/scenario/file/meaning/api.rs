//! What the API of a mesh would refuse: a configuration that says more than [`limits`] allow, and statuses that HTTP does not
//! have.

use super::{Check, Step};
use crate::configuration::{Configuration, Retry, Rule, limits};
use std::ops::RangeInclusive;

/// RFC 9110, section 15.
const STATUSES: RangeInclusive<u16> = 100..=599;

/// Where the limits are from.
const OF_THE_API: &str = "the API of the mesh (`PolicyConfig`) takes at most";

impl Check {
    /// A configuration that the API takes, as far as its size goes.
    pub(super) fn fits_the_api(&mut self, configuration: &Configuration) {
        self.at(Step::Key("toggles"), |check| {
            check.few(configuration.toggles.len(), limits::TOGGLES, "toggles");
            for (key, value) in &configuration.toggles {
                check.at(Step::Name(key.clone()), |check| {
                    check.short("the value of a toggle", value, limits::TOGGLE_VALUE);
                });
            }
        });
        self.at(Step::Key("rules"), |check| {
            check.few(configuration.rules.len(), limits::RULES, "rules");
            for (name, rule) in &configuration.rules {
                check.at(Step::Name(name.clone()), |check| check.rule_fits(rule));
            }
        });
        let callers = configuration
            .tls
            .as_ref()
            .and_then(|tls| tls.allow.as_ref());
        if let Some(callers) = callers {
            self.at(Step::Key("tls"), |check| {
                check.at(Step::Key("allow"), |check| {
                    check.few(callers.len(), limits::CALLERS, "applications");
                });
            });
        }
    }

    fn rule_fits(&mut self, rule: &Rule) {
        self.at(Step::Key("to"), |check| {
            check.few(rule.to.len(), limits::DESTINATIONS, "destinations");
            for (service, weight) in &rule.to {
                check.at(Step::Name(service.clone()), |check| {
                    check.small("weight", *weight, limits::WEIGHT);
                });
            }
        });
        for (key, path) in [
            ("pathPrefix", &rule.path_prefix),
            ("pathRegex", &rule.path_regex),
        ] {
            if let Some(path) = path {
                self.at(Step::Key(key), |check| {
                    check.short("it", path, limits::PATH)
                });
            }
        }
        self.at(Step::Key("headers"), |check| {
            check.few(rule.headers.len(), limits::HEADERS, "headers");
            for (name, value) in &rule.headers {
                check.at(Step::Name(name.clone()), |check| {
                    check.short("the name of a header", name, limits::HEADER_NAME);
                    check.short("the value of a header", value, limits::HEADER_VALUE);
                });
            }
        });
        if let Some(timeout) = rule.timeout_ms {
            self.at(Step::Key("timeoutMs"), |check| {
                check.small("`timeoutMs`", timeout, limits::TIMEOUT_MS);
            });
        }
        if let Some(retry) = &rule.retry {
            self.at(Step::Key("retry"), |check| check.retry(retry));
        }
    }

    fn retry(&mut self, retry: &Retry) {
        self.at(Step::Key("times"), |check| {
            check.small("`times`", retry.times, limits::RETRIES);
        });
        self.at(Step::Key("statuses"), |check| {
            check.few(retry.statuses.len(), limits::STATUSES, "statuses");
            for (position, status) in retry.statuses.iter().enumerate() {
                if !STATUSES.contains(status) {
                    check.at(Step::Index(position), |check| {
                        check.complain(
                            format!("{status} is no status of HTTP"),
                            Some("statuses are from 100 to 599 (RFC 9110, section 15)"),
                        );
                    });
                }
            }
        });
    }

    fn few(&mut self, count: usize, most: usize, what: &str) {
        if count > most {
            let hint = format!("{OF_THE_API} {most}");
            self.complain(format!("{count} {what} are too many"), Some(&hint));
        }
    }

    fn small(&mut self, what: &str, number: u32, most: u32) {
        if number > most {
            let hint = format!("{OF_THE_API} {most}");
            self.complain(format!("{what} {number} is too much"), Some(&hint));
        }
    }

    fn short(&mut self, what: &str, text: &str, most: usize) {
        let count = text.chars().count();
        if count > most {
            let hint = format!("{OF_THE_API} {most}");
            let told = format!("{what} is too long: {count} characters");
            self.complain(told, Some(&hint));
        }
    }
}
