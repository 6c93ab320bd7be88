//! Scenarios of one selection that run side by side although a rule of one catches what another sends: the other would fail,
//! and the mesh would be blamed.

use harness_model::configuration::{Configuration, Rule};
use harness_model::scenario::{Act, Scenario};
use std::collections::BTreeMap;
use std::fmt;

/// A rule that catches what it must not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clash<'a> {
    /// The scenario with the rule.
    pub(super) catcher: &'a str,
    rule: &'a str,
    /// The scenario whose requests it catches.
    pub(super) sender: &'a str,
    traffic: &'a str,
}

impl fmt::Display for Clash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            catcher,
            rule,
            sender,
            traffic,
        } = self;
        write!(
            f,
            "the rule `{rule}` of {catcher} catches the requests `{traffic}` of {sender}, which may run beside it"
        )
    }
}

/// Requests that a scenario sends.
struct Sent<'a> {
    name: &'a str,
    to: &'a str,
    path: &'a str,
    headers: &'a BTreeMap<String, String>,
}

/// Every pair of a rule and of requests of another scenario that it catches, wherever they are sent from.
pub(super) fn clashes(scenarios: &[Scenario]) -> Vec<Clash<'_>> {
    let mut found = Vec::new();
    for catcher in scenarios {
        let rules = configurations(catcher).flat_map(|configuration| &configuration.rules);
        for (name, rule) in rules {
            let beside = |sender: &&Scenario| sender.name != catcher.name && sender.bears(catcher);
            for sender in scenarios.iter().filter(beside) {
                let caught = sent(sender).into_iter().filter(|sent| catches(rule, sent));
                found.extend(caught.map(|sent| Clash {
                    catcher: &catcher.name,
                    rule: name,
                    sender: &sender.name,
                    traffic: sent.name,
                }));
            }
        }
    }
    // One of the requests is enough to say what has to be changed.
    found.dedup_by(|one, other| {
        (one.catcher, one.rule, one.sender) == (other.catcher, other.rule, other.sender)
    });
    found
}

fn configurations(scenario: &Scenario) -> impl Iterator<Item = &Configuration> {
    let applied = scenario.when.iter().filter_map(|act| match act {
        Act::Apply(configuration) => Some(configuration),
        _ => None,
    });
    scenario.given.configurations.iter().chain(applied)
}

fn sent(scenario: &Scenario) -> Vec<Sent<'_>> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    let sent = scenario.when.iter().filter_map(|act| match act {
        Act::Request(traffic) => Some(Sent {
            name: &traffic.name,
            to: &traffic.to,
            path: &traffic.path,
            headers: &traffic.headers,
        }),
        Act::Load(load) => Some(Sent {
            name: &load.name,
            to: &load.to,
            path: "/",
            headers: &NONE,
        }),
        _ => None,
    });
    sent.collect()
}

/// Whether the rule is for these requests. Of a regular expression only the sidecar knows.
fn catches(rule: &Rule, sent: &Sent<'_>) -> bool {
    let asks_for_header = |(name, value): (&String, &String)| sent.headers.get(name) == Some(value);
    rule.service == sent.to
        && rule.path_regex.is_none()
        && rule
            .path_prefix
            .as_ref()
            .is_none_or(|prefix| sent.path.starts_with(prefix.as_str()))
        && rule.headers.iter().all(asks_for_header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_model::scenario::Disturbs;

    #[test]
    fn no_shipped_scenario_catches_what_another_sends() {
        let all = suites::all();
        assert_eq!(clashes(&all), []);
    }

    #[test]
    fn a_copy_of_a_scenario_catches_what_the_first_sends_and_the_other_way_round() {
        let mut both: Vec<Scenario> = suites::all()
            .into_iter()
            .filter(|scenario| scenario.name == "routing/header-rule")
            .collect();
        let copy = Scenario {
            name: "mine/two".to_owned(),
            ..both[0].clone()
        };
        both.push(copy);
        let found = clashes(&both);
        let pairs = found.iter().map(|clash| (clash.catcher, clash.sender));
        assert_eq!(
            pairs.collect::<std::collections::BTreeSet<_>>(),
            [
                ("mine/two", "routing/header-rule"),
                ("routing/header-rule", "mine/two"),
            ]
            .into()
        );
        both[1].disturbs = Disturbs::Everything;
        assert_eq!(clashes(&both), [], "it runs alone");
    }
}
