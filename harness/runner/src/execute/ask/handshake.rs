//! Handshakes past the caller's sidecar, and what came of them.

use super::Execution;
use harness_model::causes::chain;
use harness_model::handshake::{End, Handshake};
use harness_model::history::EventKind;

impl Execution {
    /// Has a probe speak TLS to another workload's sidecar, and records how it ended.
    pub(in crate::execute) async fn handshake(&self, handshake: &Handshake) {
        let watch = self.environment.watch();
        let ends = (
            watch.workload(&handshake.from),
            watch.workload(&handshake.to),
        );
        let (Some(from), Some(to)) = ends else {
            self.give_up(format!("the workloads of `{}` to be there", handshake.name));
            return;
        };
        let mesh = self.environment.mesh();
        let again = (&self.keys, self.script.scenario.when.as_slice());
        let ask = match mesh.handshake_ask(handshake, again, &from, &to).await {
            Ok(ask) => ask,
            Err(error) => {
                let name = &handshake.name;
                self.give_up(format!("`{name}` to be made: {}", chain(&error)));
                return;
            }
        };
        let prober = self.environment.prober();
        match prober.handshake(&from.address, &ask).await {
            Ok(answer) => {
                let mut met = mesh.handshake_met(&from.sidecar, answer);
                // A pod does not know its zone; the API server does.
                if let End::Answered { by: Some(by), .. } = &mut met.end
                    && let Some(data_center) = self.environment.data_center_of(&by.pod)
                {
                    by.data_center = data_center;
                }
                self.recorder.push(EventKind::Handshook {
                    handshake: handshake.name.clone(),
                    from: from.sidecar.name,
                    to: to.sidecar.name,
                    met: Box::new(met),
                });
            }
            Err(error) => {
                let name = &handshake.name;
                self.give_up(format!("the end of `{name}`: {}", chain(&error)));
            }
        }
    }
}
