//! Attempts to get an identity, and what came of them; what is written down of them, in [`audit`]; and what becomes of those who
//! show one, in [`handshake`].

mod audit;
mod handshake;

use super::Execution;
use harness_model::asking::{Ask, Token};
use harness_model::causes::chain;
use harness_model::history::EventKind;
use jiff::Timestamp;

impl Execution {
    /// Has a probe make an attempt, and records the answer.
    pub(super) async fn ask(&self, ask: &Ask) {
        let watch = self.environment.watch();
        let other = match &ask.token {
            Token::Of(name) => Some(name),
            _ => None,
        };
        let (from, other) = (
            watch.workload(&ask.from),
            other.map(|name| watch.workload(name)),
        );
        let (Some(from), None | Some(Some(_))) = (from, &other) else {
            self.give_up(format!("the workloads of `{}` to be there", ask.name));
            return;
        };
        let mesh = self.environment.mesh();
        let attempt = mesh
            .identity_ask(ask, &from, other.flatten().as_ref())
            .await;
        let mut attempt = match attempt {
            Ok(attempt) => attempt,
            Err(error) => {
                self.give_up(format!("`{}` to be asked: {}", ask.name, chain(&error)));
                return;
            }
        };
        if let (Some(token), Some(ends_in_s)) = (&attempt.token, ask.token.ends_in_s()) {
            let end_s = Timestamp::now().as_second().saturating_add(ends_in_s);
            let cluster = &from.address.cluster;
            match self.environment.token_ending(cluster, token, end_s) {
                Ok(signed) => attempt.token = Some(signed),
                Err(error) => {
                    self.give_up(format!("the token of `{}`: {}", ask.name, chain(&error)));
                    return;
                }
            }
        }
        let mark = self.audit_mark(ask, &from.address.cluster).await;
        let prober = self.environment.prober();
        match prober.ask_identity(&from.address, &attempt).await {
            Ok(answer) => {
                self.recorder.push(EventKind::Asked {
                    ask: ask.name.clone(),
                    from: from.sidecar.name.clone(),
                    answer: mesh.identity_answer(answer),
                });
                if let Some(mark) = mark {
                    self.record_audit(ask, from.sidecar.name, mark).await;
                }
            }
            Err(error) => {
                self.give_up(format!("the answer to `{}`: {}", ask.name, chain(&error)));
            }
        }
    }
}
