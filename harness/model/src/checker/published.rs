//! What the mesh publishes as its trust bundle, for `trusted`.

use super::evidence::{Evidence, clock, detail};
use super::timeline::{LastWord, Timeline};
use crate::history::EventKind;
use crate::verdict::Detail;
use std::collections::BTreeSet;

/// After an act of an operator the bundle is what the sidecars of its cluster trust by then: whoever goes by it must be able to
/// meet them. Where nobody tells what it would have to be, or a history does not tell what is published, nothing is judged.
pub(super) fn check(timeline: &Timeline<'_>, evidence: &mut Evidence) {
    for (index, event) in timeline.events.iter().enumerate() {
        let EventKind::Published {
            cluster,
            namespace,
            roots,
        } = &event.kind
        else {
            continue;
        };
        let trusted = trusted_at(timeline, cluster, index);
        let Some(expected) = trusted.first() else {
            continue;
        };
        let told = |observed: String| Detail {
            step: event.step,
            event: Some(index),
            ..detail(
                format!(
                    "the published bundle of namespace {namespace} in cluster {cluster} to be what its sidecars trust"
                ),
                format!("{observed}, at {}", clock(event.at_ns)),
            )
        };
        match roots {
            None => evidence.open(told("it could not be read".to_owned())),
            Some(published) if !trusted.contains(published) => {
                evidence.contradict(told(difference(published, expected)));
            }
            // Whose sidecar lags is judged by `rotated`.
            Some(_) if trusted.len() > 1 => {
                evidence.open(told("sidecars differ in what they trust".to_owned()));
            }
            Some(_) => evidence.support(1),
        }
    }
}

/// What the sidecars of a cluster trust at an event, of those that have a certificate then and could be read last: one set where
/// all of them trust the same.
fn trusted_at<'a>(
    timeline: &Timeline<'a>,
    cluster: &str,
    index: usize,
) -> BTreeSet<&'a BTreeSet<String>> {
    let in_force = timeline.in_force(index);
    timeline
        .alive_at(index)
        .filter(|life| life.sidecar.cluster == cluster)
        .filter(|life| in_force.expected(life.at(index)).certificate)
        .filter_map(|life| match timeline.last_word_at(index, life)? {
            LastWord::Read(reading) => reading.seen.certificate.as_ref(),
            LastWord::Unreadable(..) => None,
        })
        .filter(|held| !held.warming && !held.roots.is_empty())
        .map(|held| &held.roots)
        .collect()
}

fn difference(published: &BTreeSet<String>, trusted: &BTreeSet<String>) -> String {
    let lacking = trusted.difference(published).count();
    let others = published.difference(trusted).count();
    let all = trusted.len();
    format!("{lacking} of {all} roots lacking, and {others} others")
}
