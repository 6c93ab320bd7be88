//! What the audit log of what keeps the keys has of an attempt.

use super::super::asked;
use super::Execution;
use harness_mesh::AuditMark;
use harness_model::asking::{Ask, AuditOutcome};
use harness_model::causes::chain;
use harness_model::history::EventKind;

/// What is looked for, and from where on.
pub(super) struct Mark {
    outcome: AuditOutcome,
    from: AuditMark,
}

impl Execution {
    /// How far the log has come before an attempt; none, and a word of it, where that is not known, and none where nobody asks
    /// for it.
    pub(super) async fn audit_mark(&self, ask: &Ask, cluster: &str) -> Option<Mark> {
        let outcome = asked::for_audit(&self.script.scenario, &ask.name)?;
        let bound = self.environment.patience().delivery.0;
        match self.environment.mesh().audit_mark(cluster, bound).await {
            Ok(from) => Some(Mark { outcome, from }),
            Err(error) => {
                self.give_up(format!("the audit log to be told: {}", chain(&error)));
                None
            }
        }
    }

    /// Looks for an entry of the attempt, which has been answered, and records what there is.
    pub(super) async fn record_audit(&self, ask: &Ask, from: String, mark: Mark) {
        let bound = self.environment.patience().delivery.0;
        let mesh = self.environment.mesh();
        match mesh.audit_entry(&mark.from, mark.outcome, bound).await {
            Ok(entry) => self.recorder.push(EventKind::Audited {
                ask: ask.name.clone(),
                from,
                outcome: mark.outcome,
                entry,
            }),
            Err(error) => {
                self.give_up(format!("the audit log to be told: {}", chain(&error)));
            }
        }
    }
}
