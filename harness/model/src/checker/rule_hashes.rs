//! Which content hash stands for which rule. A history tells rules by the hash of what the sidecar shows, so
//! the pairing is learned from the history: one hash for one rule, from the first point that shows it.

use super::timeline::{Place, Timeline, precedes};
use crate::configuration::Rule;
use crate::history::EventKind;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Pairs of rule and hash, each under the rule's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RuleHashes {
    by_rule: BTreeMap<(String, Rule), String>,
    by_hash: BTreeMap<(String, String), Rule>,
}

impl RuleHashes {
    /// Learns point by point. At each, the last reading of a sidecar that shows the toggles it must has one
    /// vote for each of its rules (those came with the same configuration). What most of them show is
    /// believed first, the earlier one where votes are equal, and what is believed stays.
    pub(super) fn learn(timeline: &Timeline<'_>) -> Self {
        let novelty = Novelty::of(timeline);
        let mut hashes = Self::default();
        let steps = (0..timeline.scenario.when.len()).map(Place::Step);
        for place in [Place::Given].into_iter().chain(steps).chain([Place::End]) {
            let mut ranked: Vec<_> = votes(timeline, place).into_iter().collect();
            ranked.sort_by(|(_, a), (_, b)| b.cmp(a));
            for ((name, rule, hash), _) in ranked {
                if novelty.is_possible(&name, &rule, &hash) {
                    hashes.believe(name, rule, hash);
                }
            }
        }
        hashes
    }

    fn believe(&mut self, name: String, rule: Rule, hash: String) {
        let by_rule = (name.clone(), rule.clone());
        let by_hash = (name, hash.clone());
        if !self.by_rule.contains_key(&by_rule) && !self.by_hash.contains_key(&by_hash) {
            self.by_rule.insert(by_rule, hash);
            self.by_hash.insert(by_hash, rule);
        }
    }

    /// Whether the hash can stand for the rule: it is known to, or nothing is known of either.
    pub(super) fn agrees(&self, name: &str, rule: &Rule, hash: &str) -> bool {
        match self.by_rule.get(&(name.to_owned(), rule.clone())) {
            Some(known) => known == hash,
            None => !self
                .by_hash
                .contains_key(&(name.to_owned(), hash.to_owned())),
        }
    }
}

/// Name, rule and hash, with the number of sidecars that show them together and where the first did.
type Votes = BTreeMap<(String, Rule, String), (u64, Reverse<usize>)>;

fn votes(timeline: &Timeline<'_>, place: Place) -> Votes {
    let mut votes = Votes::new();
    let Some(point) = timeline.point(place) else {
        return votes;
    };
    let in_force = timeline.in_force(point.last);
    for life in timeline.alive(&point) {
        let expected = in_force.expected(life.at(point.last));
        let Some(reading) = timeline.readings(&point, life).pop() else {
            continue;
        };
        if reading.seen.toggles != expected.toggles {
            continue;
        }
        for (name, rule) in expected.rules {
            if let Some(hash) = reading.seen.rules.get(&name) {
                let first = Reverse(reading.index);
                let vote = votes
                    .entry((name, rule, hash.clone()))
                    .or_insert((0, first));
                vote.0 += 1;
                vote.1 = vote.1.max(first);
            }
        }
    }
    votes
}

/// When each hash was first shown and each rule first written: a hash that is older than a rule cannot stand
/// for it.
struct Novelty<'a> {
    shown: BTreeMap<(&'a str, &'a str), usize>,
    written: BTreeMap<(&'a str, &'a Rule), usize>,
}

impl<'a> Novelty<'a> {
    fn of(timeline: &Timeline<'a>) -> Self {
        let mut novelty = Self {
            shown: BTreeMap::new(),
            written: BTreeMap::new(),
        };
        let events = timeline.events;
        for (index, event) in events.iter().enumerate() {
            match &event.kind {
                EventKind::Observed(seen) => {
                    for (name, hash) in &seen.rules {
                        novelty.shown.entry((name, hash)).or_insert(index);
                    }
                }
                EventKind::WriteStarted {
                    configuration: Some(configuration),
                    ..
                } => {
                    for (name, rule) in &configuration.rules {
                        novelty.written.entry((name, rule)).or_insert(index);
                    }
                }
                _ => {}
            }
        }
        novelty
    }

    fn is_possible(&self, name: &str, rule: &Rule, hash: &str) -> bool {
        match (
            self.shown.get(&(name, hash)),
            self.written.get(&(name, rule)),
        ) {
            (Some(shown), Some(written)) => precedes(*written, *shown),
            _ => false,
        }
    }
}
