//! How many requests a part of the mesh has refused.

use crate::execute::Execution;
use futures::future::try_join_all;
use harness_model::expectation::Expectation;
use harness_model::history::EventKind;
use std::collections::{BTreeMap, BTreeSet};

impl Execution {
    /// Records what has been refused by now by each part of the mesh of which the scenario expects that others back off from it.
    pub(super) async fn count_refusals(&self) {
        let expected = self.script.scenario.then.iter();
        let parts: BTreeSet<&String> = expected
            .filter_map(|expectation| match expectation {
                Expectation::BacksOff { component, .. } => Some(component),
                _ => None,
            })
            .collect();
        for component in parts {
            match self.refusals_of(component).await {
                Ok(pods) => self.recorder.push(EventKind::Refusals {
                    component: component.clone(),
                    pods,
                }),
                Err(reason) => {
                    self.give_up(format!("the refusals of {component} to be read: {reason}"));
                }
            }
        }
    }

    /// `cluster/pod` → how many requests it has refused since it was started.
    async fn refusals_of(&self, component: &str) -> Result<BTreeMap<String, u64>, String> {
        let mesh = self.environment.mesh();
        let part = mesh.definition().component(component);
        let counter = part.and_then(|part| part.refusals);
        let counter = counter.ok_or("the mesh definition does not say where they are counted")?;
        let victims = self.pods_of(component).await?.victims;
        let patience = self.environment.patience().probe.0;
        let counter = &counter;
        let reads = victims.iter().map(|victim| async move {
            let name = format!("{}/{}", victim.address.cluster, victim.address.name);
            let injector = self.environment.injector();
            let shown = injector.shown(victim, &counter.shown_at);
            let lines = tokio::time::timeout(patience, shown).await;
            let lines = lines.map_err(|_| format!("{name} does not answer"))??;
            let count = counted(&lines, &counter.counter);
            let count = count.ok_or_else(|| format!("{name} shows no `{}`", counter.counter))?;
            Ok::<_, String>((name, count))
        });
        Ok(try_join_all(reads).await?.into_iter().collect())
    }
}

/// The number behind the counter's name, in Prometheus' text form.
fn counted(lines: &[String], counter: &str) -> Option<u64> {
    let mut values = lines
        .iter()
        .filter_map(|line| line.strip_prefix(counter)?.strip_prefix(' '));
    values.find_map(|value| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let text = "# HELP refused_total Requests that were refused.\n# TYPE refused_total counter\n\
            refused_total_again 9\nrefused_total 7\nissued_total 3";
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(counted(&lines, "refused_total"), Some(7));
        assert_eq!(counted(&lines, "issued_total"), Some(3));
        assert_eq!(counted(&lines, "refused"), None);
        assert_eq!(
            counted(&["refused_total many".to_owned()], "refused_total"),
            None
        );
    }
}
