//! What can be said in HTTP: a request that cannot be sent has no outcome, and a rule that says more is refused when it is
//! written, far from the line that is wrong.

use super::{Check, Step};
use crate::configuration::Rule;
use crate::scenario::Traffic;
use std::collections::BTreeMap;

/// What a rule's path prefix is written with.
const ABSOLUTE: &str = "write it with a `/` at the beginning";

impl Check {
    /// A batch that can be sent.
    pub(super) fn sendable(&mut self, traffic: &Traffic) {
        let wrong = traffic.path.chars().find(|letter| !is_of_a_path(*letter));
        if let Some(letter) = wrong {
            self.at(Step::Key("path"), |check| {
                check.complain(
                    format!("{letter:?} cannot be in the path of a request"),
                    Some("write its bytes as `%XX` (RFC 3986, section 2.1)"),
                );
            });
        }
        self.headers(&traffic.headers);
    }

    /// A rule that can be held against requests.
    pub(super) fn matchable(&mut self, rule: &Rule) {
        if let Some(prefix) = &rule.path_prefix
            && !prefix.starts_with('/')
        {
            self.at(Step::Key("pathPrefix"), |check| {
                let message = format!("path prefix `{prefix}` does not begin with `/`");
                check.complain(message, Some(ABSOLUTE));
            });
        }
        self.headers(&rule.headers);
    }

    /// Headers that can be sent.
    pub(super) fn headers(&mut self, headers: &BTreeMap<String, String>) {
        self.at(Step::Key("headers"), |check| {
            for (name, value) in headers {
                check.at(Step::Name(name.clone()), |check| check.header(name, value));
            }
        });
    }

    fn header(&mut self, name: &str, value: &str) {
        if name.is_empty() || !name.chars().all(is_of_a_token) {
            self.complain(
                format!("`{name}` cannot be the name of a header"),
                Some("names are of letters, digits and !#$%&'*+-.^_`|~ (RFC 9110, section 5.6.2)"),
            );
        }
        // Others could be sent as bytes, but nobody agrees on what they mean.
        let wrong = value
            .chars()
            .find(|letter| *letter != ' ' && *letter != '\t' && !letter.is_ascii_graphic());
        if let Some(letter) = wrong {
            self.complain(
                format!("{letter:?} cannot be in the value of header `{name}`"),
                Some("values are of visible ASCII, spaces and tabs (RFC 9110, section 5.5)"),
            );
        }
    }
}

/// RFC 3986, sections 3.3 and 3.4, generously: what only some programs refuse is a thing to be tried.
const fn is_of_a_path(letter: char) -> bool {
    letter.is_ascii_graphic() && letter != '#'
}

/// RFC 9110, section 5.6.2.
fn is_of_a_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter)
}
